"""How late a provider's complaint reports come: envelopes for `monitor.evidence`, fitted from reports of the past.

Contract: `fit` returns, for each provider with at least `LEAST` reports, a `DelayEnvelope` that lies above the true
share of reports at every age of `AGES` at once, with a confidence of `CONFIDENCE` (Clopper-Pearson bounds, shared out
over the ages).  Few reports give a high envelope: slower, never wrong.  A provider without one is judged as if every
report came at once.  Pure.

A report counts only when its cohort is older than `HORIZON` hours and it came within that age: a younger cohort has
shown only its quick reports.  Reports later than that are left out, which lifts the envelope: the safe side.
Reports are taken as independent; a feedback mailbox that stood still for days is not seen here (`OutageChanged`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from core.lane import HOUR
from monitor.evidence import DelayEnvelope, log_beta_above

HORIZON = 240  # hours; what comes later is one report in thousands
AGES = (
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    12,
    14,
    16,
    18,
    20,
    22,
    24,
    27,
    30,
    33,
    36,
    40,
    44,
    48,
    54,
    60,
    66,
    72,
    84,
    96,
    120,
    144,
    192,
)
CONFIDENCE = 0.95
LEAST = 30
LOOK_BACK = 60 * 24  # hours: habits change


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """One report: the provider that its message went to, the message's cohort, and when the report came (epoch)."""

    provider: str
    cohort: int
    at: float


def fit(reports: Iterable[Lateness], now: float) -> dict[str, DelayEnvelope]:
    """Envelopes by provider as of `now` (epoch seconds)."""
    newest, oldest = now / HOUR - HORIZON, now / HOUR - HORIZON - LOOK_BACK
    ages: dict[str, list[float]] = defaultdict(list)
    for report in reports:
        age = report.at / HOUR - report.cohort
        if oldest <= report.cohort <= newest and 0 <= age <= HORIZON:
            ages[report.provider].append(age)
    return {provider: _envelope(sorted(found)) for provider, found in ages.items() if len(found) >= LEAST}


def median_hours(envelope: DelayEnvelope) -> float:
    """The age by which half of the reports may have come: at most the true median."""
    return next((age for age, share in envelope.points if share >= 0.5), float(HORIZON))


def _envelope(ages: list[float]) -> DelayEnvelope:
    points, came = [], 0
    for age in AGES:
        while came < len(ages) and ages[came] <= age:
            came += 1
        points.append((float(age), upper_share(came, len(ages), (1 - CONFIDENCE) / len(AGES))))
        if came == len(ages):
            break
    return DelayEnvelope(tuple(points))


def upper_share(hits: int, total: int, chance: float) -> float:
    """The share that `hits` of `total` lie below with a probability of 1 - `chance` (Clopper-Pearson, one-sided)."""
    if hits >= total:
        return 1.0
    a, b = hits + 1.0, float(total - hits)
    whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    low, high = hits / total, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if middle >= 1.0 or log_beta_above(a, b, middle) - whole < math.log(chance):
            high = middle
        else:
            low = middle
    return min(1.0, high)
