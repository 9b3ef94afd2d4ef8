"""A plan's own days: time zones, weekdays, hours, and clocks that change."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.lane import DAY, day_of
from tests.unit.warmup.world import NOON, plan
from warmup.days import day_begins, next_opening, plan_day, window


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_a_day_begins_at_midnight_where_the_plan_says() -> None:
    moscow = plan(time_zone="Europe/Moscow")
    evening = at("2026-03-01 22:30")  # half past one in the morning there
    assert plan_day(moscow, evening) == day_of(evening) + 1
    assert day_begins(moscow, plan_day(moscow, evening)) == at("2026-03-02 00:00", "Europe/Moscow")


def test_hours_are_local_and_a_window_may_cross_midnight_utc() -> None:
    east = plan(time_zone="Asia/Vladivostok", hour_from=9, hour_to=21)
    begin, end = window(east, plan_day(east, at("2026-03-02 00:30")))
    assert begin == at("2026-03-01 23:00")
    assert end == at("2026-03-02 11:00") - 120


def test_on_the_other_weekdays_nothing_starts_and_the_next_opening_is_found() -> None:
    work = plan(days=["mon", "tue", "wed", "thu", "fri"], hour_from=8, hour_to=20)
    saturday = at("2026-03-07 12:00")
    begin, end = window(work, plan_day(work, saturday))
    assert begin == end
    assert next_opening(work, saturday) == at("2026-03-09 08:00")
    assert next_opening(work, at("2026-03-06 19:59")) == at("2026-03-09 08:00")
    assert next_opening(work, at("2026-03-06 19:00")) == at("2026-03-06 08:00")


@given(st.floats(0, 4e9), st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"]))
def test_every_instant_lies_in_exactly_the_day_that_it_is_counted_for(now: float, zone: str) -> None:
    p = plan(time_zone=zone)
    day = plan_day(p, now)
    assert day_begins(p, day) <= now < day_begins(p, day + 1)


def test_an_unknown_zone_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="no time zone; write an IANA name"):
        plan(time_zone="Mars/Olympus")
    assert plan_day(plan(), NOON) == int(NOON // DAY)
