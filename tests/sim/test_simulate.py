"""`penstock simulate` runs the real parts: a bad list is paused with good reason, a good one is left alone."""

from __future__ import annotations

import json

import pytest

from config.tables import Plan
from core.errors import InvalidInput
from core.lane import DAY
from sandbox.simulated import Incident, Shares, SimulationModel
from service.cli import main
from service.commands.simulate import read_plan, read_rules, shown
from service.simulate import Request, simulate
from service.simulated_truth import Result

PLAN = Plan(name="p", start=40, growth=1.5, target=200)
BAD = Shares(engaged=0.1, casual=0.2, sleeping=0.7, dead=0.25)


def run(
    days: int, seed: int = 1, *, incidents: tuple[Incident, ...] = (), like: str = "yahoo", plan: Plan = PLAN
) -> Result:
    model = SimulationModel(name="m", provider="m", like=like, incidents=list(incidents))
    request = Request(plan=plan, rules=read_rules(None), models=[model], days=days, daily=120, seed=seed)
    return simulate(request)


def test_a_healthy_audience_reaches_the_whole_volume_without_a_pause() -> None:
    result = run(6)
    assert result.pauses == ()
    assert result.missed == ()
    assert 3 <= result.days_to_target["m"] <= 5
    assert [row.cap for row in result.days[:3]] == [40, 60, 90]
    assert all(row.sent + row.bounced <= row.cap for row in result.days if row.day < 4)
    assert result.to_json()["false_pauses"] == 0


def test_a_bad_list_is_paused_with_good_reason_and_the_same_seed_tells_the_same() -> None:
    bad_day = Incident(day=3, days=1, kind="audience", audience=BAD)
    result = run(4, incidents=(bad_day,))
    assert result.pauses
    first = result.pauses[0]
    assert first.justified
    assert 3 <= first.day < 4
    assert first.true_rate == 0.25
    assert 0 <= first.delay_hours < DAY / 3600
    assert 3 <= first.delay_mail <= 60
    assert "justified" in shown(result)
    assert json.dumps(run(4, incidents=(bad_day,)).to_json()) == json.dumps(result.to_json())


def test_a_blocklisting_is_seen_in_the_counts_and_sends_the_ramp_back() -> None:
    result = run(4, incidents=(Incident(day=2, kind="blocklisted"),))
    day = {row.day: row for row in result.days}
    assert day[2].blocked >= 5  # then the gate closes
    assert day[2].sent == 0
    assert day[3].cap <= day[2].cap


def test_the_adaptive_controller_raises_by_what_is_taken_and_steps_back_from_a_block() -> None:
    plan = Plan(name="a", controller="adaptive", start=30, growth=1.5, target=200)
    result = run(5, incidents=(Incident(day=4, kind="blocklisted"),), plan=plan)
    caps = [row.cap for row in result.days]
    assert caps[0] == 30
    assert caps[0] < caps[1] < caps[2]
    # a cap may be raised within its day; the fifth is reopened within it
    assert all(row.sent + row.bounced <= plan.max_growth * row.cap for row in result.days[:4])
    assert result.steps_back["m"] >= 1
    assert caps[4] < caps[3]


def test_shipped_plans_are_found_by_name_and_a_mistyped_one_by_the_nearest() -> None:
    assert read_plan("moderate").name == "moderate"
    with pytest.raises(InvalidInput, match=r"--plan: 'moderat' cannot be read\. Did you mean 'moderate'\?"):
        read_plan("moderat")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--days 0", "--days: 0 is not 1 to 3,660. Raise it"),
        ("--daily -1", "--daily: -1 is not 1 to 50,000,000,000. Raise it"),
        (
            "--days 30 --daily 10000000",
            "--days, --daily: more than 5,000,000 messages together. Lower one, or use --fast",
        ),
        ("--rules none.toml", "none.toml: cannot be read (No such file or directory). Name a file that exists"),
    ],
)
def test_wrong_arguments_are_named_with_the_remedy(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *words.split()]) == 2
    assert told in capsys.readouterr().err


def test_reply_rules_stop_for_a_provider_that_blocks_and_leave_a_healthy_one_alone() -> None:
    def yahoo(*incidents: Incident) -> Result:
        model = SimulationModel(name="yahoo", provider="yahoo", like="yahoo", incidents=list(incidents))
        return simulate(Request(plan=PLAN, rules=read_rules(None), models=[model], days=5, daily=120, seed=1))

    assert yahoo().reply_rules == {}
    blocked = yahoo(Incident(day=3, kind="blocklisted"))
    assert blocked.reply_rules["yahoo-permanently-deferred"] >= 2, "a probe that is refused begins it anew"
    day = {row.day: row for row in blocked.days}
    assert 0 < day[3].blocked < 10, "a stop of hours, then one message at a time"
    assert (day[4].blocked, day[4].sent) == (0, day[4].cap), "the probe found that it was over"
    assert "reply rule yahoo-permanently-deferred acted" in shown(blocked)
    assert blocked.to_json()["reply_rules"] == blocked.reply_rules
