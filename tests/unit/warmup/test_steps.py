"""Steps: what a day's figures do to a lane, in words, and that a day is judged once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.tables import Plan
from core.clock import FixedClock
from core.events import Evidence, RuleChanged, StepMove
from core.lane import Attribution, Scope, cohort_of, day_of
from core.metrics import Metric
from core.state import CounterKey
from tests.unit.warmup.world import DAY, MIDNIGHT, NOON, Memory, closing, lane, plan, state, traffic
from warmup.figures import DayFigures
from warmup.judge import first_step, next_step
from warmup.ramp import ramp_of
from warmup.steps import Steps
from warmup.words import Closing

TOMORROW = MIDNIGHT + DAY + 60
PLAN = plan()
M = StepMove
SENT = DayFigures(attempted=150, peak=150, last_sent_day=day_of(NOON))

CASES: list[tuple[str, DayFigures, StepMove, int, str]] = [
    ("clean day", SENT, M.ADVANCED, 225, "nothing against it"),
    ("share of the cap", replace(SENT, attempted=120), M.ADVANCED, 225, "120 of 150"),
    ("too little mail", replace(SENT, attempted=119), M.HELD, 150, "only 119 of 150"),
    ("no mail", DayFigures(), M.HELD, 150, "nothing was sent"),
    ("deferrals", replace(SENT, deferred=16), M.HELD, 150, "deferred"),
    ("few deferrals", replace(SENT, deferred=15), M.ADVANCED, 225, ""),
    ("one refusal is an accident", replace(SENT, blocked=1), M.ADVANCED, 225, ""),
    ("reputation replies", replace(SENT, blocked=4), M.STEPPED_BACK, 100, "reputation"),
    ("blocked", replace(SENT, blocked=75), M.STEPPED_BACK, 100, "blocked"),
    ("spam folder", replace(SENT, seeds_inbox=1, seeds_spam=3), M.HELD, 150, "spam folder"),
    ("half of the seeds", replace(SENT, seeds_inbox=2, seeds_spam=2), M.ADVANCED, 225, ""),
    ("one seed is not enough", replace(SENT, seeds_spam=1), M.ADVANCED, 225, ""),
    ("alarm on the lane", replace(SENT, closings=(Closing(scope="provider=gmail", own=True),)), M.STEPPED_BACK, 100,
     "provider=gmail"),
    ("a campaign or a person", replace(SENT, closings=(Closing(scope="campaign=x", own=False),)), M.HELD, 150,
     "campaign=x"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "figures", "move", "cap", "words"), CASES, ids=[c[0] for c in CASES])
def test_a_day_moves_the_lane_and_says_why(
    name: str, figures: DayFigures, move: StepMove, cap: int, words: str
) -> None:
    new, event = next_step(state(cap=150, step=1), PLAN, figures, TOMORROW)
    assert (event.move, event.cap_before, event.cap_after) == (move, 150, cap)
    assert words in event.reason
    assert (new.cap, new.day, event.day) == (cap, day_of(TOMORROW), day_of(TOMORROW))


def test_halving_goes_to_the_step_whose_cap_is_at_most_half() -> None:
    new, _ = next_step(state(cap=759, step=5), PLAN, replace(SENT, attempted=759, blocked=50), TOMORROW)
    assert (new.step, new.cap) == (3, 337)


def test_a_block_starts_over_however_far_the_lane_was() -> None:
    new, _ = next_step(state(cap=759, step=5), PLAN, replace(SENT, attempted=600, blocked=400), TOMORROW)
    assert (new.step, new.cap) == (0, 100)


def test_the_lane_is_finished_after_a_clean_day_at_the_target() -> None:
    last = state(cap=1000, step=6)
    new, event = next_step(last, PLAN, replace(SENT, attempted=900), TOMORROW)
    assert (event.move, new.finished) == (M.FINISHED, True)
    again, event = next_step(new, PLAN, replace(SENT, attempted=5000), TOMORROW + DAY)
    assert (event.move, again.finished) == (M.HELD, True)


def test_a_finished_lane_that_is_refused_falls_from_what_it_really_sent() -> None:
    done = state(cap=1000, step=6, finished=True, peak=900)
    new, event = next_step(done, PLAN, replace(SENT, attempted=900, blocked=100, peak=900), TOMORROW)
    assert (event.move, new.finished, new.cap) == (M.STEPPED_BACK, False, 337)


@pytest.mark.parametrize(
    ("idle", "move", "cap"),
    [(7, M.HELD, 759), (8, M.STEPPED_BACK, 506), (21, M.STEPPED_BACK, 337), (30, M.STEPPED_BACK, 100)],
)
def test_silence_costs_reputation_and_after_a_month_all_of_it(idle: int, move: StepMove, cap: int) -> None:
    lately = state(cap=759, step=5, peak=759, last_sent_day=day_of(NOON))
    new, event = next_step(lately, PLAN, DayFigures(), MIDNIGHT + (idle + 1) * DAY)
    assert (event.move, new.cap) == (move, cap)


def test_a_finished_lane_is_warmed_again_after_a_month_of_silence() -> None:
    done = state(cap=1000, step=6, finished=True, peak=5000)
    new, event = next_step(done, PLAN, DayFigures(), MIDNIGHT + 40 * DAY)
    assert (event.move, new.finished, new.step) == (M.STEPPED_BACK, False, 0)


def test_under_another_plan_the_lane_goes_on_where_it_was_allowed_no_more() -> None:
    steep = plan(name="steep", table=[10, 140, 5000], target=9000)
    new, event = next_step(state(cap=150, step=1), steep, DayFigures(), TOMORROW)
    assert (event.plan, new.step, new.cap) == ("steep", 1, 140)


figures = st.builds(
    DayFigures,
    attempted=st.integers(0, 3000), deferred=st.integers(0, 500), blocked=st.integers(0, 500),
    seeds_inbox=st.integers(0, 4), seeds_spam=st.integers(0, 4),
    closings=st.lists(st.builds(Closing, scope=st.just("s"), own=st.booleans()), max_size=1).map(tuple),
    peak=st.integers(0, 3000), last_sent_day=st.integers(0, day_of(NOON)),
)  # fmt: skip


@given(
    st.lists(st.tuples(figures, st.integers(1, 40)), min_size=1, max_size=40),
    st.builds(plan, growth=st.floats(1.05, 3), start=st.integers(1, 500), target=st.integers(1, 20_000)),
)
def test_no_history_lifts_a_lane_by_more_than_one_step_a_day_or_beyond_its_ramp(
    history: list[tuple[DayFigures, int]], given_plan: Plan
) -> None:
    ramp, now = ramp_of(given_plan, "gmail"), NOON
    lane_state, _ = first_step(lane(), given_plan, now)
    for day, later in history:
        now += later * DAY
        day = replace(day, last_sent_day=min(day.last_sent_day, day_of(now) - 1))
        new, event = next_step(lane_state, given_plan, day, now)
        assert new.step <= lane_state.step + 1
        assert new.cap == ramp.cap(new.step)
        assert new.day == day_of(now)
        assert event.reason
        assert (event.move is M.ADVANCED) == (new.step > lane_state.step)
        lane_state = new


def counts(day: float, metric: Metric, n: int, provider: str = "gmail") -> dict[CounterKey, int]:
    return {
        CounterKey(attribution=Attribution(traffic=traffic(provider), cohort=cohort_of(day + 3600)), metric=metric): n
    }


def steps_over(memory: Memory, *plans: Plan, lanes: tuple[str, ...] = ()) -> Steps:
    return Steps(
        plans=plans or (PLAN,), allowances=memory, counters=memory, log=memory, clock=FixedClock(NOON),
        lanes=lambda: [lane(p) for p in lanes],
    )  # fmt: skip


async def test_a_lane_starts_at_the_first_step_and_only_once() -> None:
    memory = Memory()
    steps = steps_over(memory)
    await steps.ensure(lane(), NOON)
    await steps.ensure(lane(), NOON + 5)
    (event,) = memory.moves()
    assert (event.move, event.cap_before, event.cap_after, event.day) == (M.STARTED, 0, 100, day_of(NOON))


async def test_lanes_of_unknown_providers_start_one_shared_lane() -> None:
    memory = Memory()
    await steps_over(memory, lanes=("other:mx.a.example", "other:mx.b.example", "gmail")).run_day(NOON)
    assert sorted(x.provider for x in memory.states) == ["gmail", "other"]


async def test_a_lane_without_a_plan_gets_no_step() -> None:
    memory = Memory()
    await steps_over(memory, plan(sources=["b"])).ensure(lane(), NOON)
    assert memory.states == {}


async def test_the_day_is_judged_by_its_own_counters_and_only_once() -> None:
    memory = Memory(sums={**counts(MIDNIGHT, Metric.ATTEMPTED, 90), **counts(MIDNIGHT - DAY, Metric.ATTEMPTED, 4000)})
    steps = steps_over(memory)
    await steps.ensure(lane(), NOON)
    assert await steps.run_day(TOMORROW) == 1
    assert await steps.run_day(TOMORROW + 3600) == 0
    (found,) = memory.states.values()
    assert (found.cap, found.step, found.peak, found.last_sent_day) == (150, 1, 4000, day_of(NOON))


async def test_ensure_also_moves_a_lane_whose_day_is_over() -> None:
    memory = Memory(sums=counts(MIDNIGHT, Metric.ATTEMPTED, 100))
    steps = steps_over(memory)
    await steps.ensure(lane(), NOON)
    await steps.ensure(lane(), TOMORROW)
    assert [e.move for e in memory.moves()] == [M.STARTED, M.ADVANCED]


async def test_the_shared_lane_adds_up_its_providers() -> None:
    sums = {**counts(MIDNIGHT, Metric.ATTEMPTED, 50, "other:a"), **counts(MIDNIGHT, Metric.ATTEMPTED, 50, "other:b")}
    memory = Memory(sums=sums)
    steps = steps_over(memory)
    await steps.ensure(lane("other:a"), NOON)
    await steps.run_day(TOMORROW)
    assert memory.moves()[-1].move is M.ADVANCED


@pytest.mark.parametrize(
    ("scope", "by", "move"),
    [
        ({"provider": "gmail", "stream": "bulk"}, "guard", M.STEPPED_BACK),
        ({"provider": "yahoo"}, "guard", M.ADVANCED),
        ({"campaign": "june", "stream": "bulk"}, "guard", M.HELD),
        ({"provider": "gmail"}, "ann", M.HELD),
    ],
)
async def test_a_gate_that_closed_that_day_holds_or_steps_back_the_lanes_it_touches(
    scope: dict[str, str], by: str, move: StepMove
) -> None:
    memory = Memory(sums=counts(MIDNIGHT, Metric.ATTEMPTED, 150))
    memory.states[lane()] = state(cap=150, step=1)
    await memory.append([closing(NOON, by=by, **scope)])
    await steps_over(memory).run_day(TOMORROW)
    assert memory.moves()[-1].move is move


async def test_a_closing_of_an_earlier_day_is_not_held_against_this_one() -> None:
    memory = Memory(sums=counts(MIDNIGHT, Metric.ATTEMPTED, 150))
    memory.states[lane()] = state(cap=150, step=1)
    await memory.append([closing(NOON - DAY, provider="gmail")])
    await steps_over(memory).run_day(TOMORROW)
    assert memory.moves()[-1].move is M.ADVANCED


def found(at: float, *, firing: bool = True, action: str = "hold_warmup", **scope: Any) -> RuleChanged:
    return RuleChanged(
        at=at, rule="deferrals", scope=Scope(**scope), firing=firing, action=action, reason="x", evidence=None
    )


@pytest.mark.parametrize(
    ("events", "move"),
    [
        ([found(NOON, provider="gmail")], M.HELD),
        ([found(NOON - 5 * DAY, sending_domain="news.example")], M.HELD),  # it still fires
        ([found(NOON, provider="gmail", action="step_back")], M.STEPPED_BACK),
        ([found(NOON, provider="yahoo")], M.ADVANCED),
        ([found(NOON, provider="gmail", action="alert")], M.ADVANCED),
        ([found(NOON - 3 * DAY, provider="gmail"), found(NOON - DAY, provider="gmail", firing=False)], M.ADVANCED),
        ([found(NOON - 3 * DAY, provider="gmail"), found(NOON, provider="gmail", firing=False)], M.HELD),
    ],
)
async def test_a_rule_without_a_gate_holds_or_sends_back_the_lanes_it_touches_while_it_fires(
    events: list[RuleChanged], move: StepMove
) -> None:
    memory = Memory(sums=counts(MIDNIGHT, Metric.ATTEMPTED, 150))
    memory.states[lane()] = state(cap=150, step=1)
    await memory.append(events)
    await steps_over(memory).run_day(TOMORROW)
    assert memory.moves()[-1].move is move
    if move is not M.ADVANCED:
        assert "rule deferrals" in memory.moves()[-1].reason


@pytest.mark.parametrize(
    ("word", "move"),
    [
        ("repeat", M.HELD),
        ("hold", M.HELD),
        ("none", M.ADVANCED),
        ("step_back", M.STEPPED_BACK),
        ("auto", M.STEPPED_BACK),
    ],
)
async def test_a_rule_says_what_its_closing_does_to_the_warm_up(word: str, move: StepMove) -> None:
    memory = Memory(sums=counts(MIDNIGHT, Metric.ATTEMPTED, 150))
    memory.states[lane()] = state(cap=150, step=1)
    evidence = Evidence(rule="b", numerator=9, denominator=99, threshold=0.02, e_value=1e4, limit=365, since=1)
    await memory.append([replace(closing(NOON, by="guard", provider="gmail"), evidence=evidence)])
    steps = Steps(
        plans=(PLAN,), allowances=memory, counters=memory, log=memory, clock=FixedClock(NOON), words={"b": word}
    )
    await steps.run_day(TOMORROW)
    assert memory.moves()[-1].move is move
