"""The adaptive controller with providers that its factors were not chosen on (tests/sim/models): it neither runs away
nor stalls, and is refused no more than a table that asks for everything at once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest

from sandbox.simulated import SimulationModel, parse_model
from service.commands.simulate import read_plan, read_rules
from service.simulate import Request
from service.simulate_fast import FastLane, simulate_fast
from service.simulated_truth import Result

FILES = sorted((Path(__file__).parent / "models").glob("*.toml"))
MODELS = {file.stem: parse_model(file.read_text("utf-8"), file.name) for file in FILES}
DAILY = 50_000
OPEN = sorted(set(MODELS) - {"shut"})


def run(plan: str, model: SimulationModel, seed: int, days: int = 45) -> Result:
    request = Request(plan=read_plan(plan), rules=read_rules(None), models=[model], days=days, daily=DAILY, seed=seed)
    return simulate_fast(request)


def sums(plan: str, model: SimulationModel, seed: int) -> Counter[str]:
    lane = FastLane(read_plan(plan), read_rules(None), model, DAILY, f"{seed} {model.name}")
    for day in range(45):
        lane.day(day)
    return lane.totals


def inboxed(result: Result) -> int:
    return sum(row.inboxed for row in result.days)


def refused(result: Result) -> int:
    return sum(row.deferred + row.blocked for row in result.days)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("seed", [1, 2])
def test_no_day_runs_away(name: str, seed: int) -> None:
    plan = read_plan("adaptive")
    lane = FastLane(plan, read_rules(None), MODELS[name], DAILY, f"{seed} {name}")
    most, before = 0, 0
    for day in range(45):
        lane.day(day)
        taken = lane.totals["sent"] + lane.totals["bounced"]
        assert lane.state is not None
        assert 1 <= lane.state.cap <= plan.target
        # retries of the day before come on top of a cap
        assert taken - before <= plan.max_growth * max(plan.start, most) * 1.2 + 20, f"day {day + 1}"
        most, before = max(most, taken - before), taken


@pytest.mark.parametrize("name", OPEN)
def test_as_much_mail_is_inboxed_as_by_pushing_without_more_refusals(name: str) -> None:
    ours = [sums("adaptive", MODELS[name], seed) for seed in (1, 2)]
    pushed = [sums("salesforce", MODELS[name], seed) for seed in (1, 2)]
    assert fmean(n["inboxed"] for n in ours) >= 0.9 * fmean(n["inboxed"] for n in pushed)
    refusals = [fmean(n["limited"] + n["low"] + n["blocked"] for n in rows) for rows in (ours, pushed)]
    assert refusals[0] <= refusals[1] + 5


@pytest.mark.parametrize("name", ["very-lenient", "greylister", "slow-spam"])
def test_a_provider_that_bears_much_is_at_full_volume_within_a_week(name: str) -> None:
    days = run("adaptive", MODELS[name], 3, days=8).days
    assert days[-1].sent >= 0.9 * DAILY


def test_a_provider_that_never_opens_gets_a_trickle_and_no_more() -> None:
    result = run("adaptive", MODELS["shut"], 1)
    assert inboxed(result) == 0
    assert refused(result) <= 4 * 45
