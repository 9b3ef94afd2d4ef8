"""A plan's own days and hours: which day it is where the plan's mail is read, and when its window opens.  Pure.

Contract: days are whole days since the epoch of the plan's local calendar, so a day has 23 or 25 hours when clocks
change.  With the default zone (UTC) they are core.lane.day_of.  `window` is the part of a day in which mail starts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from config.tables import WEEKDAYS, Plan
from core.lane import DAY, HOUR, day_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date()
# mail that is claimed at 23:59 is attempted the next day and would count there
END_OF_DAY_MARGIN = 120.0


def plan_day(plan: Plan, now: float) -> int:
    """The plan's local day at `now`."""
    return local_day(plan.time_zone, now)


def local_day(zone: str, now: float) -> int:
    """The day of a time zone at `now`."""
    if zone == "UTC":
        return day_of(now)
    return (datetime.fromtimestamp(now, _zone(zone)).date() - _EPOCH).days


def day_begins(plan: Plan, day: int) -> float:
    """The instant of a day's local midnight."""
    return _instant(plan.time_zone, day)


def window(plan: Plan, day: int) -> tuple[float, float]:
    """When mail may start on a day: (from, to).  Empty (from = to) on a weekday that the plan leaves out."""
    begins, ends = day_begins(plan, day), day_begins(plan, day + 1)
    if plan.days and WEEKDAYS[(day + 3) % 7] not in plan.days:  # the epoch was a Thursday
        return begins, begins
    last = min(ends, begins + plan.hour_to * HOUR if plan.hour_to < 24 else ends)
    return begins + plan.hour_from * HOUR, last - END_OF_DAY_MARGIN


def next_opening(plan: Plan, now: float) -> float:
    """When the window opens that is open at `now` or comes next.  Looks at most two weeks ahead."""
    today = plan_day(plan, now)
    for day in range(today, today + 15):
        begin, end = window(plan, day)
        if begin < end and now < end:
            return begin
    return now + DAY


@lru_cache(maxsize=4096)
def _instant(zone: str, day: int) -> float:
    if zone == "UTC":
        return day * DAY
    local = _EPOCH + timedelta(days=day)
    return datetime(local.year, local.month, local.day, tzinfo=_zone(zone)).timestamp()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
