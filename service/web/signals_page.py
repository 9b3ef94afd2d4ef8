"""GET /signals, /v1/signals and /v1/audience: signals by the scopes asked for, what rules find, the burnout map.

Contract: read only, no script, no inline style; a signal without data is told as unknown with the reason, never as 0.
The page shows the scopes with most mail first, `MAX_ROWS` at most; the API shows all.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from alerts.rules import SIGNAL
from alerts.words import Language, number, percent, scope_words
from core.audience import Engagement
from core.causes import worded
from core.clock import iso
from core.events import RuleChanged
from monitor.delays import median_hours
from monitor.figures import Figure
from monitor.signals import SIGNALS
from service.audience import census_json, terms_of, tracked_streams
from service.signals import NAMES, SignalDesk, figure_json, question, table
from service.web.budget import fleet
from service.web.dashboard import template_of
from service.web.keys import PARTS
from service.web.public import language_of
from service.web.sheets_api import FEEDS

DESK = web.AppKey("signals", SignalDesk)
MAX_ROWS = 200
VIEWS = (
    "provider,stream",
    "stream,campaign",
    "stream,list_source",
    "lane",
    "provider",
    "sending_domain",
    "source",
    "stream",
)

EN = {
    "heading": "Signals", "hint": "Mail of the last {days} days, counted by the hour in which it was sent.",
    "none": "No mail in these days: nothing is known. Inject some: POST /v1/messages or `penstock send`.",
    "scope": "Scope", "all": "all mail",
    "views": "By", "young": "young: {share} can have come", "delays": "How late complaints come",
    "delays_hint": "Fitted from the log; rules weigh young mail by it.", "delays_none": "Not enough complaints yet.",
    "half": "half within {hours} h", "no_mail": "unknown: no mail", "no_feedback": "unknown: no feedback",
    "not_tracked": "unknown: not tracked", "no_seeds": "unknown: no seeds", "findings": "What rules find now",
    "findings_none": "No rule finds anything above its threshold.", "since": "Since", "rule": "Rule", "why": "Why",
    "open_rate": "open rate", "click_rate": "click rate", "delivery_share": "delivered",
    "missing_seeds": "seeds missing",
    "audience": "Burnout map",
    "audience_hint": "Recipients by list, by the last sign of life: a person's open, click or answer.",
    "audience_none": "Unknown: no mail of a tracked stream yet.",
    "untracked": "Unknown: no stream tracks opens or clicks. Set track_opens or track_clicks in [[streams]].",
    "list": "List", "no_list": "no list source", "asleep": "Asleep", "left": "Left", "new": "New", "active": "Active",
    "sleeping": "Sleeping", "at_risk": "At risk", "gone": "Gone", "no_base": "unknown",
    "n": "n", "provider,stream": "provider and stream", "stream,campaign": "campaign",
    "stream,list_source": "list source", "lane": "lane", "provider": "provider",
    "sending_domain": "sending domain", "source": "source", "stream": "stream",
}  # fmt: skip
RU = {
    "heading": "Сигналы", "hint": "Письма за {days} дн., по часу отправки.",
    "none": "Писем за эти дни нет: ничего не известно. Отправьте: POST /v1/messages или `penstock send`.",
    "scope": "Область", "all": "вся почта",
    "views": "Разрез", "young": "рано: дошло до {share}", "delays": "Задержка жалоб",
    "delays_hint": "По журналу; с её учётом правила взвешивают свежие письма.", "delays_none": "Жалоб пока мало.",
    "half": "половина за {hours} ч", "no_mail": "неизвестно: нет писем", "no_feedback": "неизвестно: нет отчётов",
    "not_tracked": "неизвестно: не отслеживается", "no_seeds": "неизвестно: нет контрольных",
    "findings": "Что правила находят сейчас", "findings_none": "Ни одно правило не видит превышения порога.",
    "since": "С", "rule": "Правило",
    "why": "Почему", "open_rate": "открытия", "click_rate": "переходы", "delivery_share": "доставлено",
    "missing_seeds": "контрольных нет",
    "audience": "Карта выгорания",
    "audience_hint": "Получатели по источникам базы и последнему признаку жизни.",
    "audience_none": "Неизвестно: писем с отслеживанием ещё не было.",
    "untracked": "Неизвестно: ни один поток не отслеживает открытия и переходы. Включите track_opens или "
    "track_clicks в [[streams]].",
    "list": "База", "no_list": "без источника", "asleep": "Спит", "left": "Выбыли", "new": "Новые",
    "active": "Активные", "sleeping": "Спящие", "at_risk": "Под угрозой", "gone": "Ушедшие",
    "no_base": "неизвестно", "n": "n", "provider,stream": "провайдер и поток", "stream,campaign": "кампания",
    "stream,list_source": "источник базы",
    "lane": "линия", "provider": "провайдер", "sending_domain": "домен отправителя", "source": "источник",
    "stream": "поток",
}  # fmt: skip


async def get_signals(request: web.Request) -> web.Response:
    """GET /v1/signals."""
    parts = request.app[PARTS]
    query = request.query
    asked = question(query.get("by", "provider,stream"), query.get("days", "7"), query.get("signal", ""))
    envelopes = parts.projector.envelopes
    found = await request.app[DESK].figures(asked, envelopes, parts.clock.now())
    budget = parts.budget
    return web.json_response(
        {
            "now": iso(parts.clock.now()), "by": list(asked.by), "days": asked.days,
            "signals": [figure_json(figure) for figure in found],
            "findings": [finding_json(found) for found in parts.projector.findings.firing],
            "listings": [
                {"kind": mark.kind, "name": mark.name, "subject": mark.subject, "zone": mark.zone,
                 "since": iso(mark.since), "weight": mark.weight}
                for mark in (await request.app[FEEDS].ledger()).listings
            ],
            "reporting_delays": {
                provider: {"median_hours": median_hours(one), "points": one.points}
                for provider, one in envelopes.items()
            },
            "false_alarm_budget": {
                "action_days": budget.action_days, "alert_days": budget.alert_days,
                "campaign_chance": budget.campaign_chance,
                "rules": {
                    name: {"budget": share, "scopes": scopes}
                    for name, (share, scopes) in parts.projector.budgets.items()
                },
            },
        }
    )  # fmt: skip


def finding_json(found: RuleChanged) -> dict[str, Any]:
    """What a rule without a gate found."""
    seen = found.evidence
    return {
        "rule": found.rule, "scope": found.scope.key, "since": iso(found.at), "action": found.action,
        "reason": found.reason, "hint": found.hint or None,
        "evidence": None if seen is None else {
            "numerator": seen.numerator, "denominator": seen.denominator, "rate": seen.rate,
            "threshold": seen.threshold, "e_value": seen.e_value, "acts_at": seen.limit, "samples": list(seen.samples),
        },
    }  # fmt: skip


async def get_audience(request: web.Request) -> web.Response:
    """GET /v1/audience."""
    parts = request.app[PARTS]
    terms, policy = terms_of(parts.settings), parts.settings.engagement
    return web.json_response(
        {
            "now": iso(parts.clock.now()), "terms": asdict(terms), "sunset": policy.sunset,
            "tracked_streams": sorted(tracked_streams(parts.settings)),
            "audience": [census_json(one) for one in await parts.audience.census()],
            "over_frequency": {
                stream: {"weekly_limit": policy.weekly_limit, "often": often, "mailed": mailed,
                         "rate": often / mailed if mailed else None}
                for stream, (often, mailed) in (await parts.audience.often()).items()
            },
        }
    )  # fmt: skip


async def signals_page(request: web.Request) -> web.Response:
    """GET /signals."""
    parts = request.app[PARTS]
    language: Language = "ru" if language_of(request) == "ru" else "en"
    words = EN if language == "en" else RU
    by = request.query.get("by", VIEWS[0])
    asked = question(by, request.query.get("days", "7"), "")
    found = await request.app[DESK].figures(asked, parts.projector.envelopes, parts.clock.now())
    rows = sorted(table(found).items(), key=lambda item: -max(f.total for f in item[1].values()))[:MAX_ROWS]
    names = NAMES if asked.by == ("stream",) else tuple(SIGNALS)
    html = template_of("signals.html", language).render(
        d=words, here="/signals", by=by, views=VIEWS, days=asked.days, heads=[(name, _head(name, language,
        words)) for name in names],
        rows=[(scope_words(scope, language) or words["all"], figures) for scope, figures in rows],
        cell=lambda figure: _cell(figure, language, words), findings=parts.projector.findings.firing,
        reason=lambda found: worded(found.cause, found.reason, language),
        scope_words=lambda scope: scope_words(scope, language),
        delays=[
            (provider, words["half"].format(hours=f"{median_hours(one):g}"))
            for provider, one in sorted(parts.projector.envelopes.items())
        ],
        fleet=fleet(parts.budget, language), states=[(state, words[state]) for state in Engagement],
        audience=sorted(await parts.audience.census(), key=lambda one: -one.asleep)[:MAX_ROWS],
        share=lambda one: percent(one.asleep / one.base, language) if one.base else words["no_base"],
        tracked=bool(tracked_streams(parts.settings)),
    )  # fmt: skip
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


def _head(name: str, language: Language, words: dict[str, str]) -> str:
    return SIGNAL[language].get(name) or words[name]


def _cell(figure: Figure | None, language: Language, words: dict[str, str]) -> tuple[str, str]:
    """A rate and what stands below it."""
    if figure is None:
        return "–", ""
    interval = figure.interval
    if figure.rate is None or interval is None:
        return "–", words[str(figure.unknown)]
    low, high = percent(interval[0], language), percent(interval[1], language)
    below = f"{low} – {high} · {words['n']} {number(figure.total, language)}"
    if not figure.mature:
        below = (
            words["young"].format(share=percent(figure.maturity, language))
            + f" · {words['n']} {number(figure.total, language)}"
        )
    return percent(figure.rate, language), below
