"""Figures of placement tests: intervals, weights, comparison, stale seeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.placement import PlacementTested, SeedOutcome, SeedResult
from monitor.placement import STALE_TESTS, compare, jeffreys, share, stale_seeds, summarise

NOW = 1_790_000_000.0
DAY = 86_400.0


def result(mailbox: str, outcome: SeedOutcome, provider: str = "gmail", seconds: float = -1.0) -> SeedResult:
    return SeedResult(mailbox=mailbox, provider=provider, outcome=outcome, seconds=seconds)


def several(count: int, outcome: SeedOutcome, provider: str = "gmail") -> list[SeedResult]:
    return [result(f"{provider}-{outcome}-{i}", outcome, provider) for i in range(count)]


@pytest.mark.parametrize(
    ("part", "of", "low", "high"),
    [(5, 5, 0.62, 1.0), (20, 20, 0.88, 1.0), (18, 20, 0.72, 0.98), (113, 126, 0.83, 0.94), (0, 5, 0.0, 0.38)],
)
def test_the_interval_is_that_of_jeffreys(part: int, of: int, low: float, high: float) -> None:
    found = jeffreys(part, of)
    assert (round(found[0], 2), round(found[1], 2)) == (low, high)


@given(st.integers(1, 300), st.data())
def test_an_interval_holds_its_share_and_mirrors(of: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, of))
    low, high = jeffreys(part, of)
    assert 0 <= low <= part / of <= high <= 1
    mirrored = jeffreys(of - part, of)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


@pytest.mark.parametrize(("part", "of"), [(1, 0), (2, 1), (-1, 1), (0, 0)])
def test_what_is_no_share_is_refused(part: int, of: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        jeffreys(part, of)


def test_what_was_not_delivered_or_not_looked_for_is_told_beside_the_share() -> None:
    rows = [
        *several(3, SeedOutcome.INBOX), *several(1, SeedOutcome.TAB), *several(1, SeedOutcome.SPAM),
        *several(1, SeedOutcome.ABSENT), *several(2, SeedOutcome.REJECTED), *several(2, SeedOutcome.DEFERRED),
        *several(2, SeedOutcome.NOT_SENT), *several(2, SeedOutcome.UNKNOWN), *several(2, SeedOutcome.WAITING),
    ]  # fmt: skip
    found = summarise(rows, {})
    assert (found.inbox.part, found.inbox.of) == (4, 6)
    assert sum(found.counts.values()) == len(rows)
    assert found.counts[SeedOutcome.REJECTED] == 2


def test_a_provider_without_seeds_is_not_covered_and_not_good() -> None:
    rows = [*several(4, SeedOutcome.INBOX), *several(4, SeedOutcome.SPAM, "yahoo")]
    found = summarise(rows, {"gmail": 600, "yahoo": 200, "mailru": 200}).weighted
    assert found.rate == pytest.approx(0.75)
    assert found.covered == pytest.approx(0.8)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.75 < found.high < 1
    assert summarise(rows, {"mailru": 5}).weighted.rate is None
    assert summarise([], {"gmail": 5}).weighted.rate is None


def test_equal_weights_of_one_provider_give_the_plain_share() -> None:
    found = summarise([*several(18, SeedOutcome.INBOX), *several(2, SeedOutcome.SPAM)], {"gmail": 7}).weighted
    plain = share(18, 20)
    assert (found.rate, found.low, found.high) == pytest.approx((0.9, plain.low, plain.high))


@pytest.mark.parametrize(
    ("worse", "better", "p_value"), [(0, 0, 1.0), (1, 0, 1.0), (6, 0, 0.03125), (10, 1, 0.01171875), (5, 5, 1.0)]
)
def test_two_tests_are_compared_on_the_mailboxes_that_changed(worse: int, better: int, p_value: float) -> None:
    good, bad = SeedOutcome.INBOX, SeedOutcome.SPAM
    before = [result(f"w{i}", good) for i in range(worse)] + [result(f"b{i}", bad) for i in range(better)]
    after = [result(f"w{i}", bad) for i in range(worse)] + [result(f"b{i}", good) for i in range(better)]
    same = [result("same", SeedOutcome.TAB), result("gone", SeedOutcome.UNKNOWN), result("new", good)]
    found = compare([*before, result("same", good), result("gone", good)], [*after, *same])
    assert (found.pairs, found.worse, found.better) == (worse + better + 1, worse, better)
    assert found.p_value == pytest.approx(p_value)


def test_a_seed_is_stale_when_it_is_old_and_its_outcomes_never_differ() -> None:
    tests = [
        PlacementTested(
            at=NOW, test_id=str(i), name="", stream="bulk", campaign="", sending_domain="a.b",
            started_at=NOW - 100 * DAY + i * 10 * DAY,
            results=(
                result("old", SeedOutcome.SPAM),
                result("lively", SeedOutcome.SPAM if i % 3 else SeedOutcome.INBOX),
                *([result("young", SeedOutcome.INBOX)] if i > 4 else []),
                result("blind", SeedOutcome.UNKNOWN),
            ),
        )
        for i in range(STALE_TESTS + 1)
    ]  # fmt: skip
    assert stale_seeds(tests, NOW, 90) == {"old"}
    assert stale_seeds(tests[::-1], NOW, 90) == {"old"}
    assert stale_seeds(tests, NOW, 120) == frozenset()
    assert stale_seeds(tests[2:], NOW, 50) == frozenset()
