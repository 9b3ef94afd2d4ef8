"""A rate holds in every span of time, lets nobody starve, and survives clocks and changes of rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gcra import SKEW, Rate, available, given_back, opens_at, parse_rate, taken

NOW = 1_800_000_000.0
RATES = st.builds(
    Rate, count=st.floats(0.1, 5000), seconds=st.sampled_from([1.0, 60.0, 3600.0]), burst=st.integers(1, 200)
)
# (seconds until the next wish, how much is wished for, the share that turns out not to be used)
WISHES = st.lists(st.tuples(st.floats(0, 500), st.integers(1, 50), st.sampled_from([0.0, 0.5, 1.0])), max_size=60)


@given(RATES, WISHES)
def test_no_span_sees_more_than_its_rate_and_one_burst(rate: Rate, wishes: list[tuple[float, int, float]]) -> None:
    tat, now, went = 0.0, NOW, list[tuple[float, int]]()
    for wait, wanted, unused in wishes:
        now += wait * rate.interval
        units = min(wanted, available(rate, tat, now))
        tat = taken(rate, tat, now, units)
        back = int(units * unused)
        tat = given_back(rate, tat, back)
        went.append((now, units - back))
    for first in range(len(went)):
        total = 0
        for at, units in went[first:]:
            total += units
            span = at - went[first][0]
            assert total <= rate.burst + span / rate.interval + 0.1


@given(RATES, st.integers(1, 400))
def test_whoever_waits_until_it_opens_gets_a_unit(rate: Rate, units: int) -> None:
    tat = 0.0
    now = NOW
    for _ in range(units):
        now = opens_at(rate, tat, now)
        assert available(rate, tat, now) >= 1
        tat = taken(rate, tat, now, 1)
    assert now - NOW <= max(0, units - rate.burst) * rate.interval + 0.01, "the full rate is reached"


@given(RATES)
def test_an_idle_bucket_holds_one_burst_and_no_more(rate: Rate) -> None:
    tat = taken(rate, 0.0, NOW, rate.burst)
    assert available(rate, tat, NOW) == 0
    assert available(rate, tat, NOW + (rate.burst + 1) * rate.interval + 1e-3) == rate.burst


@given(RATES, st.floats(-1e9, 1e9))
def test_a_clock_that_was_set_back_costs_a_burst_at_most(rate: Rate, skew: float) -> None:
    assert opens_at(rate, NOW + skew, NOW) <= NOW + rate.burst * rate.interval + 1e-3


@given(RATES, st.floats(0, 1e9))
def test_after_a_clock_was_set_back_mail_flows_again_within_a_minute_and_the_burst(rate: Rate, skew: float) -> None:
    at = NOW + SKEW + (rate.burst + 1) * rate.interval + 1
    assert available(rate, NOW + skew, NOW) >= 1 or available(rate, NOW + skew, at) >= 1


def test_rates_are_read_and_written() -> None:
    rate = parse_rate("600/minute")
    assert (rate.count, rate.seconds, rate.burst, str(rate)) == (600, 60, 10, "600/minute")
    assert parse_rate("1/day").burst == 1
    assert parse_rate("2.5 / second", burst=7).burst == 7


@pytest.mark.parametrize("text", ["", "600", "600/week", "x/minute", "0/minute", "-1/hour", "nan/hour", "inf/second"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        parse_rate(text)
