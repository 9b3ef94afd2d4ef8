"""GET /dmarc: what receivers report about mail in our name, as a page in the dashboard's style, English and Russian.

Contract: read only, no script, no inline style; what comes from outside is escaped by the template engine; a figure
that nobody reported is told as unknown.  One picture serves every viewer for `FRESH` real seconds.
"""

from __future__ import annotations

import re
import time
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from alerts.words import Language
from core.clock import iso
from core.lane import DAY
from core.reports import Dim
from service.report_views import Views
from service.web.dashboard import template_of
from service.web.public import language_of
from service.web.reports_api import REPORTS
from service.web.view import Share

FRESH = 10.0
DAYS, RECONCILED_DAYS, MAX_ROWS, MAX_DRILL = 30, 7, 50, 500

EN = {
    "heading": "DMARC: mail in your name", "hint": "Reports of the last 30 days whose origin is proven.",
    "none": "No report has come yet.", "readiness": "Ready for a stricter policy?", "domain": "Domain",
    "policy": "Policy", "answer": "Answer", "ready": "ready for p={next}", "not_ready": "not ready for p={next}",
    "unknown_verdict": "unknown: too little is reported", "done": "p=reject holds", "stopped": "Would be stopped",
    "sources": "Sources", "source": "Source", "kind": "Kind", "messages": "Messages",
    "aligned": "Aligned", "evidence": "Evidence",
    "closer": "Source {ip} closer", "closer_hint": "By selector, reporter and day.",
    "ours": "ours", "service": "service", "forwarder": "forwarder",
    "unknown": "unknown", "timeline": "Alignment by day", "day": "Day", "rejected": "rejected",
    "reconcile": "Reported beside delivered", "reconcile_hint": "Our own log beside what receivers counted.",
    "reporter": "Reporter", "delivered": "Delivered", "reported": "Reported", "awaited": "awaited",
    "difference": "Difference", "turned": "under way at the turn of the day", "after": "refused after the data",
    "selectors": "DKIM selectors", "selector": "Selector", "last": "Last seen", "never": "never",
    "revoke": "unused: safe to revoke", "reporters": "Reporters", "lag": "Delay", "missing": "missing for {n} days",
    "tls": "TLS to our hosts, as senders saw it",
    "tls_hint": "Senders report how their sessions with our mail hosts went (RFC 8460).", "good": "Successful",
    "failed": "Failed", "own": "Our own sessions with them", "failures": "Failure reports",
    "failures_hint": "Single messages that failed; people are left out, their details need a token of scope admin.",
    "failure": "What failed", "outcome": "Outcome", "advice": "Advice", "state": "State",
    "none_readiness": "Unknown: no report has come yet. Publish rua= in DMARC and route it here (docs/reports.md).",
    "none_tls": "No report has come yet. Publish _smtp._tls (docs/reports.md).",
    "none_failures": "No report has come: none was asked for (ruf=), or nothing failed.",
    "apart": "kept apart: origin not proven",
}  # fmt: skip
RU = {
    "heading": "DMARC: письма от вашего имени", "hint": "Отчёты за 30 дней, происхождение которых доказано.",
    "none": "Отчётов ещё не было.", "readiness": "Готово ли к строгой политике?", "domain": "Домен",
    "policy": "Политика", "answer": "Ответ", "ready": "готово к p={next}", "not_ready": "не готово к p={next}",
    "unknown_verdict": "неизвестно: отчётов мало", "done": "действует p=reject", "stopped": "Было бы остановлено",
    "sources": "Источники", "source": "Источник", "kind": "Вид", "messages": "Писем",
    "aligned": "Согласовано", "evidence": "Основание",
    "closer": "Источник {ip} подробно", "closer_hint": "По селекторам, отправителям отчётов и дням.",
    "ours": "наш", "service": "сервис",
    "forwarder": "пересылка", "unknown": "неизвестен", "timeline": "Согласованность по дням", "day": "День",
    "rejected": "отклонено", "reconcile": "Сверка с нашим журналом",
    "reconcile_hint": "Что доставили мы и что насчитали получатели.", "reporter": "Отправитель отчёта",
    "delivered": "Доставлено", "reported": "В отчётах", "awaited": "ещё ждём",
    "difference": "Разница", "turned": "в пути на границе суток", "after": "отклонено после приёма",
    "selectors": "Селекторы DKIM",
    "selector": "Селектор", "last": "Виден", "never": "никогда", "revoke": "не используется: можно отозвать",
    "reporters": "Кто отчитывается", "lag": "Задержка", "missing": "нет отчётов {n} дн.",
    "tls": "TLS до наших серверов глазами отправителей",
    "tls_hint": "Отправители сообщают, как прошли их соединения с нашими серверами (RFC 8460).", "good": "Успешно",
    "failed": "С ошибкой", "own": "Наши соединения с ними", "failures": "Отчёты об отдельных письмах",
    "failures_hint": "Письма, не прошедшие проверку; без данных людей, подробности — по токену admin.",
    "failure": "Что не прошло", "outcome": "Исход", "advice": "Совет", "state": "Состояние",
    "none_readiness": "Неизвестно: отчётов ещё не было. Укажите rua= в DMARC и направьте отчёты "
    "сюда (docs/reports.md).",
    "none_tls": "Отчётов ещё не было. Опубликуйте запись _smtp._tls (docs/reports.md).",
    "none_failures": "Отчётов не было: их не просили (ruf=) или сбоев нет.",
    "apart": "отложено: происхождение не доказано",
}  # fmt: skip
_EVIDENCE = (
    (r"^address of source (.+)$", r"адрес источника \1"), (r"^(DKIM|SPF) passes for (.+)$", r"\1 проходит для \2"),
    (r"^our signature (\S+) survived, SPF did not", r"наша подпись \1 цела, SPF — нет"),
    (r", the return path was rewritten$", ", обратный адрес переписан"),
)  # fmt: skip
_KEPT: web.AppKey[dict[str, tuple[float, dict[str, Any]]]] = web.AppKey("dmarc_page", dict)


def add_page(app: web.Application) -> None:
    """Register the page."""
    app[_KEPT] = {}
    app.router.add_get("/dmarc", dmarc_page)


async def dmarc_page(request: web.Request) -> web.Response:
    """The page."""
    kept = request.app[_KEPT]
    if "all" not in kept or time.monotonic() - kept["all"][0] > FRESH:
        kept["all"] = (time.monotonic(), await _gather(Views(request.app[REPORTS])))
    language: Language = "ru" if language_of(request) == "ru" else "en"
    source = shown_source(request.query.get("source", ""))
    parts = [Dim.SELECTOR, Dim.REPORTER, Dim.DAY]
    drill = await Views(request.app[REPORTS]).drill(parts, [(Dim.SOURCE, source)], DAYS, MAX_DRILL) if source else []
    html = template_of("dmarc.html", language).render(
        d=EN if language == "en" else RU,
        evidence=lambda text: evidence_words(text, language),
        here="/dmarc",
        source=source,
        drill=drill,
        **kept["all"][1],
    )
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


def evidence_words(text: str, language: Language) -> str:
    """Why a source has its name (collectors.reports.naming), in the viewer's language; names stay as they are."""
    if language == "en":
        return text
    for english, russian in _EVIDENCE:
        text = re.sub(english, russian, text)
    return text


def shown_source(text: str) -> str:
    """The address that a viewer wants to see closer; '' for none, or what is no address."""
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


async def _gather(views: Views) -> dict[str, Any]:
    return {
        "readiness": await views.readiness(DAYS),
        "sources": (await views.sources(DAYS))[:MAX_ROWS],
        "timeline": (await views.timeline(DAYS))[::-1],
        "lines": (await views.reconcile(RECONCILED_DAYS))[:MAX_ROWS],
        "selectors": (await views.selectors())[:MAX_ROWS],
        "reporters": (await views.reporters(DAYS))[:MAX_ROWS],
        "tls": (await views.tls(DAYS))[:MAX_ROWS],
        "failures": await views.failures(MAX_ROWS),
        "apart": await views.apart(),
        "date": lambda day: iso(int(day) * DAY)[:10],
        "part": lambda part, of: Share(part=part, of=of),
    }
