"""The alert of a webhook endpoint that takes nothing.  Pure.

`WebhookDead`: one alert from the first failure in a row until the endpoint takes events again.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.form import form_alert
from alerts.words import Language, number, sample, span
from core.state import Alert


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadHook:
    """An endpoint that has failed since `since`; at most `events` wait for it, the oldest from `oldest`."""

    name: str
    since: float
    events: int
    oldest: float
    problem: str


def hook_alert(dead: DeadHook, now: float, language: Language, dashboard: str) -> Alert:
    """What people are told."""
    english = language == "en"
    count, long = number(dead.events, language), span(now - dead.since, language)
    return form_alert(
        "WebhookDead", "warning", {"webhook": dead.name}, dead.since, dashboard,
        summary=f"Webhook {dead.name} has taken no events for {long}; up to {count} wait" if english
        else f"Вебхук {dead.name} не принимает события уже {long}; ждёт событий: до {count}",
        problem=sample(dead.problem), queued=str(dead.events),
        remedy="Look at the endpoint's own log; nothing is lost until max_age_days of [[webhooks]]" if english
        else "Посмотрите журнал получателя; до max_age_days из [[webhooks]] ничего не пропадёт",
    )  # fmt: skip
