"""A person's word over a lane: hold, resume, step back, start; and what the next day makes of a hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import InvalidInput
from core.events import StepMove as M
from core.lane import DAY, day_of
from tests.unit.warmup.world import NOON, lane, plan, state
from warmup.figures import DayFigures
from warmup.judge import next_step
from warmup.operator import hold, resume, start, step_back

TOMORROW = NOON + DAY
GOOD = DayFigures(attempted=100, peak=100, last_sent_day=day_of(NOON))


def test_a_held_lane_does_not_rise_until_the_hold_ends_and_the_event_names_who_why_and_until() -> None:
    held, event = hold(state(), now=NOON, until=TOMORROW + DAY / 2, reason="sale", by="ann")
    assert (event.move, event.by, event.until, event.reason) == (M.HELD, "ann", TOMORROW + DAY / 2, "held: sale")
    next_day, moved = next_step(held, plan(), GOOD, TOMORROW)
    assert (moved.move, next_day.cap, moved.reason) == (M.HELD, 100, "held by ann: sale")
    later = replace(GOOD, last_sent_day=day_of(TOMORROW))
    after, moved = next_step(next_day, plan(), later, TOMORROW + DAY)
    assert (moved.move, after.cap, after.held_by) == (M.ADVANCED, 150, "")


def test_a_hold_without_an_end_lasts_until_it_is_lifted() -> None:
    held, _ = hold(state(), now=NOON, until=0, reason="", by="ann")
    assert held.is_held(NOON + 1000 * DAY)
    free, event = resume(held, now=NOON, reason="done", by="bob")
    assert (event.move, event.by, free.is_held(NOON)) == (M.RESUMED, "bob", False)
    with pytest.raises(InvalidInput, match="is not held"):
        resume(free, now=NOON, reason="", by="bob")


def test_evidence_lowers_a_held_lane_all_the_same() -> None:
    held, _ = hold(state(cap=225, step=2), now=NOON, until=0, reason="", by="ann")
    blocked = DayFigures(attempted=225, blocked=30, peak=225, last_sent_day=day_of(NOON))
    after, moved = next_step(held, plan(), blocked, TOMORROW)
    assert (moved.move, after.cap, after.is_held(TOMORROW)) == (M.STEPPED_BACK, 100, True)


@pytest.mark.parametrize(("to", "cap"), [(0, 150), (225, 225), (10, 100), (149, 100)])
def test_stepping_back_goes_to_the_step_at_or_below_what_was_said_or_half(to: int, cap: int) -> None:
    back, event = step_back(state(cap=337, step=3), plan(), now=NOON, to=to, reason="", by="ann")
    assert (back.cap, event.cap_before, event.cap_after, event.by) == (cap, 337, cap, "ann")


def test_a_finished_lane_that_is_stepped_back_ramps_again_from_what_it_sent() -> None:
    warm = state(cap=1000, step=6, finished=True, peak=3000)
    back, _ = step_back(warm, plan(), now=NOON, to=500, reason="", by="ann")
    assert (back.finished, back.cap) == (False, 337)
    with pytest.raises(InvalidInput, match="no step of its plan lies below"):
        step_back(state(), plan(), now=NOON, to=0, reason="", by="ann")


def test_a_lane_starts_where_it_is_told_and_twice_only_by_an_explicit_word() -> None:
    begun, event = start(lane(), plan(), None, now=NOON, at=300, again=False, reason="", by="ann")
    assert (begun.cap, begun.step, event.move) == (225, 2, M.STARTED)
    with pytest.raises(InvalidInput, match="was started already"):
        start(lane(), plan(), begun, now=NOON, at=0, again=False, reason="", by="ann")
    again, _ = start(lane(), plan(), begun, now=NOON, at=0, again=True, reason="", by="ann")
    assert again.cap == 100
