"""The alert of a rule that holds no mail: who it is, what it saw, what to check, in both languages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.conditions import Observed, find_alerts
from alerts.mail import body
from alerts.rules import SIGNAL, rule_alert
from alerts.words import Language
from config.rules import SLOW_SIGNALS, Rule
from core.events import Evidence, RuleChanged
from core.lane import Scope
from monitor.signals import RULED

RULE = Rule(
    name="opens", signal="open_rate_drop", by=["provider", "stream"], threshold=0.2, action="alert",
    severity="warning", remedy_en="Check the theme", remedy_ru="Проверьте тему",
)  # fmt: skip
FOUND = RuleChanged(
    at=1_800_000_000.0, rule="opens", scope=Scope(provider="gmail", stream="bulk"), firing=True, action="alert",
    reason="opens: 12.0% opened", hint="placement",
    evidence=Evidence(
        rule="opens", numerator=120, denominator=1000, threshold=0.16, e_value=900.0, limit=240.0, since=500_000,
        samples=("550 no",),
    ),
)  # fmt: skip


@pytest.mark.parametrize(("language", "advice", "points"), [("en", "theme", "spam folder"), ("ru", "тему", "«Спам»")])
def test_it_tells_the_figures_the_remedy_and_where_it_points(language: str, advice: str, points: str) -> None:
    alert = rule_alert(FOUND, {"opens": RULE}, language=language, link="http://x")  # type: ignore[arg-type]
    assert alert is not None
    assert alert.labels == {
        "alertname": "RuleFiring", "severity": "warning", "scope": "provider=gmail,stream=bulk", "rule": "opens",
        "service": "penstock", "provider": "gmail", "stream": "bulk",
    }  # fmt: skip
    said = alert.annotations
    assert (said["numerator"], said["denominator"]) == ("120", "1000")
    assert "900" in said["e_value"]
    assert "240" in said["acts_at"]
    assert said["samples"] == "550 no"
    assert advice in said["remedy"]
    assert points in said["hint"]
    assert advice in said["description"]


@pytest.mark.parametrize(("language", "words"), [("en", "Threshold: 16"), ("ru", "Порог: 16")])
@pytest.mark.parametrize("limit", [240.0, 0.0])  # 0: a census and a fixed window weigh no evidence
def test_a_mail_tells_it_whole(language: Language, words: str, limit: float) -> None:
    assert FOUND.evidence is not None
    found = replace(FOUND, evidence=replace(FOUND.evidence, limit=limit))
    alert = rule_alert(found, {"opens": RULE}, language=language, link="http://x")
    assert alert is not None
    text = body([alert], language)
    assert words in text
    assert alert.annotations["hint"] in text
    assert alert.annotations["remedy"] in text
    assert ("240" in text) is bool(limit)


def test_what_is_over_or_whose_rule_is_gone_is_told_rightly() -> None:
    assert rule_alert(replace(FOUND, firing=False), {"opens": RULE}, language="en", link="") is None
    alert = rule_alert(FOUND, {}, language="en", link="")
    assert alert is not None
    assert "remedy" not in alert.annotations


def test_findings_are_among_the_alerts_of_the_service() -> None:
    alerts = find_alerts(Observed(findings=(FOUND,)), rules=[RULE], now=1_800_000_100.0)
    assert [a.labels["alertname"] for a in alerts] == ["RuleFiring"]


def test_every_signal_has_its_words_in_both_languages() -> None:
    assert set(SIGNAL["en"]) == set(SIGNAL["ru"]) == set(RULED) | SLOW_SIGNALS
