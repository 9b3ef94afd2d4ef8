"""Ramp arithmetic: caps that rise to the target, plans per provider, what silence costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import DATA, _table
from config.tables import Plan
from tests.unit.warmup.world import lane, plan
from warmup.ramp import Ramp, is_other, plan_for, plan_lane, ramp_of

ramps = st.builds(
    Ramp,
    table=st.lists(st.integers(1, 10_000), min_size=1, max_size=12).map(lambda caps: tuple(sorted(caps))),
    growth=st.floats(1.01, 4.0),
    target=st.integers(1, 10_000_000),
)
PLANS = sorted((DATA / "plans").glob("*.toml"))


def test_a_geometric_plan_starts_at_its_start_and_ends_at_its_target() -> None:
    ramp = ramp_of(plan(), "gmail")
    assert [ramp.cap(step) for step in range(8)] == [100, 150, 225, 337, 506, 759, 1000, 1000]
    assert [ramp.is_last(step) for step in (5, 6)] == [False, True]


def test_a_table_comes_first_and_growth_goes_on_after_its_end() -> None:
    ramp = ramp_of(plan(table=[50, 100, 500], growth=2, target=3000), "gmail")
    assert [ramp.cap(step) for step in range(7)] == [50, 100, 500, 1000, 2000, 3000, 3000]


def test_a_provider_may_have_its_own_start_growth_and_target() -> None:
    given = plan(
        table=[50, 100], providers={"outlook": {"start": 10, "growth": 2, "target": 30}, "yahoo": {"target": 70}}
    )
    assert [ramp_of(given, "outlook").cap(step) for step in range(4)] == [10, 20, 30, 30]
    assert [ramp_of(given, "yahoo").cap(step) for step in range(2)] == [50, 70]


def test_unknown_providers_share_one_lane_and_one_ramp() -> None:
    given = plan(providers={"other:*": {"start": 7}, "other:mx.big.example": {"start": 9}})
    assert plan_lane(lane("other:mx.small.example")) == plan_lane(lane("other:mx.big.example"))
    assert plan_lane(lane("gmail")) == lane("gmail")
    assert ramp_of(given, "other").cap(0) == 7
    assert is_other("other:x")
    assert not is_other("gmail")


def test_the_first_plan_that_covers_a_lane_is_its_plan() -> None:
    narrow, wide = plan(name="narrow", sources=["b"]), plan(name="wide")
    assert plan_for([narrow, wide], lane()) == wide
    assert plan_for([narrow, wide], lane(source="b")) == narrow
    assert plan_for([narrow], lane()) is None
    assert plan_for([wide], lane(provider="relay:esp")) is None, "a relay knows us by our login"
    assert plan_for([plan(sending_domains=["x.example"])], lane()) is None


@given(ramps, st.integers(0, 1500))
def test_caps_never_fall_with_the_step_and_never_pass_the_target(ramp: Ramp, step: int) -> None:
    assert 1 <= ramp.cap(step) <= ramp.cap(step + 1) <= ramp.target


@given(ramps)
def test_every_ramp_reaches_its_target(ramp: Ramp) -> None:
    assert ramp.is_last(2000)


@given(ramps, st.floats(0, 2e7))
def test_the_step_under_a_cap_allows_no_more_than_it(ramp: Ramp, cap: float) -> None:
    step = ramp.step_under(cap)
    assert step == 0 or ramp.cap(step) <= cap
    assert ramp.is_last(step) or ramp.cap(step + 1) > cap


@pytest.mark.parametrize(("idle", "cap"), [(0, 800), (7, 800), (21, 400), (35, 200), (400, 100)])
def test_silence_halves_the_peak_every_two_weeks_after_the_first(idle: int, cap: int) -> None:
    assert ramp_of(plan(), "gmail").idle_cap(800, idle) == pytest.approx(cap)


@pytest.mark.parametrize("path", PLANS, ids=[p.stem for p in PLANS])
def test_shipped_plans_are_labelled_and_rise(path: Path) -> None:
    shipped = Plan.model_validate(_table(path))
    assert shipped.name == path.stem
    assert "o independent research" in shipped.source_note
    for provider in ("gmail", "outlook", "mailru", "other:x", *shipped.providers):
        ramp = ramp_of(shipped, provider)
        caps = [ramp.cap(step) for step in range(120)]
        assert caps == sorted(caps)
        assert caps[-1] == ramp.target


def test_the_plans_of_our_own_never_double() -> None:
    for name in ("conservative", "moderate"):
        shipped = Plan.model_validate(_table(DATA / "plans" / f"{name}.toml"))
        for provider in ("gmail", "outlook", "other:x"):
            ramp = ramp_of(shipped, provider)
            assert all(ramp.cap(s + 1) <= 1.5 * ramp.cap(s) + 1 for s in range(60))
