"""The adaptive controller, day by day and within a day: raise, hold, step back, stop, come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import StepMove as M
from core.lane import DAY, HOUR, day_of
from core.state import Control, StepState
from tests.unit.warmup.world import NOON, lane, plan, state
from warmup import adaptive as adaptive_module
from warmup.figures import DayFigures
from warmup.judge import first_step, next_step, within_day
from warmup.operator import start, step_back
from warmup.words import Closing

TODAY = day_of(NOON)
PLAN = plan(controller="adaptive", start=500, growth=2, max_growth=3, target=100_000, max_deferral_rate=0.05)


def adaptive(cap: int = 1000, good: int = 500, growth: float = 2.0, **changes: Any) -> StepState:
    return state(cap=cap, control=Control(growth=growth, good=good), **changes)


def day(attempted: int, **changes: Any) -> DayFigures:
    return DayFigures(attempted=attempted, peak=attempted, last_sent_day=TODAY, **changes)


def turn(before: StepState, figures: DayFigures) -> StepState:
    return next_step(before, PLAN, figures, NOON + DAY)[0]


def test_it_begins_at_the_plans_start_and_grows_faster_with_each_clean_day() -> None:
    begun, _ = first_step(lane(), PLAN, NOON)
    assert (begun.cap, begun.control.growth) == (500, 2.0)
    caps = [begun.cap]
    current = begun
    for n in range(1, 5):
        figures = replace(day(current.cap), last_sent_day=TODAY + n - 1)
        current, _ = next_step(current, PLAN, figures, NOON + n * DAY)
        caps.append(current.cap)
    assert caps == [500, 1000, 2500, 7500, 22_500]  # ×2, ×2.5, then ×3 and never more


def test_a_day_that_was_put_off_shows_what_the_provider_takes_and_makes_it_cautious() -> None:
    after = turn(adaptive(cap=1000, good=500), day(900, deferred=100))
    borne = 800 / 500
    assert after.cap == int(800 * borne * adaptive_module.ABOVE)
    assert after.control.good == 800
    assert after.control.growth == pytest.approx(borne * adaptive_module.ABOVE)
    assert after.control.ceiling == pytest.approx(borne)


def test_few_refusals_that_kept_the_lane_from_its_cap_are_a_measure_too() -> None:
    """The pair rests after each, so that they never become many."""
    after = turn(adaptive(cap=50_000, good=10_000), day(20_000, deferred=5))
    assert after.cap == int(19_995 * adaptive_module.ABOVE * 19_995 / 10_000)
    assert "is what it takes" in after.reason


def test_a_provider_that_takes_far_less_than_before_is_waited_for() -> None:
    after = turn(adaptive(cap=8000, good=6000), day(50, deferred=40))
    assert (after.cap, after.control.good) == (8000, 6000)
    assert "held till it is over" in after.reason


def test_a_provider_that_takes_somewhat_less_than_before_teaches_no_ceiling() -> None:
    """Some hours of its own trouble: a level of 700 and no growth at all would hold the lane back for days."""
    before = state(cap=2500, control=Control(growth=2.5, good=1000, ceiling=2.0))
    after = turn(before, day(730, deferred=30))
    assert (after.control.good, after.control.ceiling) == (850, 2.0)
    assert after.cap == int(850 * 2.0 * adaptive_module.ABOVE)
    assert "less than the 1,000 of before" in after.reason


def test_greylisting_is_no_word_about_volume() -> None:
    after = turn(adaptive(), day(1000, deferred=0))  # figures come without greylisted mail
    assert after.cap > 1000


@pytest.mark.parametrize(
    ("figures", "left"),
    [
        (day(1000, blocked=50), 500),
        (day(1000, closings=(Closing(scope="provider=gmail", own=True),)), 670),
    ],
)
def test_reputation_replies_halve_what_was_taken_and_an_alarm_leaves_two_thirds(figures: DayFigures, left: int) -> None:
    after = turn(adaptive(), figures)
    assert after.cap == left
    assert after.control.growth == pytest.approx(1.3)


def test_a_blocked_lane_trickles_and_comes_back_to_half_when_the_block_is_over() -> None:
    shut = turn(adaptive(cap=20_000, good=18_000), day(30, blocked=30))
    assert (shut.cap, shut.control.shut) == (20, True)
    reopened = within_day(shut, PLAN, day(6), 6, NOON + DAY)
    assert reopened is not None
    assert (reopened[0].cap, reopened[0].control.shut, reopened[1].move) == (9000, False, M.ADVANCED)
    assert within_day(shut, PLAN, day(6, blocked=1), 6, NOON + DAY) is None
    open_again, event = next_step(shut, PLAN, replace(day(20), last_sent_day=TODAY + 1), NOON + 2 * DAY)
    assert (open_again.cap, event.move) == (9000, M.ADVANCED)


IN_SPAM = {"seeds_inbox": 2, "seeds_spam": 2}


@pytest.mark.parametrize(
    "unwelcome",
    [IN_SPAM, {"complained": 2, "delivered": 60}, {"closings": (Closing(scope="campaign=a", own=False),)}],
)
def test_a_day_is_stopped_at_the_third_deferral_and_only_once(unwelcome: dict[str, Any]) -> None:
    assert within_day(adaptive(), PLAN, day(60, deferred=2, **unwelcome), 62, NOON) is None
    stopped = within_day(adaptive(), PLAN, day(60, deferred=3, **unwelcome), 63, NOON)
    assert stopped is not None
    after, event = stopped
    assert (after.cap, event.move, after.control.braked) == (63, M.HELD, 1000)
    assert "no more new mail today" in event.reason
    assert within_day(after, PLAN, day(60, deferred=5, **unwelcome), 63, NOON) is None
    assert within_day(adaptive(), plan(), day(60, deferred=30, **unwelcome), 63, NOON) is None, "a table has no brake"


def test_a_welcome_lane_goes_on_at_the_limit_for_so_many_refusals() -> None:
    """The sender rests after each; more than a quarter of the attempts, or 24, end its day too."""
    assert within_day(adaptive(), PLAN, day(60, deferred=14), 60, NOON) is None
    assert within_day(adaptive(), PLAN, day(60, deferred=15), 60, NOON) is not None
    assert within_day(adaptive(), PLAN, day(300, deferred=23), 300, NOON) is None
    assert within_day(adaptive(), PLAN, day(300, deferred=24), 300, NOON) is not None
    assert within_day(adaptive(), PLAN, day(300, deferred=4, blocked=3), 300, NOON) is not None


def test_a_lane_whose_seeds_lie_in_spam_does_not_meet_its_limit_again_the_next_day() -> None:
    """Its cap of before the brake would: three more refusals a day keep such a lane in the spam folder for weeks."""
    braked = state(cap=400, control=Control(growth=1.3, good=390, braked=900))
    after = turn(braked, day(400, deferred=3, seeds_inbox=0, seeds_spam=4))
    assert (after.cap, after.control.braked) == (397, 0)
    for sent in (1000, 10):
        assert turn(adaptive(cap=1000), day(sent, seeds_inbox=0, seeds_spam=4)).cap == 1000, (
            "no limit was met: it holds"
        )


def test_complaints_that_chance_explains_end_no_day_and_bar_no_rise() -> None:
    """Two among 1,470 are nothing where one in a thousand is wanted at most; two among 500 are."""
    for complained, delivered, stops in ((2, 1470, False), (2, 500, True), (4, 1470, True), (60, 50_000, True)):
        figures = day(delivered + 3, deferred=3, complained=complained, delivered=delivered)
        stopped = within_day(adaptive(cap=4 * delivered), PLAN, figures, delivered + 3, NOON)
        assert (stopped is not None) == stops, (complained, delivered)
    risen = within_day(adaptive(cap=2000, good=900), PLAN, day(1000, complained=2, delivered=1000), 1000, NOON)
    assert risen is not None
    assert risen[1].move is M.ADVANCED


def test_a_few_deferrals_among_thousands_stop_nothing_while_the_lane_keeps_its_pace() -> None:
    """At noon half of the cap may be used."""
    assert within_day(adaptive(cap=10_000), PLAN, day(5000, deferred=9, **IN_SPAM), 5009, NOON) is None
    behind = within_day(adaptive(cap=10_000), PLAN, day(2000, deferred=9, **IN_SPAM), 2009, NOON)
    assert behind is not None
    assert behind[0].cap == 2009


def test_within_a_day_without_a_word_against_it_the_cap_rises_step_by_step_up_to_the_days_most() -> None:
    """500 were good; max_growth 3.  Each time all that could go two hours ago has gone."""
    current, caps = adaptive(cap=600), []
    for hour in range(4, 24, 2):
        now = NOON - 12 * HOUR + hour * HOUR
        used = int(current.cap * hour / 24)
        moved = within_day(current, PLAN, day(used), used, now)
        assert within_day(current, PLAN, day(used, deferred=1), used, now) is None, "a single refusal ends it"
        if moved is None:
            break
        current, event = moved
        assert event.move is M.ADVANCED
        assert within_day(current, PLAN, day(used), used, now + HOUR) is None, "not more often than every two hours"
        caps.append(current.cap)
    assert caps[0] == int(600 * adaptive_module.RAISE)
    assert caps == sorted(caps)
    assert caps[-1] == 1500


@pytest.mark.parametrize(
    "figures",
    [
        day(500, complained=2, delivered=500),
        day(500, seeds_inbox=1, seeds_spam=3),
        day(500, blocked=1),
        day(15),
        day(150),  # less than what could have gone: nothing waits, or something holds it
    ],
)
def test_within_a_day_anything_against_it_or_too_little_mail_raises_nothing(figures: DayFigures) -> None:
    assert within_day(adaptive(cap=1000), PLAN, figures, figures.attempted, NOON) is None


def test_a_known_ceiling_bounds_a_day() -> None:
    known = state(cap=1500, control=Control(growth=1.5, good=1000, ceiling=0.9))
    moved = within_day(known, PLAN, day(750), 750, NOON)
    assert moved is not None
    assert moved[0].cap == int(1000 * 0.9 * adaptive_module.REACH)


def test_a_held_lane_is_not_raised_within_its_day() -> None:
    held = adaptive(cap=1000, held_by="anna", held_reason="audit")
    assert within_day(held, PLAN, day(500), 500, NOON) is None


def test_a_lane_that_was_good_and_takes_nothing_is_stopped_at_the_second_deferral() -> None:
    assert within_day(adaptive(), PLAN, day(2, deferred=1), 2, NOON) is None
    assert within_day(adaptive(), PLAN, day(3, deferred=2), 3, NOON) is not None


def test_a_pause_that_let_nothing_go_sends_no_lane_back_twice() -> None:
    closed = (Closing(scope="provider=gmail", own=True),)
    once = turn(adaptive(cap=40_000, good=20_000), day(2000, closings=closed))
    assert once.cap == 13_400, "two thirds of what was good, not of the part that a pause let through"
    again = next_step(once, PLAN, replace(day(0, closings=closed), peak=2000), NOON + 2 * DAY)[0]
    assert again.cap == once.cap


def test_what_was_not_used_up_is_no_reason_to_rise() -> None:
    assert turn(adaptive(good=900), day(300)).cap == 1000


def test_room_that_nobody_asked_for_is_given_back_to_half_above_what_was_good() -> None:
    assert turn(adaptive(cap=90_000, good=20_000), day(20_000)).cap == 30_000


def test_the_target_that_was_sent_makes_the_lane_warm() -> None:
    after, event = next_step(adaptive(cap=100_000, good=90_000), PLAN, day(99_000), NOON + DAY)
    assert (after.finished, event.move) == (True, M.FINISHED)


@given(
    cap=st.integers(1, 100_000), good=st.integers(0, 100_000), growth=st.floats(1.3, 3), share=st.floats(0, 1),
    deferred=st.floats(0, 1), blocked=st.floats(0, 1), spam=st.integers(0, 4), own=st.booleans(),
)  # fmt: skip
def test_a_cap_stays_between_one_and_the_target_and_never_more_than_triples(
    cap: int, good: int, growth: float, share: float, deferred: float, blocked: float, spam: int, own: bool
) -> None:
    sent = int(cap * share)
    figures = day(
        sent, deferred=int(sent * deferred), blocked=int(sent * blocked), seeds_inbox=4 - spam, seeds_spam=spam,
        closings=(Closing(scope="provider=gmail", own=True),) if own else (),
    )  # fmt: skip
    after = turn(adaptive(cap=cap, good=min(good, cap), growth=growth), figures)
    assert 1 <= after.cap <= 100_000
    assert after.cap <= 3 * cap + 1
    trouble = figures.blocked > 0.02 * sent and figures.blocked >= 2
    assert after.cap <= cap or not (trouble or own)


def test_a_step_back_is_not_undone_within_its_day() -> None:
    """Neither the one by evidence nor the one by hand."""
    tomorrow = NOON + DAY
    sent_back = turn(adaptive(cap=1000, good=1000), replace(day(1000, blocked=50), last_sent_day=TODAY))
    used = int(sent_back.cap * 0.5)
    assert within_day(sent_back, PLAN, day(used), used, tomorrow) is None
    by_hand = step_back(adaptive(cap=1000, good=1000), PLAN, now=NOON, to=500, reason="", by="anna")[0]
    used = int(by_hand.cap * 0.5)
    assert within_day(by_hand, PLAN, day(used), used, NOON + 2 * HOUR) is None
    assert by_hand.control.good == by_hand.cap


def test_a_lane_started_by_hand_grows_like_any_other_and_so_does_one_that_a_table_began() -> None:
    begun = start(lane(), PLAN, None, now=NOON, at=0, again=False, reason="", by="anna")[0]
    assert turn(begun, day(500)).cap == 1000
    assert turn(state(cap=500, control=Control()), day(500)).cap == 1000
