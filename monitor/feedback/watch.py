"""What is odd about feedback, by its counts a day: what rises, who fell silent, whose answers changed.  Pure.

Contract: everything is compared with its own past, never with a fixed level alone; too little past is no finding.  Days
are UTC days since the epoch; today is incomplete and can only speak for a rise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

PAST = 14  # days that are the past
RISE = 3.0  # times the usual
MIN_RISE = 20
REGULAR = 0.7  # share of the past's days on which a source reported
MIN_SILENT_DAYS = 2
MIN_NOW, MIN_PAST = 100, 200  # refusals that a distribution needs
SHIFT = 0.3  # half the sum of absolute differences of shares: 0 the same, 1 nothing in common
_NOW_DAYS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """`today` against the median of the days before."""

    name: str
    today: int
    usual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A source that reported on nearly every day and ceased to.  `last_day` is the last with a report."""

    name: str
    last_day: int
    usual: float  # reports a day, while it spoke


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A provider's refusals fall into other classes than before.

    `classes` are (class, share before, share now), most changed first."""

    provider: str
    distance: float
    now: int
    classes: tuple[tuple[str, float, float], ...]


def rises(days: Mapping[tuple[str, int], int], today: int, *, least: int = MIN_RISE) -> list[Rise]:
    """Names whose count of today is at least `least` and far above their own past."""
    found = []
    for name, counts in _by_name(days).items():
        usual = median([counts.get(day, 0) for day in range(today - 7, today)])
        if counts.get(today, 0) >= max(least, RISE * usual):
            found.append(Rise(name=name, today=counts[today], usual=usual))
    return found


def silences(days: Mapping[tuple[str, int], int], today: int) -> list[Silence]:
    """Sources that reported regularly and have not for longer than they ever paused."""
    found = []
    for name, counts in _by_name(days).items():
        spoke = sorted(day for day, n in counts.items() if n > 0 and today - PAST <= day)
        if not spoke or spoke[-1] >= today - MIN_SILENT_DAYS:
            continue
        span = spoke[-1] - spoke[0] + 1
        longest = max((b - a for a, b in pairwise(spoke)), default=1)
        if span < 5 or len(spoke) < REGULAR * span or today - spoke[-1] <= max(MIN_SILENT_DAYS, 2 * longest):
            continue
        usual = sum(counts[day] for day in spoke) / span
        found.append(Silence(name=name, last_day=spoke[-1], usual=usual))
    return found


def shifts(days: Mapping[tuple[str, int], int], today: int) -> list[Shift]:
    """Providers whose refusals changed.  Names are `provider|class`."""
    now: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    past: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (name, day), n in days.items():
        provider, _, kind = name.rpartition("|")
        if day > today - _NOW_DAYS:
            now[provider][kind] += n
        elif day > today - PAST:
            past[provider][kind] += n
    found = []
    for provider, counts in now.items():
        total, before = sum(counts.values()), sum(past[provider].values())
        if total < MIN_NOW or before < MIN_PAST:
            continue
        shares = [
            (kind, past[provider].get(kind, 0) / before, counts.get(kind, 0) / total)
            for kind in sorted(counts.keys() | past[provider].keys())
        ]
        distance = sum(abs(a - b) for _, a, b in shares) / 2
        if distance >= SHIFT:
            shares.sort(key=lambda row: -abs(row[1] - row[2]))
            found.append(Shift(provider=provider, distance=distance, now=total, classes=tuple(shares[:4])))
    return found


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, ninth decile and the greatest; nothing of nothing."""
    ordered = sorted(values)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {"0.5": ordered[round(last * 0.5)], "0.9": ordered[round(last * 0.9)], "1": ordered[last]}


def _by_name(days: Mapping[tuple[str, int], int]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for (name, day), n in days.items():
        found[name][day] = n
    return found
