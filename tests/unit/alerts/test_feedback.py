"""Alerts about feedback over time, in both languages."""

from __future__ import annotations

import pytest

from alerts.conditions import Observed, find_alerts
from alerts.feedback import BlindMailbox, FeedbackSeen, ShiftedClasses, SilentSource
from core.feedback import OutageChanged

NOW = 1_800_000_000.0
SEEN = FeedbackSeen(
    outages=(
        OutageChanged(
            at=NOW - 60, place="provider:gmail", began=True, refused=1950, answered=2000, past_refused=20,
            past_answered=10_000, lifted=1940, reason="all unknown", samples=("550 5.1.1 no such user",),
        ),
    ),
    silent=(SilentSource(source="complaint:yahoo.com", since=NOW - 4 * 86400, usual=12.5),),
    shifted=(
        ShiftedClasses(
            provider="mailru", since=NOW, count=400, classes=(("spam_content", 0.01, 0.8), ("mailbox_full", 0.9, 0.1))
        ),
    ),
    blind=(BlindMailbox(name="fbl", since=NOW - 900, problem="login refused"),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["1,950 of 2,000", "0.20\u00a0%", "12.5 a day", "4\u00a0d", "spam_content 1.0\u00a0% → 80\u00a0%"]),
        ("ru", ["1\u202f950 из 2\u202f000", "12,5 в день", "spam_content"]),
    ],
)
def test_each_condition_is_told_with_its_figures(language: str, words: list[str]) -> None:
    alerts = find_alerts(Observed(feedback=SEEN), rules=[], now=NOW, language=language)  # type: ignore[arg-type]
    names = [(alert.labels["alertname"], alert.labels["severity"]) for alert in alerts]
    assert names == [
        ("ProviderOutage", "critical"), ("FeedbackSilent", "warning"), ("ClassesShifted", "warning"),
        ("ReportMailboxBlind", "warning"),
    ]  # fmt: skip
    text = " ".join(alert.annotations["summary"] for alert in alerts)
    assert [word for word in words if word not in text] == []
    assert alerts[0].annotations["samples"] == "550 5.1.1 no such user"


def test_nothing_known_is_no_alert() -> None:
    assert find_alerts(Observed(), rules=[], now=NOW) == []
