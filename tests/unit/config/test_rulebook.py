"""The false-alarm budget of the fleet is shared out over the rules, and what they take for themselves is counted."""

from __future__ import annotations

from typing import Any

import pytest

from config.rules import Rulebook


def book(*rules: dict[str, Any], **budget: float) -> Rulebook:
    common = {"signal": "hard_bounce_rate", "by": ["provider"], "threshold": 0.02}
    rows = [{"name": f"r{i}", **common, **row} for i, row in enumerate(rules)]
    return Rulebook.model_validate({"budget": budget, "rules": rows})


def test_rules_without_a_budget_of_their_own_share_what_is_left() -> None:
    shared = book({}, {}, {"false_alarm_days": 120}, {"action": "alert"}, action_days=60, alert_days=30).with_budget()
    assert [r.false_alarm_days for r in shared.rules] == pytest.approx([240, 240, 120, 30])
    assert sum(1 / r.false_alarm_days for r in shared.rules[:3]) == pytest.approx(1 / 60)


def test_campaigns_share_a_chance() -> None:
    by = ["stream", "campaign"]
    shared = book({"by": by}, {"by": by, "false_alarm_chance": 0.02}, {"by": by}, campaign_chance=0.05).with_budget()
    assert [r.false_alarm_chance for r in shared.rules] == pytest.approx([0.015, 0.02, 0.015])


def test_a_window_and_a_census_take_no_share() -> None:
    shared = book(
        {}, {"evidence": "window"}, {"signal": "sleeping_share", "by": ["stream"], "action": "alert"}, action_days=50
    ).with_budget()
    assert shared.rules[0].false_alarm_days == pytest.approx(50)


def test_a_window_by_campaign_keeps_a_chance_that_can_be_divided_by() -> None:
    (alone,) = book({"by": ["campaign"], "evidence": "window"}).with_budget().rules
    assert alone.false_alarm_chance > 0
    assert not alone.slows_first


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        ([{}, {"false_alarm_days": 50}], "budget.action_days"),
        ([{"false_alarm_days": 30}], "budget.action_days"),
        ([{"action": "alert"}, {"action": "alert", "false_alarm_days": 30}], "budget.alert_days"),
        ([{"by": ["campaign"]}, {"by": ["campaign"], "false_alarm_chance": 0.05}], "budget.campaign_chance"),
    ],
)
def test_a_budget_that_is_used_up_is_named(rules: list[dict[str, Any]], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        book(*rules, action_days=60, alert_days=30, campaign_chance=0.05).with_budget()
