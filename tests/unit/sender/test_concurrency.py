"""The window of connections: grows by whole rounds, closes by half rounds, and one failure moves nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.classify import Group
from core.lane import Site, Source
from sender.concurrency import INITIAL, ROUND, Feedback, first_window
from sender.schedule import LaneRest

NOW = 1_800_000_000.0
A, SITE = Source("a"), Site("mx.a.test")


def test_a_round_of_deliveries_opens_one_more() -> None:
    feedback, window, seen = Feedback(), 1, []
    for _ in range(10):
        window = feedback.success(window)
        seen.append(window)
    assert seen == [2, 2, 3, 3, 3, 4, 4, 4, 4, 5]


def test_one_failure_moves_nothing_half_a_round_closes_one_a_round_is_the_end() -> None:
    feedback = Feedback()
    assert [feedback.failure(4), feedback.failure(4), feedback.failure(3), feedback.failure(3)] == [4, 3, 3, 0]


@given(st.integers(1, 200), st.lists(st.booleans(), max_size=200))
def test_the_window_moves_by_one_and_never_swings(start: int, outcomes: list[bool]) -> None:
    feedback, window = Feedback(), start
    failures = 0
    for good in outcomes:
        before = min(window, ROUND) if not good else window
        window = feedback.success(window) if good else feedback.failure(window)
        failures = 0 if good else failures + 1
        if window == 0:
            assert failures >= min(before, ROUND) / 2, "never for less than half a round in a row"
            window, failures = 1, 0
            continue
        assert abs(window - before) <= 1
        assert window >= 1


@given(st.integers(1, 64))
def test_processes_begin_with_the_first_window_between_them(processes: int) -> None:
    assert INITIAL <= first_window(processes) * processes < INITIAL + processes


def test_an_unknown_site_begins_small_and_earns_its_limit() -> None:
    rest = LaneRest()
    assert rest.width(A, SITE, 25) == INITIAL
    for _ in range(INITIAL + 6 + 7):
        rest.success(A, SITE)
    assert rest.width(A, SITE, 25) == INITIAL + 3
    assert rest.width(A, SITE, 6) == 6, "never above the table"


def test_a_failed_connection_where_mail_flows_does_not_stop_the_site() -> None:
    rest = LaneRest()
    rest.success(A, SITE)
    rest.trouble(A, SITE, Group.INFRASTRUCTURE, NOW)
    assert rest.until(A, SITE) == 0.0
    for _ in range(INITIAL):
        rest.trouble(A, SITE, Group.INFRASTRUCTURE, NOW)
    assert rest.until(A, SITE) > NOW, "a whole round does"
    assert rest.width(A, SITE, 25) == 1


def test_a_site_that_never_answered_rests_at_the_first_failure() -> None:
    rest = LaneRest()
    rest.trouble(A, SITE, Group.INFRASTRUCTURE, NOW)
    assert rest.until(A, SITE) > NOW
