"""Admission: the least of gates, hours, lag, step and pace; and that no day's cap can be passed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.model import Settings
from config.tables import Plan
from core.decision import Admit, Decision, Defer, DeferReason
from core.events import GateState
from core.lane import Campaign, cohort_of, day_of
from core.state import CANARY, Gate, Snapshot, StepState
from tests.unit.warmup.world import DAY, MIDNIGHT, NOON, SETTINGS, gate, lane, plan, state, traffic
from warmup.admission import GateAdmission, lane_key, paced_cap, transactional_key, watched

PLAN = plan()
S, R = GateState, DeferReason
KEY, TX_KEY = lane_key(lane()), transactional_key(lane())
TODAY = day_of(NOON)


def snapshot(
    *gates: Gate, step: StepState | None = None, used: dict[tuple[str, int], int] | None = None, lag: float = 0
) -> Snapshot:
    step = step or state()
    return Snapshot(gates=gates, steps={step.lane: step}, used=used or {}, monitor_lag=lag)


def decide(
    seen: Snapshot, fresh: int = 10, retries: int = 0, now: float = NOON, stream: str = "bulk", plans: Any = (PLAN,),
    settings: Settings = SETTINGS, provider: str = "gmail",
) -> Decision:  # fmt: skip
    decision = GateAdmission(plans, settings).decide(traffic(provider, stream), fresh, retries, seen, now)
    assert decision.messages >= 1 if isinstance(decision, Admit) else decision.until > now
    return decision


def deferred(decision: Decision) -> tuple[DeferReason, float]:
    assert isinstance(decision, Defer), decision
    return decision.reason, decision.until


def admitted(decision: Decision) -> Admit:
    assert isinstance(decision, Admit), decision
    return decision


def test_clear_traffic_takes_from_the_paced_cap_of_its_lane() -> None:
    answer = admitted(decide(snapshot()))
    assert answer.messages == 10
    assert answer.allowances == ((KEY, TODAY, paced_cap(100, PLAN, NOON)),)
    assert answer.retry_allowances == ()


@pytest.mark.parametrize("closed", [S.PAUSED, S.HARD_STOPPED])
def test_a_closed_gate_stops_first_attempts_and_retries(closed: GateState) -> None:
    seen = snapshot(gate(closed, until=NOON + 500, provider="gmail"))
    assert deferred(decide(seen, retries=5)) == (R.PAUSED, NOON + 500)


def test_of_two_closed_gates_the_later_expiry_counts_and_none_means_ask_in_an_hour() -> None:
    first, second = gate(S.PAUSED, until=NOON + 500), gate(S.PAUSED, until=NOON + 900, provider="gmail")
    assert deferred(decide(snapshot(first, second)))[1] == NOON + 900
    assert deferred(decide(snapshot(first, gate(S.HARD_STOPPED))))[1] == NOON + 3600
    assert deferred(decide(snapshot(gate(S.PAUSED, until=NOON - 5))))[1] == NOON + 60


def test_a_campaign_that_is_tried_out_leaves_the_first_hours_of_a_wider_probe_to_other_mail() -> None:
    wide = gate(S.PROBING, until=NOON + 3600, limit=50, provider="gmail")
    own = replace(gate(S.PROBING, until=NOON + 3600, limit=50, stream="bulk", campaign="spring"), pause_id="p2")
    both, mail = snapshot(wide, own), replace(traffic(), campaign=Campaign("spring"))
    admission = GateAdmission((PLAN,), SETTINGS)
    assert deferred(admission.decide(mail, 5, 0, both, NOON)) == (R.PROBE_SPENT, NOON + 3600)
    assert deferred(admission.decide(mail, 0, 5, both, NOON + 6 * 3600 - 60)) == (R.PROBE_SPENT, NOON + 6 * 3600)
    for others in (traffic(), replace(traffic(), campaign=Campaign("autumn"))):
        admitted(admission.decide(others, 5, 0, both, NOON))
    admitted(admission.decide(mail, 5, 0, both, NOON + 6 * 3600))  # nobody else may have come
    recovering = replace(wide, state=S.SLOWED, episodes=1)
    deferred(admission.decide(mail, 5, 0, snapshot(recovering, own), NOON))
    for alone in (snapshot(own), snapshot(wide), snapshot(replace(recovering, episodes=0), own)):
        admitted(admission.decide(mail, 5, 0, alone, NOON))


def test_a_gate_over_other_traffic_or_that_spares_this_stream_stops_nothing() -> None:
    elsewhere = gate(S.PAUSED, provider="yahoo")
    sparing = gate(S.PAUSED, provider="gmail", spare=("transactional",))
    admitted(decide(snapshot(elsewhere)))
    admitted(decide(snapshot(sparing), stream="transactional"))
    assert deferred(decide(snapshot(sparing)))[0] is R.PAUSED


def test_a_probe_bounds_every_attempt_and_keeps_half_of_it_for_first_attempts() -> None:
    probe = gate(S.PROBING, until=NOON + 3600, limit=50)
    answer = admitted(decide(snapshot(probe), fresh=80, retries=80))
    period = cohort_of(NOON + 3600)
    assert answer.messages == 50
    assert answer.allowances[0] == ("probe:p1", period, 50)
    assert answer.retry_allowances == (("probe:p1", period, 25),)
    alone = admitted(decide(snapshot(probe), fresh=0, retries=80))
    assert alone.retry_allowances == (("probe:p1", period, 50),)


def test_a_spent_probe_waits_for_its_outcomes() -> None:
    probe = gate(S.PROBING, until=NOON + 1800, limit=50)
    seen = snapshot(probe, used={("probe:p1", cohort_of(NOON + 1800)): 50})
    assert deferred(decide(seen, retries=3)) == (R.PROBE_SPENT, NOON + 1800)


def test_a_slowed_scope_has_an_hourly_allowance_for_all_its_attempts() -> None:
    slow = gate(S.SLOWED, until=NOON + 3600, limit=40)
    answer = admitted(decide(snapshot(slow), fresh=30, retries=30))
    assert answer.messages == 40
    assert answer.retry_allowances == (("slow:p1", cohort_of(NOON), 40),)
    spent = snapshot(slow, used={("slow:p1", cohort_of(NOON)): 40})
    assert deferred(decide(spent, now=NOON + 7)) == (R.SLOWED, NOON + 3600)


def test_outside_the_plans_hours_first_attempts_wait_and_retries_go_without_them() -> None:
    hours = plan(hour_from=8, hour_to=20)
    for now, opens in ((MIDNIGHT + 3600, MIDNIGHT + 8 * 3600), (MIDNIGHT + 20 * 3600, MIDNIGHT + DAY + 8 * 3600)):
        assert deferred(decide(snapshot(), now=now, plans=[hours])) == (R.OUTSIDE_HOURS, opens)
        answer = admitted(decide(snapshot(), retries=4, now=now, plans=[hours]))
        assert answer.allowances == ((KEY, TODAY, 0),)
        assert answer.retry_allowances == ()
    admitted(decide(snapshot(), stream="transactional", now=MIDNIGHT + 3600, plans=[hours]))


def test_a_ramping_lane_holds_while_the_monitor_lags_and_others_go_on() -> None:
    assert deferred(decide(snapshot(lag=61)))[0] is R.MONITOR_LAG
    admitted(decide(snapshot(lag=61), stream="transactional"))
    admitted(decide(snapshot(lag=61, step=state(finished=True))))
    admitted(decide(snapshot(lag=59)))


def test_without_todays_step_mail_waits_shortly() -> None:
    assert deferred(decide(Snapshot())) == (R.NO_PLAN, NOON + 60)
    assert deferred(decide(snapshot(step=state(now=NOON - DAY))))[0] is R.NO_PLAN
    assert deferred(decide(snapshot(step=state(now=NOON - DAY, finished=True))))[0] is R.NO_PLAN


def test_lanes_without_a_plan_and_finished_lanes_are_not_limited() -> None:
    off = SETTINGS.model_copy(update={"warmup": SETTINGS.warmup.model_copy(update={"enabled": False})})
    for answer in (
        decide(Snapshot(), plans=()),
        decide(Snapshot(), settings=off),
        decide(snapshot(step=state(finished=True)), fresh=10**6),
    ):
        assert admitted(answer).allowances == ()


def test_a_spent_cap_waits_for_tomorrow_and_an_unspent_one_for_its_share() -> None:
    assert deferred(decide(snapshot(used={(KEY, TODAY): 100}))) == (R.ALLOWANCE_SPENT, MIDNIGHT + DAY)
    paced = paced_cap(100, PLAN, NOON)
    reason, until = deferred(decide(snapshot(used={(KEY, TODAY): paced})))
    assert reason is R.PACED
    assert paced_cap(100, PLAN, until) > paced
    assert paced_cap(100, PLAN, until - 60) == paced


def test_transactional_mail_goes_a_fifth_above_a_spent_cap_under_a_key_of_its_own() -> None:
    def answer(used: int, above: int) -> Decision:
        seen = snapshot(used={(KEY, TODAY): used, (TX_KEY, TODAY): above})
        return decide(seen, stream="transactional")

    assert admitted(answer(0, 0)).allowances == ((KEY, TODAY, 100),)
    assert admitted(answer(100, 0)).allowances == ((TX_KEY, TODAY, 20),)
    assert deferred(answer(100, 20)) == (R.ALLOWANCE_SPENT, MIDNIGHT + DAY)


def test_unknown_providers_take_from_one_shared_lane() -> None:
    shared = state(lane=lane("other"))
    seen = Snapshot(steps={shared.lane: shared})
    assert admitted(decide(seen, provider="other:mx.x.example")).allowances[0][0] == lane_key(lane("other"))


def test_whoever_reads_what_is_used_is_told_every_allowance_in_force() -> None:
    gates = [gate(S.PROBING, until=NOON + 7200, limit=5), gate(S.SLOWED, until=NOON, limit=5), gate(S.PAUSED)]
    assert watched(gates, [state()], NOON) == {
        TODAY: [KEY, TX_KEY, "source:a|gmail", "domain:news.example|gmail", "plan:p"],
        cohort_of(NOON + 7200): ["probe:p1"],
        cohort_of(NOON): ["slow:p1"],
    }


@given(
    st.integers(1, 100_000), st.integers(0, 22), st.integers(1, 24), st.lists(st.floats(0, 1), min_size=2, max_size=20)
)
def test_the_paced_cap_grows_over_the_hours_up_to_the_cap(cap: int, begin: int, length: int, at: list[float]) -> None:
    given_plan = plan(hour_from=begin, hour_to=min(24, begin + length))
    shares = [paced_cap(cap, given_plan, MIDNIGHT + part * (DAY - 1)) for part in sorted(at)]
    assert shares == sorted(shares)
    assert all(0 <= share <= cap for share in shares)
    assert paced_cap(cap, given_plan, MIDNIGHT + given_plan.hour_to * 3600 - 120) == cap


wishes = st.lists(
    st.tuples(
        st.floats(0, 1500), st.integers(0, 300), st.integers(0, 50), st.sampled_from(["bulk", "transactional"]),
        st.booleans(),
    ),
    min_size=1, max_size=120,
)  # fmt: skip


@given(wishes, st.integers(1, 3000), st.integers(0, 12), st.integers(1, 12))
def test_no_order_of_wishes_and_no_stale_snapshot_passes_a_days_cap(
    asked: list[tuple[float, int, int, str, bool]], cap: int, begin: int, length: int
) -> None:
    """The claim's conditional UPDATE, played by a counter, over one day; the snapshot may be as old as it likes."""
    given_plan: Plan = plan(hour_from=begin, hour_to=begin + length)
    admission = GateAdmission([given_plan], SETTINGS)
    taken: dict[tuple[str, int], int] = {}
    sent = {"bulk": 0, "transactional": 0}
    now, seen = MIDNIGHT, snapshot(step=state(cap=cap))
    for later, fresh, retries, stream, refresh in asked:
        now = min(now + later, MIDNIGHT + DAY - 1)
        if fresh + retries == 0:
            continue
        if refresh:
            seen = snapshot(step=state(cap=cap), used=dict(taken))
        answer = admission.decide(traffic(stream=stream), fresh, retries, seen, now)
        if not isinstance(answer, Admit):
            continue
        for _ in range(min(fresh, answer.messages)):
            if all(taken.get(a[:2], 0) < a[2] for a in answer.allowances):
                sent[stream] += 1
                for key, period, _cap in answer.allowances:
                    taken[key, period] = taken.get((key, period), 0) + 1
    assert sent["bulk"] <= cap
    assert sent["bulk"] + sent["transactional"] <= cap + math.ceil(cap * 0.2)


def test_a_canary_bounds_first_attempts_from_the_first_message_on_and_lets_retries_go() -> None:
    admission = GateAdmission((PLAN,), SETTINGS, {"bulk": 50})
    campaign = replace(traffic("gmail", "bulk"), campaign=Campaign("spring"))
    key = "canary:stream=bulk,campaign=spring"

    def ask(seen: Snapshot, fresh: int = 100, retries: int = 0) -> Decision:
        return admission.decide(campaign, fresh, retries, seen, NOON)

    first = admitted(ask(snapshot()))
    assert (key, 0, 50) in first.allowances
    assert first.messages <= 50
    assert first.retry_allowances == ()
    written = replace(gate(S.PROBING, stream="bulk", campaign="spring", limit=50), rule=CANARY)
    assert watched([written], [], NOON) == {0: [key]}
    spent = {(key, 0): 50}
    assert deferred(ask(snapshot(written, used=spent)))[0] is R.CANARY
    again = admitted(ask(snapshot(written, used=spent), retries=7))
    assert (again.messages, (key, 0, 50) in again.allowances, again.retry_allowances) == (7, True, ())
    opened = replace(written, state=S.OPEN)
    assert admitted(ask(snapshot(opened))).allowances == ((KEY, TODAY, paced_cap(100, PLAN, NOON)),)
    assert admitted(admission.decide(traffic("gmail", "bulk"), 10, 0, snapshot(), NOON)).messages == 10
