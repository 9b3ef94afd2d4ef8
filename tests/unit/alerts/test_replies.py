"""From reactions of reply rules in force to what people are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alerts.conditions import Observed, find_alerts
from alerts.replies import Acting
from alerts.words import Language
from core.lane import Scope
from core.reaction import Reaction, ReactionAction

NOW = 1_800_000_000.0
STOPPED = Reaction(
    rule="yahoo-complaints", scope=Scope(source="mta1", provider="yahoo"), site="", action=ReactionAction.STOP,
    since=NOW - 60, until=NOW + 7140, strikes=1, hits=1, answers=1204, window=3600.0, sample="421 4.7.0 [TSS04] wait",
    probe=10, alert=True,
)  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("action", list(ReactionAction))
def test_the_alert_tells_what_happens_why_and_how_to_end_it(language: Language, action: ReactionAction) -> None:
    acting = Acting(reaction=replace(STOPPED, action=action), remedy_en="Send less", remedy_ru="Шлите меньше")
    (alert,) = find_alerts(Observed(acting=(acting,)), rules=[], now=NOW, language=language)
    assert alert.labels["alertname"] == "ReplyRule"
    assert alert.labels["severity"] == ("critical" if action is ReactionAction.STOP else "warning")
    assert alert.starts_at == NOW - 60
    for word in ("yahoo", "mta1", "yahoo-complaints", "1", "204"):
        assert word in alert.annotations["summary"]
    assert alert.annotations["samples"] == "421 4.7.0 [TSS04] wait"
    assert alert.annotations["remedy"].startswith("Send less" if language == "en" else "Шлите меньше")
    assert "penstock rules end 'yahoo-complaints/source=mta1,provider=yahoo'" in alert.annotations["remedy"]


def test_a_rule_that_wants_nobody_told_is_no_alert() -> None:
    assert find_alerts(Observed(acting=(Acting(reaction=replace(STOPPED, alert=False)),)), rules=[], now=NOW) == []
