"""What is odd about feedback, compared with its own past."""

from __future__ import annotations

import pytest

from monitor.feedback.watch import quantiles, rises, shifts, silences

TODAY = 20_000


def daily(name: str, counts: list[int], *, until: int = TODAY) -> dict[tuple[str, int], int]:
    """Counts of consecutive days, the last of which is `until`."""
    return {(name, until - len(counts) + 1 + n): count for n, count in enumerate(counts) if count}


@pytest.mark.parametrize(
    ("counts", "rising"),
    [([0] * 7 + [20], True), ([0] * 7 + [19], False), ([30] * 7 + [80], False), ([30] * 7 + [95], True), ([500], True)],
)
def test_a_rise_is_many_and_far_above_the_usual(counts: list[int], rising: bool) -> None:
    assert bool(rises(daily("bounce", counts), TODAY)) is rising


@pytest.mark.parametrize(
    ("counts", "silent"),
    [
        ([5] * 10 + [0, 0, 0, 0], True),
        ([5] * 10 + [0, 0], False),  # today is not over, and one day may be empty
        ([5, 0, 0, 5, 0, 0, 5, 0, 0, 5, 0, 0, 0, 0], False),  # never regular
        ([5, 5, 0, 5, 5, 0, 5, 5, 5, 0, 0, 0, 0], False),  # it has paused before, half as long
        ([5, 5, 0, 5, 5, 0, 5, 5, 0, 0, 0, 0, 0, 0], True),
        ([5, 5, 0, 0, 0, 0, 0], False),  # too short a past
        ([5] * 14, False),
    ],
)
def test_a_source_is_silent_when_it_paused_longer_than_ever(counts: list[int], silent: bool) -> None:
    found = silences(daily("complaint:yahoo.com", counts), TODAY)
    assert bool(found) is silent
    if silent:
        assert found[0].usual == pytest.approx(5, rel=0.4)


def test_refusals_that_fall_into_other_classes_are_a_shift() -> None:
    past = daily("gmail|mailbox_full", [50] * 10, until=TODAY - 2) | daily(
        "gmail|unknown_user", [50] * 10, until=TODAY - 2
    )
    same = past | {("gmail|mailbox_full", TODAY): 60, ("gmail|unknown_user", TODAY): 70}
    assert shifts(same, TODAY) == []
    (shift,) = shifts(past | {("gmail|spam_content", TODAY): 120, ("gmail|unknown_user", TODAY): 10}, TODAY)
    assert shift.provider == "gmail"
    assert shift.now == 130
    assert shift.classes[0][0] == "spam_content"
    assert shifts(past | {("gmail|spam_content", TODAY): 60}, TODAY) == [], "too few to say"
    assert shifts({("gmail|spam_content", TODAY): 500}, TODAY) == [], "no past to compare with"


def test_quantiles_of_few_values() -> None:
    assert quantiles([]) == {}
    assert quantiles([3.0]) == {"0.5": 3.0, "0.9": 3.0, "1": 3.0}
    assert quantiles([1.0, 2.0, 3.0, 4.0, 100.0])["1"] == 100.0
