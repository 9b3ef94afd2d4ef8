"""The fast simulation agrees with the whole one, does what the controller promises, and tells the truth in JSON."""

from __future__ import annotations

from statistics import fmean

import pytest

from sandbox.simulated import shipped_models
from service.commands.simulate import read_plan, read_rules
from service.simulate import Request, simulate
from service.simulate_fast import simulate_fast
from service.simulated_truth import Result

MODELS = shipped_models()


def request(plan: str, model: str, *, days: int, daily: int, seed: int = 1) -> Request:
    return Request(
        plan=read_plan(plan), rules=read_rules(None), models=[MODELS[model]], days=days, daily=daily, seed=seed
    )


def inboxed(result: Result) -> int:
    return sum(row.inboxed for row in result.days)


def test_both_simulations_agree_day_by_day_where_a_provider_refuses() -> None:
    """Four days of a table that asks for too much: what is taken of it is the provider's limit and our rests."""
    whole = simulate(request("sparkpost", "outlook-strict", days=4, daily=300))
    runs = [simulate_fast(request("sparkpost", "outlook-strict", days=4, daily=300, seed=seed)) for seed in range(8)]
    assert fmean(map(inboxed, runs)) == pytest.approx(inboxed(whole), rel=0.2)
    for index, one in enumerate(whole.days):
        assert fmean(run.days[index].sent for run in runs) == pytest.approx(one.sent, rel=0.35, abs=15), one.day


def test_the_controller_reaches_the_volume_sooner_than_a_quick_table_and_is_seldom_refused() -> None:
    ours = simulate_fast(request("adaptive", "outlook-like", days=20, daily=20_000)).to_json()
    table = simulate_fast(request("braze-aggressive", "outlook-like", days=20, daily=20_000)).to_json()
    assert ours["total"]["inboxed"] > table["total"]["inboxed"]
    assert ours["total"]["deferred"] < 0.001 * ours["total"]["sent"]
    assert ours["total"]["blocked"] == 0
    assert ours["days_to_target"]["outlook"] < table["days_to_target"]["outlook"]


def test_a_block_costs_few_messages_and_the_way_back_takes_days_not_weeks() -> None:
    ours = simulate_fast(request("adaptive", "blocklisted-week-two", days=16, daily=20_000))
    listed = [row for row in ours.days if row.day in (9, 10, 11)]
    assert sum(row.blocked for row in listed) <= 12
    assert next(row.sent for row in ours.days if row.day == 14) >= 0.9 * 20_000
    blocks = [pause for pause in ours.pauses if pause.rule == "blocks"]
    assert all(pause.justified for pause in blocks)


def test_greylisting_holds_no_table() -> None:
    result = simulate_fast(request("conservative", "yandex-like", days=15, daily=50_000))
    assert result.days[-1].cap > 500


def test_the_same_request_gives_the_same_answer_and_another_seed_another() -> None:
    asked = request("adaptive", "yahoo-like", days=8, daily=5_000)
    assert simulate_fast(asked).to_json() == simulate_fast(asked).to_json()
    other = simulate_fast(request("adaptive", "yahoo-like", days=8, daily=5_000, seed=2))
    assert other.to_json() != simulate_fast(asked).to_json()


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_runs_and_its_sums_are_those_of_its_days(model: str) -> None:
    answer = simulate_fast(request("adaptive", model, days=15, daily=3_000)).to_json()
    for column in ("sent", "deferred", "blocked", "bounced", "inboxed", "junked", "complaints"):
        assert answer["total"][column] == sum(row[column] for row in answer["days"])
        assert all(row[column] >= 0 for row in answer["days"])
    assert all(row["inboxed"] + row["junked"] <= row["sent"] for row in answer["days"])
