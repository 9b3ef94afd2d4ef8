"""Mail that the watchdog put back is told once for each reason, in both languages."""

from __future__ import annotations

import pytest

from alerts.strays import stray_alerts
from alerts.words import Language
from core.events import PutBack
from core.tokens import MessageId

NOW = 1_800_000_000.0


def _event(n: int, reason: str) -> PutBack:
    return PutBack(at=NOW - n, message_id=MessageId(f"m{n}"), recipient="a@b.c", reason=reason, detail="due at 5")


@pytest.mark.parametrize(("language", "word"), [("en", "put back"), ("ru", "возвращённых")])
def test_one_alert_for_each_reason(language: Language, word: str) -> None:
    alerts = stray_alerts([_event(1, "lease_left"), _event(2, "group_lost"), _event(3, "lease_left")], language, "")
    assert [(a.labels["alertname"], a.labels["reason"]) for a in alerts] == [
        ("MailStrayed", "group_lost"),
        ("MailStrayed", "lease_left"),
    ]
    assert all(word in a.annotations["summary"] for a in alerts)
    assert alerts[1].starts_at == NOW - 3, "since the first"
    assert stray_alerts([], language, "") == []
