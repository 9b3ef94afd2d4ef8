"""The alert of mail that the watchdog put back.  Pure.

`MailStrayed`: one alert for each reason, while such mail was found within the last STRAY_HOURS hours.
"""

from __future__ import annotations

from collections.abc import Iterable

from alerts.form import form_alert
from alerts.words import Language, number, sample
from core.events import PutBack
from core.state import Alert

STRAY_HOURS = 6.0
_MANY = 200  # events that are looked at; more are told as so many


def stray_alerts(found: Iterable[PutBack], language: Language, dashboard: str) -> list[Alert]:
    """What people are told; `found` newest first."""
    by_reason: dict[str, list[PutBack]] = {}
    for event in found:
        by_reason.setdefault(event.reason, []).append(event)
    return [_alert(reason, events, language, dashboard) for reason, events in sorted(by_reason.items())]


def _alert(reason: str, events: list[PutBack], language: Language, dashboard: str) -> Alert:
    english = language == "en"
    count = number(len(events), language) + ("+" if len(events) >= _MANY else "")
    return form_alert(
        "MailStrayed", "warning", {"reason": reason}, events[-1].at, dashboard,
        summary=f"Messages without a next step, put back into the queue: {count} ({reason})" if english
        else f"Писем без следующего шага, возвращённых в очередь: {count} ({reason})",
        count=str(len(events)), samples="\n".join(sample(f"{e.message_id}: {e.detail}") for e in events[:5]),
        remedy="Compare the clocks of the nodes and the database; look for rows restored or edited by hand" if english
        else "Сверьте часы узлов и базы данных; проверьте, не правили ли строки очереди вручную",
    )  # fmt: skip
