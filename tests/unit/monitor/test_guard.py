"""The guard: its table walked over the whole product, and the life of a pause step by step."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from config.tables import Rule
from core.causes import Cause, Why, said
from core.errors import InvalidInput
from core.events import Evidence, GateChanged, GateState
from core.lane import HOUR, Scope, cohort_of
from core.state import Gate
from monitor import guard, operator
from monitor.rules import Level, Verdict
from tests.unit.monitor.world import NOON, rule

SCOPE = Scope(provider="yahoo", stream="bulk", spare=("tx",))
RULE = rule(slow_per_hour=50, pause_hours=6, max_pause_hours=20, probe_messages=50, probe_hours=1)
S = GateState
OVER = Cause(why=Why.OPERATOR_OVER)


def verdict(
    level: Level = Level.QUIET, *, bad: int = 0, total: int = 0, attempted: int = -1, calm: bool | None = None,
    of: Rule = RULE, here: tuple[int, int] = (0, 0),
) -> Verdict:  # fmt: skip
    return Verdict(
        rule=of, scope=SCOPE, level=level, calm=level is Level.QUIET if calm is None else calm,
        counted_bad=bad, counted_total=total, attempted=total if attempted < 0 else attempted,
        here_bad=here[0], here_total=here[1],
        evidence=Evidence(
            rule=of.name, numerator=bad, denominator=total, threshold=of.threshold, e_value=5000.0, limit=365.0,
            since=cohort_of(NOON), samples=("550 5.1.1 no such user",),
        ),
    )  # fmt: skip


def stepped(gate: Gate, given: Verdict, now: float) -> tuple[Gate, GateChanged]:
    moved = guard.step(gate, given, now)
    assert moved is not None
    assert (moved[1].before, moved[1].after) == (gate.state, moved[0].state)
    assert moved[1].pause_id == moved[0].pause_id != ""
    return moved


def paused() -> Gate:
    return stepped(guard.first("bounces", SCOPE), verdict(Level.ALARM, bad=9, total=50, here=(9, 50)), NOON)[0]


def probing() -> Gate:
    gate = paused()
    return stepped(gate, verdict(), gate.until)[0]


@pytest.mark.parametrize("given", get_args(guard.Input))
@pytest.mark.parametrize("state", list(GateState))
def test_every_pair_of_the_product_moves_or_is_refused_by_name(state: GateState, given: type[guard.Input]) -> None:
    if (state, given) in guard.TABLE:
        assert guard.move(state, given()) is guard.TABLE[state, given]
    else:
        with pytest.raises(guard.IllegalMove, match=rf"{state} knows no {given.__name__}"):
            guard.move(state, given())


def test_every_state_can_reach_open_and_only_a_person_opens_a_hard_stop() -> None:
    reach = {S.OPEN}
    for _ in GateState:
        reach |= {before for (before, _), after in guard.TABLE.items() if after in reach}
    assert reach == set(GateState)
    assert {given for (state, given) in guard.TABLE if state is S.HARD_STOPPED} == {guard.OperatorResume}


@pytest.mark.parametrize("state", list(GateState))
@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("action", ["pause", "slow", "alert"])
@pytest.mark.parametrize("later", [0.0, HOUR, 100 * HOUR])
def test_no_verdict_at_any_time_asks_for_a_move_that_the_table_lacks(
    state: GateState, level: Level, action: str, later: float
) -> None:
    gate = replace(paused(), state=state, until=NOON + 6 * HOUR, limit=50)
    given = replace(verdict(level, bad=3, total=10), rule=rule(action=action, slow_per_hour=50))
    moved = guard.step(gate, given, NOON + later)
    assert moved is None or moved[0].until == 0 or moved[0].until > NOON + later


def test_a_quiet_verdict_leaves_an_open_gate_alone() -> None:
    assert guard.step(guard.first("bounces", SCOPE), verdict(), NOON) is None


def test_a_warning_slows_and_an_alarm_pauses_with_the_evidence_and_an_expiry() -> None:
    slowed, _ = stepped(guard.first("bounces", SCOPE), verdict(Level.WARN, bad=4, total=50), NOON)
    assert (slowed.state, slowed.limit, slowed.until) == (S.SLOWED, 50, NOON + HOUR)
    gate, event = stepped(slowed, verdict(Level.ALARM, bad=9, total=50), NOON + 60)
    assert (gate.state, gate.until, gate.episodes) == (S.PAUSED, NOON + 60 + 6 * HOUR, 1)
    assert gate.pause_id == slowed.pause_id
    assert event.by == "guard"
    assert event.evidence is not None
    assert (event.evidence.numerator, event.evidence.denominator, event.evidence.e_value) == (9, 50, 5000.0)
    assert event.evidence.samples
    assert "9 of 50" in event.reason


@pytest.mark.parametrize(("action", "state"), [("slow", S.SLOWED), ("alert", None)])
def test_a_rule_that_may_not_pause_does_not(action: str, state: GateState | None) -> None:
    moved = guard.step(
        guard.first("bounces", SCOPE), verdict(Level.HARD, bad=9, total=50, of=rule(action=action)), NOON
    )
    assert (moved[0].state if moved else None) == state


def test_a_pause_expires_into_a_probe_that_counts_from_its_own_beginning() -> None:
    gate = paused()
    assert guard.step(gate, verdict(Level.ALARM, bad=9, total=50), gate.until - 1) is None
    probe, event = stepped(gate, verdict(Level.ALARM, bad=9, total=50, here=(1, 7)), gate.until)
    assert (probe.state, probe.limit, event.limit) == (S.PROBING, 50, 50)
    assert (probe.epoch, probe.base_bad, probe.base_total) == (cohort_of(gate.until), 1, 7)


def test_a_probe_is_not_judged_before_enough_outcomes_and_the_wait_for_late_complaints() -> None:
    probe = probing()
    assert guard.step(probe, verdict(total=50), probe.since + HOUR / 2) is None
    assert guard.step(probe, verdict(total=10), probe.since + HOUR - 1) is None


def test_a_probe_whose_mail_went_late_waits_for_its_complaints_and_lets_no_more_go() -> None:
    probe, late = probing(), 5 * HOUR  # another gate held its mail till then
    gone = replace(verdict(total=50), probed_at=probe.since + late)
    assert guard.step(probe, gone, probe.since + late + HOUR / 2) is None
    assert stepped(probe, gone, probe.since + late + HOUR)[0].state is S.SLOWED


def test_a_good_probe_opens_step_by_step() -> None:
    probe = probing()
    gate, _ = stepped(probe, verdict(total=50), probe.since + HOUR)
    limits = []
    while gate.state is S.SLOWED:
        limits.append(gate.limit)
        assert guard.step(gate, verdict(), gate.until - 1) is None
        gate, _ = stepped(gate, verdict(), gate.until)
    assert limits == [50, 200, 800]
    assert (gate.state, gate.limit, gate.until, gate.epoch) == (S.OPEN, 0, 0.0, probe.epoch)


def test_a_slowed_scope_is_not_eased_while_the_evidence_is_near_the_limit() -> None:
    gate, _ = stepped(guard.first("bounces", SCOPE), verdict(Level.WARN, bad=4, total=50), NOON)
    assert guard.step(gate, verdict(calm=False), gate.until + 1) is None


def test_a_bad_probe_pauses_twice_as_long_up_to_the_longest() -> None:
    gate, hours = paused(), []
    for _ in range(4):
        hours.append((gate.until - gate.since) / HOUR)
        probe, _ = stepped(gate, verdict(), gate.until)
        gate, _ = stepped(probe, verdict(bad=2, total=40), probe.since + HOUR)
    assert hours == [6, 12, 20, 20]
    assert gate.pause_id == paused().pause_id


def test_one_bad_of_a_probe_may_be_chance() -> None:
    probe = probing()
    assert stepped(probe, verdict(bad=1, total=40), probe.since + HOUR)[0].state is S.SLOWED


def test_plain_trouble_ends_a_probe_at_once() -> None:
    probe = probing()
    assert stepped(probe, verdict(bad=3, total=8), probe.since + 60)[0].state is S.PAUSED


def test_a_probe_without_outcomes_is_renewed_more_and_more_rarely_until_it_is_forgotten() -> None:
    gate, renewals = probing(), 0
    began = gate.since
    while gate.state is S.PROBING:
        gate, _ = stepped(gate, verdict(total=0), gate.until)
        renewals += 1
    assert gate.state is S.OPEN
    assert gate.since - began >= RULE.window_days * 86400
    assert renewals < 15


def test_a_probe_that_meets_only_deferrals_closes_after_a_day() -> None:
    gate = probing()
    began = gate.since
    while gate.state is S.PROBING:
        gate, _ = stepped(gate, verdict(total=0, attempted=30), gate.until)
    assert gate.state is S.PAUSED
    assert gate.since - began >= 24 * HOUR


def test_a_small_probe_is_judged_by_what_came_when_patience_is_over() -> None:
    probe = probing()
    renewed, _ = stepped(probe, verdict(total=3), probe.until)
    assert renewed.state is S.PROBING
    assert stepped(renewed, verdict(total=3), probe.since + 4 * HOUR)[0].state is S.SLOWED


@pytest.mark.parametrize("state", [S.OPEN, S.SLOWED, S.PAUSED, S.PROBING])
def test_the_hard_limit_stops_from_every_state_and_time_does_not_undo_it(state: GateState) -> None:
    gate, _ = stepped(replace(paused(), state=state), verdict(Level.HARD, bad=40, total=50), NOON + 1)
    assert (gate.state, gate.until) == (S.HARD_STOPPED, 0.0)
    assert guard.step(gate, verdict(), NOON + 10**7) is None
    assert guard.lapse(gate, NOON + 10**7, Cause(why=Why.RULE_GONE)) is None


def test_a_relapse_soon_after_opening_pauses_longer_and_one_after_long_calm_does_not() -> None:
    opened = replace(paused(), state=S.OPEN, since=NOON, until=0.0)
    soon, _ = stepped(opened, verdict(Level.ALARM, bad=9, total=50), NOON + HOUR)
    late, _ = stepped(opened, verdict(Level.ALARM, bad=9, total=50), NOON + 21 * HOUR)
    assert (soon.episodes, late.episodes) == (2, 1)
    assert soon.pause_id != opened.pause_id


def test_an_operators_pause_without_expiry_is_never_ended_by_the_machine() -> None:
    gate, event = operator.pause(SCOPE, None, now=NOON, until=0.0, reason="holiday", by="ann")
    assert (gate.state, gate.rule, event.by, event.reason) == (S.PAUSED, operator.RULE, "ann", "holiday")
    assert guard.lapse(gate, NOON + 10**8, OVER) is None


def test_an_operators_pause_with_expiry_ends_by_itself_without_a_probe() -> None:
    gate, _ = operator.pause(SCOPE, None, now=NOON, until=NOON + HOUR, reason="maintenance", by="ann")
    assert guard.lapse(gate, NOON + HOUR - 1, OVER) is None
    moved = guard.lapse(gate, NOON + HOUR, OVER)
    assert moved is not None
    assert (moved[0].state, moved[1].reason) == (S.OPEN, said(OVER))


def test_new_terms_of_a_pause_belong_to_the_same_episode() -> None:
    gate, _ = operator.pause(SCOPE, None, now=NOON, until=0.0, reason="a", by="ann")
    again, event = operator.pause(SCOPE, gate, now=NOON + 5, until=NOON + HOUR, reason="b", by="bob")
    assert (again.pause_id, again.until, event.before) == (gate.pause_id, NOON + HOUR, S.PAUSED)
    opened, _ = operator.resume(again, now=NOON + 9, reason="", by="bob")
    third, _ = operator.pause(SCOPE, opened, now=NOON + 10, until=0.0, reason="c", by="bob")
    assert third.pause_id != gate.pause_id


def test_a_pause_into_the_past_is_refused() -> None:
    with pytest.raises(InvalidInput, match="until"):
        operator.pause(SCOPE, None, now=NOON, until=NOON - 1, reason="", by="ann")


@pytest.mark.parametrize("state", [S.SLOWED, S.PAUSED, S.PROBING, S.HARD_STOPPED])
def test_an_operator_opens_any_gate_and_evidence_counts_anew(state: GateState) -> None:
    gate = replace(paused(), state=state)
    assert operator.is_closed(gate)
    opened, event = operator.resume(gate, now=NOON + 5 * HOUR, reason="list cleaned", by="ann")
    assert (opened.state, opened.until, opened.episodes) == (S.OPEN, 0.0, 0)
    assert (opened.epoch, opened.base_bad, opened.base_total) == (cohort_of(NOON + 5 * HOUR), 0, 0)
    assert event.pause_id == gate.pause_id
    assert not operator.is_closed(opened)


def test_a_resume_within_the_hour_of_the_pause_forgives_what_had_been_counted() -> None:
    opened, _ = operator.resume(paused(), now=NOON + 60, reason="", by="ann")
    assert (opened.epoch, opened.base_bad, opened.base_total) == (cohort_of(NOON), 9, 50)


def test_an_open_gate_cannot_be_resumed() -> None:
    with pytest.raises(guard.IllegalMove):
        operator.resume(guard.first("bounces", SCOPE), now=NOON, reason="", by="ann")
