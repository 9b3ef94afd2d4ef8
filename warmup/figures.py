"""What one lane did on one day, from counters and moved gates: what its step is judged by.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from core.lane import HOUR, Lane
from core.metrics import Metric
from core.state import CounterKey, StepState
from warmup.days import local_day
from warmup.ramp import plan_lane
from warmup.words import Closing

PEAK_DAYS = 7
Sums = dict[Lane, dict[int, dict[str, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """What one lane did on the day its cap held for."""

    attempted: int = 0
    deferred: int = 0
    blocked: int = 0
    bounced: int = 0
    delivered: int = 0
    complained: int = 0
    seeds_inbox: int = 0
    seeds_spam: int = 0
    closings: tuple[Closing, ...] = ()
    peak: int = 0  # most first attempts in one of the last seven sending days; 0 when none is known
    last_sent_day: int = 0  # 0 when unknown
    share: int = 0  # of the tightest budget that it shares with other lanes; 0: none


def by_lane_and_day(counters: Mapping[CounterKey, int], zone: str = "UTC") -> Sums:
    """Sums by planned lane, day of the cohort in a time zone, and metric."""
    sums: Sums = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    days: dict[int, int] = {}
    for key, n in counters.items():
        cohort = key.attribution.cohort
        if cohort not in days:
            days[cohort] = local_day(zone, cohort * HOUR)
        sums[plan_lane(key.attribution.traffic.lane)][days[cohort]][key.metric] += n
    return sums


def figures_of(
    state: StepState, days: Mapping[int, Mapping[str, int]], closings: tuple[Closing, ...] = (), share: int = 0
) -> DayFigures:
    """The figures of `state.day`, with the peak of the last seven days on which the lane sent."""
    day = days.get(state.day, {})
    sent = sorted((d, n) for d, sums in days.items() if (n := sums.get(Metric.ATTEMPTED, 0)) > 0)
    return DayFigures(
        attempted=day.get(Metric.ATTEMPTED, 0),
        # greylisting says nothing about our volume, and half of the small hosts greylist every stranger
        deferred=day.get(Metric.PUT_OFF, 0),
        blocked=day.get(Metric.BLOCKED, 0),
        bounced=day.get(Metric.HARD_BOUNCED, 0),
        delivered=day.get(Metric.DELIVERED, 0),
        complained=day.get(Metric.COMPLAINED, 0),
        seeds_inbox=day.get(Metric.SEED_INBOX, 0),
        seeds_spam=day.get(Metric.SEED_SPAM, 0),
        closings=closings,
        share=share,
        peak=max((n for _, n in sent[-PEAK_DAYS:]), default=0),
        last_sent_day=sent[-1][0] if sent else 0,
    )
