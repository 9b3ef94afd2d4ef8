"""GET /requirements: what large providers ask of senders, row by row, in the dashboard's style, English and Russian.

Contract: read only, no script, no inline style; what comes from outside is escaped by the template engine; what cannot
be seen is told as unknown, and how old the evidence is stands beside it.  DNS is asked at most every quarter of an
hour, whoever looks (`Feeds.sheets`).
"""

from __future__ import annotations

from aiohttp import web

from alerts.words import Language, span
from collectors.dns.sheets import RowResult, Standing
from service.web.dashboard import template_of
from service.web.public import language_of
from service.web.sheets_api import FEEDS

EN = {
    "heading": "What providers ask of senders",
    "hint": "A row passes only when everything that decides it is known and good. DNS is asked at most every 15 "
    "minutes; rates are of the last 7 days. `penstock doctor` shows each record and its mending in full.",
    "summary": "{fail} not met, {unknown} unknown, {pass}\u00a0met",
    "sheet_hint": "{fail} not met, {unknown} unknown, {pass} met · rules as of {as_of} · {volume}",
    "requirement": "Requirement", "standing": "State", "evidence": "What shows it", "age": "Age of evidence",
    "remedy": "What to do", "pass": "met", "fail": "not met", "unknown": "unknown", "now": "settings: now",
    "nothing": "–", "source": "where the provider says so", "none": "No sheet.", "fresh": "just now",
    "if_not": "if it is not met",
    "from_volume": "from {n} mails a day", "from_first": "from the first mail",
}  # fmt: skip
RU = {
    "heading": "Чего провайдеры требуют от отправителей",
    "hint": "Строка выполнена, только когда всё, что её решает, известно и в порядке. DNS опрашивается не чаще раза в "
    "15 минут, доли — за последние 7 дней. `penstock doctor --lang ru` показывает каждую запись и как её исправить.",
    "summary": "не выполнено {fail}, неизвестно {unknown}, выполнено\u00a0{pass}",
    "sheet_hint": "не выполнено {fail}, неизвестно {unknown}, выполнено {pass} · правила на {as_of} · {volume}",
    "requirement": "Требование", "standing": "Состояние", "evidence": "На чём основано", "age": "Давность данных",
    "remedy": "Что делать", "pass": "выполнено", "fail": "не выполнено", "unknown": "неизвестно",
    "now": "настройки: сейчас", "nothing": "–", "source": "где об этом пишет провайдер",
    "none": "Таблиц нет.", "fresh": "только что", "if_not": "если не выполнено",
    "from_volume": "от {n} писем в день", "from_first": "с первого письма",
}  # fmt: skip
_CHIPS = {Standing.PASS: "open", Standing.FAIL: "paused", Standing.UNKNOWN: "slowed"}  # classes of the style sheet


def add_requirements_page(app: web.Application) -> None:
    """Register the page."""
    app.router.add_get("/requirements", requirements_page)


async def requirements_page(request: web.Request) -> web.Response:
    """The page."""
    feeds = request.app[FEEDS]
    sheets, now = await feeds.sheets(), feeds.clock.now()
    language: Language = "ru" if language_of(request) == "ru" else "en"
    words = EN if language == "en" else RU

    def age(row: RowResult) -> str:
        if not row.seen:
            return words["nothing"] if row.standing is Standing.UNKNOWN else words["now"]
        passed = now - row.seen
        return span(passed, language) if passed >= 60 else words["fresh"]

    counts = {sheet.sheet.provider: {str(s): sheet.count(s) for s in Standing} for sheet in sheets}
    html = template_of("requirements.html", language).render(
        d=words, here="/requirements", sheets=sheets, counts=counts, age=age, chip=_CHIPS.__getitem__,
        total={str(s): sum(sheet.count(s) for sheet in sheets) for s in Standing},
    )  # fmt: skip
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})
