"""A back-test moves the service's own gates over old counts, and says in hindsight whether a pause was worth it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import GateState
from core.lane import HOUR
from core.metrics import Metric
from core.state import CounterKey
from monitor.backtest import Backtest
from monitor.hindsight import Outcome
from tests.unit.monitor.world import NOON, rule, under
from warmup.admission import gate_allowance


def counts(at: float, attempted: int, bad: int, provider: str = "yahoo", stream: str = "bulk") -> dict[CounterKey, int]:
    given = under(at, provider=provider, stream=stream)
    return {
        CounterKey(attribution=given, metric=Metric.ATTEMPTED): attempted,
        CounterKey(attribution=given, metric=Metric.HARD_BOUNCED): bad,
    }


def backtested(hours: list[tuple[int, int]], **changes: object) -> Backtest:
    test = Backtest([rule(**changes)], allowance=gate_allowance, transactional=("transactional",))
    for index, (attempted, bad) in enumerate(hours):
        at = NOON + index * HOUR
        test.take(at + HOUR, counts(at, attempted, bad))
    test.end()
    return test


def test_a_good_past_has_no_pauses() -> None:
    test = backtested([(1000, 8)] * 48)
    assert test.findings == []
    assert test.messages == 48_000


def test_a_bad_list_is_found_and_the_rest_of_it_is_spared() -> None:
    test = backtested([(1000, 5)] * 5 + [(1000, 150)] * 6)
    (found,) = test.findings
    assert found.state is GateState.PAUSED
    assert found.at == NOON + 6 * HOUR
    assert found.held == 5000
    assert (found.total, found.bad) == (5000, 750)
    assert found.outcome is Outcome.SPARED
    assert found.until == 0.0


def test_good_mail_that_waits_behind_a_pause_is_wrongly_held() -> None:
    test = backtested([(1000, 150)] + [(1000, 5)] * 6)
    (found,) = test.findings
    assert found.outcome is Outcome.WRONGLY_HELD
    assert found.held > 4000


def test_little_held_mail_tells_nothing() -> None:
    test = backtested([(1000, 150), (10, 0)])
    assert test.findings[0].outcome is Outcome.UNKNOWN


def test_a_probe_and_a_slowed_scope_let_their_share_through_until_the_gate_opens() -> None:
    test = backtested([(1000, 150)] + [(1000, 2)] * 40, pause_hours=6, probe_messages=50, slow_per_hour=50)
    (found,) = test.findings
    assert found.until > 0
    assert 6000 <= found.held <= 12_000
    assert found.closings == 1


def test_other_scopes_and_spared_streams_go_on() -> None:
    test = Backtest([rule()], allowance=gate_allowance, transactional=("transactional",))
    test.take(NOON + HOUR, counts(NOON, 1000, 200))
    for provider, stream in (("gmail", "bulk"), ("yahoo", "transactional")):
        test.take(NOON + 2 * HOUR, counts(NOON + HOUR, 500, 5, provider, stream))
    assert [found.held for found in test.findings] == [0]


def test_late_events_of_held_mail_are_spared_in_proportion() -> None:
    test = Backtest([rule()], allowance=gate_allowance)
    test.take(NOON + HOUR, counts(NOON, 1000, 200))
    test.take(NOON + 2 * HOUR, counts(NOON + HOUR, 400, 0))
    for hour in range(3, 8):
        late = {CounterKey(attribution=under(NOON + HOUR), metric=Metric.HARD_BOUNCED): 3}
        test.take(NOON + hour * HOUR, late)
    (found,) = test.findings
    assert (found.held, found.total, found.bad) == (400, 400, 15)


def test_an_alerting_rule_holds_nothing() -> None:
    assert backtested([(1000, 150)] * 3, action="alert").findings == []


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=30))
def test_no_more_is_held_than_was_sent(hours: list[tuple[int, int]]) -> None:
    test = backtested([(attempted, min(bad, attempted)) for attempted, bad in hours])
    assert sum(found.held for found in test.findings) <= sum(attempted for attempted, _ in hours)
    for found in test.findings:
        assert 0 <= found.bad <= found.total <= found.held


@pytest.mark.parametrize("hours", [1, 3, 7])
def test_the_size_of_slices_changes_when_but_not_whether(hours: int) -> None:
    test = Backtest([rule()], allowance=gate_allowance)
    for start in range(0, 21, hours):
        sums: dict[CounterKey, int] = {}
        for hour in range(start, start + hours):
            sums |= counts(NOON + hour * HOUR, 500, 100 if hour >= 7 else 2)
        test.take(NOON + (start + hours) * HOUR, sums)
    assert [found.scope for found in test.findings] == ["provider=yahoo,stream=bulk"]
