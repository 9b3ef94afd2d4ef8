"""Today's figures of every lane, from counters and steps.  Pure.

A rate without enough to divide by is None ("unknown"), never 0.  Intervals are 95 % Wilson score intervals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from config.tables import Plan, ProviderRow
from core.lane import Lane, cohort_of, day_of
from core.metrics import Metric
from core.rates import wilson
from core.state import CounterKey, Snapshot
from warmup.admission import lane_key
from warmup.ramp import OTHER, plan_lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """bad of total with its interval."""

    bad: int
    total: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFigures:
    """One lane today (UTC).  `cap` None: not limited."""

    lane: Lane
    plan: str
    step: int
    cap: int | None
    used: int
    finished: bool
    attempted: int
    delivered: int
    deferred: int
    hard_bounced: int
    soft_bounced: int
    complained: int
    blocked: int
    reason: str
    heard: bool = True  # False: the provider sends no complaint reports, so that none is no news

    @property
    def bounce_rate(self) -> float | None:
        rate = rate_of(self.hard_bounced, self.attempted)
        return rate.rate if rate else None

    @property
    def complaint_rate(self) -> float | None:
        rate = rate_of(self.complained, self.delivered) if self.heard else None
        return rate.rate if rate else None


def rate_of(bad: int, total: int) -> Rate | None:
    """The rate with its interval; None when nothing was counted.  `bad` may exceed `total` when events outrun it."""
    interval = wilson(bad, total)
    if interval is None:
        return None
    return Rate(bad=bad, total=total, rate=min(1.0, bad / total), low=interval[0], high=interval[1])


def today(now: float) -> int:
    """First cohort of the UTC day."""
    return cohort_of(day_of(now) * 86400.0)


def silent_providers(rows: Iterable[ProviderRow]) -> frozenset[str]:
    """Those that send no complaint reports; OTHER stands for all without a row."""
    return frozenset({OTHER, *(row.name for row in rows if not row.complaint_feedback)})


def is_heard(provider: str, silent: frozenset[str]) -> bool:
    """False for a provider whose complaints nobody reports to us."""
    return provider not in silent and not (provider.startswith(OTHER + ":") and OTHER in silent)


def by_lane(counters: Mapping[CounterKey, int], since: int, until: int = 1 << 40) -> dict[Lane, dict[str, int]]:
    """Metric sums of each lane of a plan over cohorts since ≤ c < until; providers without a row share a lane."""
    sums: dict[Lane, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for key, value in counters.items():
        lane = key.attribution.traffic.lane
        if lane.source and since <= key.attribution.cohort < until:
            sums[plan_lane(lane)][key.metric] += value
    return sums


def lane_figures(
    counters: Mapping[CounterKey, int],
    snapshot: Snapshot,
    plans: Iterable[Plan],
    now: float,
    silent: frozenset[str],
) -> list[LaneFigures]:
    """Every lane that has a warm-up state or sent today, sorted.  `silent`: see silent_providers."""
    sums = by_lane(counters, today(now))
    day = day_of(now)
    known = {plan.name for plan in plans}
    rows = []
    for lane in sorted(set(sums) | set(snapshot.steps)):
        counted = sums.get(lane, {})
        state = snapshot.steps.get(lane)
        ramping = state is not None and state.plan in known and not state.finished
        rows.append(
            LaneFigures(
                lane=lane, plan=state.plan if state else "", step=state.step if state else 0,
                cap=state.cap if state is not None and ramping else None,
                used=snapshot.used.get((lane_key(lane), state.day if state else day), 0),
                finished=bool(state and state.finished),
                attempted=counted.get(Metric.ATTEMPTED, 0), delivered=counted.get(Metric.DELIVERED, 0),
                deferred=counted.get(Metric.DEFERRED, 0), hard_bounced=counted.get(Metric.HARD_BOUNCED, 0),
                soft_bounced=counted.get(Metric.SOFT_BOUNCED, 0), complained=counted.get(Metric.COMPLAINED, 0),
                blocked=counted.get(Metric.BLOCKED, 0), reason=state.reason if state else "",
                heard=is_heard(lane.provider, silent),
            )
        )  # fmt: skip
    return rows
