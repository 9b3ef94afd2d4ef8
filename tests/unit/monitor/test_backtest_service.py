"""A back-test decides what the running monitor decides: parts of scopes, canaries, rules that only tell, and time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.clock import FixedClock
from core.events import Event, GateState
from core.lane import HOUR
from core.metrics import Metric
from core.state import CounterKey
from monitor.backtest import Backtest
from monitor.canary import Terms
from monitor.counters import fold
from monitor.hindsight import Outcome
from monitor.projector import Projector
from tests.unit.monitor.world import NOON, Memory, bounced, delivered, rule, under
from warmup.admission import gate_allowance

RULES = [
    rule(),
    rule(name="bounces-campaign", by=["stream", "campaign"], false_alarm_chance=0.01),
    rule(name="domain", by=["sending_domain"], action="alert"),
]


def counts(at: float, campaign: str, attempted: int, bad: int, provider: str = "yahoo") -> dict[CounterKey, int]:
    attribution = under(at, campaign=campaign, provider=provider)
    return {
        CounterKey(attribution=attribution, metric=Metric.ATTEMPTED): attempted,
        CounterKey(attribution=attribution, metric=Metric.HARD_BOUNCED): bad,
    }


def test_of_a_provider_in_trouble_only_the_campaign_to_blame_is_held() -> None:
    test = Backtest([rule()], allowance=gate_allowance)
    for hour in range(4):
        at = NOON + hour * HOUR
        test.take(at + HOUR, counts(at, "summer", 900, 5) | counts(at, "spring", 200, 40))
    (found,) = test.findings
    assert found.scope == "provider=yahoo,stream=bulk,campaign=spring"
    assert found.held == 600
    assert found.outcome is Outcome.SPARED


def test_a_rule_that_only_alerts_is_told_with_its_end_and_holds_nothing() -> None:
    test = Backtest([rule(by=["sending_domain"], action="alert", recovery_hours=3)], allowance=gate_allowance)
    for hour in range(12):
        at = NOON + hour * HOUR
        test.take(at + HOUR, counts(at, "", 500, 60 if hour == 1 else 1))
    (told,) = test.told
    assert (told.action, told.scope) == ("alert", "sending_domain=news.example")
    assert told.at == NOON + 2 * HOUR
    assert told.until > told.at
    assert test.findings == []


def canaried(*hours: tuple[int, int], hours_of_waiting: float = 2) -> Backtest:
    test = Backtest(
        [rule(by=["stream", "campaign"])], allowance=gate_allowance,
        canaries={"bulk": Terms(messages=500, hours=hours_of_waiting)},
    )  # fmt: skip
    for index, (attempted, bad) in enumerate(hours):
        at = NOON + index * HOUR
        test.take(at + HOUR, counts(at, "spring", attempted, bad))
    test.end()
    return test


def test_a_good_campaign_waits_behind_its_canary_and_all_of_it_goes() -> None:
    test = canaried((5000, 25), (0, 0), (0, 5), (10, 0))
    (run,) = test.canaries
    assert (run.slice, run.waited) == (500, 4500)
    assert run.until == NOON + 3 * HOUR
    assert test.findings == []
    assert test.messages == 5010


def test_a_bad_campaign_is_stopped_by_its_slice_and_the_pause_has_held_the_rest() -> None:
    test = canaried((5000, 600), (0, 50), (0, 50))
    (found,) = test.findings
    assert found.state is GateState.PAUSED
    assert found.evidence.numerator == 60
    assert found.held == 4500
    assert found.bad == 540  # nine tenths of all
    assert found.outcome is Outcome.SPARED
    assert test.canaries[0].until == 0.0


def test_a_pause_ends_in_a_probe_also_where_no_mail_comes_for_hours() -> None:
    test = Backtest([rule(pause_hours=6, probe_messages=50)], allowance=gate_allowance)
    test.take(NOON + HOUR, counts(NOON, "", 1000, 200))
    later = NOON + 12 * HOUR
    test.take(later + HOUR, counts(later, "", 400, 2))
    assert test.findings[0].held == 350  # its probe was let through


hours_of_mail = st.lists(
    st.tuples(st.sampled_from(["", "spring", "summer"]), st.sampled_from(["yahoo", "gmail"]), st.integers(0, 60),
              st.integers(0, 12)), max_size=8,
)  # fmt: skip


@given(hours_of_mail)
async def test_until_a_gate_closes_it_decides_what_the_running_monitor_decides(
    hours: list[tuple[str, str, int, int]],
) -> None:
    memory, clock = Memory(), FixedClock(NOON)
    projector = Projector(
        log=memory, counters=memory, controls=memory, rules=RULES, transactional=("tx",), no_feedback=frozenset(),
        clock=clock, on_change=lambda: None,
    )  # fmt: skip
    test = Backtest(RULES, allowance=gate_allowance, transactional=("tx",))
    for index, (campaign, provider, good, bad) in enumerate(hours):
        at = NOON + index * HOUR
        mail: list[Event] = [delivered(at, campaign=campaign, provider=provider) for _ in range(good)]
        mail += [bounced(at, campaign=campaign, provider=provider) for _ in range(bad)]
        memory.events += mail
        clock.advance(HOUR)
        while await projector.step():
            pass
        test.take(at + HOUR, fold(mail))
        gates = {(gate.rule, gate.scope.key, gate.state) for gate in projector.gates}
        assert {(found.rule, found.scope, found.state) for found in test.findings} == gates
        if gates:  # from here on the past's mail is held back in the one and not in the other
            break
    assert {(told.rule, told.scope) for told in test.told} == {
        (told.rule, told.scope.key) for told in projector.findings.firing
    }


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 30)), min_size=1, max_size=12), st.integers(0, 5))
def test_all_mail_goes_waits_or_is_held(hours: list[tuple[int, int]], waiting: int) -> None:
    test = canaried(*[(n, min(bad, n)) for n, bad in hours], hours_of_waiting=waiting)
    sent = sum(n for key, n in test.counted.items() if key.metric == Metric.ATTEMPTED)
    held, waits = sum(found.held for found in test.findings), test.behind_canaries
    assert sent + held + waits == sum(n for n, _ in hours)
