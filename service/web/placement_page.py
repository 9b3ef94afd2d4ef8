"""GET /placement: where seed mail landed, test by test, in the dashboard's style, English and Russian.

Contract: read only, no script, no inline style; what comes from outside is escaped by the template engine; a share that
nobody could judge is told as unknown.  One picture serves every viewer for `FRESH` real seconds.
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from alerts.words import Language, instant, percent
from service.web.dashboard import template_of
from service.web.keys import PARTS
from service.web.placement_api import views_of
from service.web.public import language_of

FRESH = 5.0
MAX_TESTS = 20

EN = {
    "heading": "Placement of seed mail",
    "hint": "One copy to each seed mailbox; they are looked into and never touched.",
    "none": "Nothing yet.",
    "none_history": "No test yet. Start one: `penstock placement test --stream STREAM --template FILE`, or plan it in "
    "[[seeds.tests]].",
    "none_seeds": "No seed mailbox is named. Add [[seeds.mailboxes]] (docs/placement.md).", "newest": "Newest test",
    "under_way": "under way", "ended": "ended",
    "weighted": "Weighted by your own mail", "covered": "for {share} of it", "fresh": "Without stale seeds",
    "versus": "Beside the test before", "change": "{worse} worse, {better} better of {pairs} mailboxes, p = {p}",
    "provider": "Provider", "inbox": "Inbox", "tab": "tab", "spam": "spam", "absent": "absent", "rejected": "rejected",
    "deferred": "deferred", "not_sent": "not sent", "unknown": "unknown", "waiting": "waiting", "outcome": "Outcome",
    "inbox_word": "inbox", "outcomes": "Outcomes", "arrival": "Median time to arrival", "mailbox": "Mailbox",
    "copies": "Copies",
    "detail": "Folder or reason", "after": "After", "authentication": "Authentication", "filter": "Filter",
    "history": "History", "test": "Test", "stream": "Stream", "sent": "Sent", "by_hand": "by hand",
    "seeds": "Seed mailboxes", "state": "State", "ok": "no trouble known", "blind": "cannot be looked into",
    "login": "login refused", "stale": "stale: outcomes never differ", "newest_outcomes": "Newest outcomes",
    "moved": "later {place}, within {after}",
    "told": "Missing is split by our own log: absent was taken over by its host and lies nowhere.",
}  # fmt: skip
RU = {
    "heading": "Попадание во входящие",
    "hint": "По одному письму в каждый контрольный ящик; в ящиках ничего не меняется.",
    "none": "Пока ничего.",
    "none_history": "Проверок ещё не было. Начните: `penstock placement test --stream ПОТОК --template ФАЙЛ` или "
    "задайте расписание в [[seeds.tests]].",
    "none_seeds": "Контрольных ящиков нет. Добавьте [[seeds.mailboxes]] (docs/placement.md).",
    "newest": "Последняя проверка", "under_way": "идёт", "ended": "окончена",
    "weighted": "По долям вашей почты", "covered": "охвачено {share}", "fresh": "Без застоявшихся ящиков",
    "versus": "Рядом с прошлой проверкой", "change": "хуже {worse}, лучше {better} из {pairs} ящиков, p = {p}",
    "provider": "Провайдер", "inbox": "Входящие", "tab": "вкладка", "spam": "спам", "absent": "пропало",
    "rejected": "отвергнуто", "deferred": "отложено", "not_sent": "не отправлено", "unknown": "неизвестно",
    "waiting": "ждём", "outcome": "Исход", "inbox_word": "входящие", "outcomes": "Исходы",
    "arrival": "Медиана времени доставки", "mailbox": "Ящик", "copies": "Копии",
    "detail": "Папка или причина", "after": "Через",
    "authentication": "Аутентификация", "filter": "Фильтр", "history": "История", "test": "Проверка",
    "stream": "Поток", "sent": "Отправлено", "by_hand": "вручную", "seeds": "Контрольные ящики",
    "state": "Состояние", "ok": "неполадок не замечено", "blind": "недоступен", "login": "вход отклонён",
    "stale": "застоялся: исход не меняется", "newest_outcomes": "Последние исходы",
    "moved": "потом: {place}, не позже чем через {after}",
    "told": "Пропажи разделены по нашему журналу: «пропало» значит, что сервер принял письмо, но его нигде нет.",
}  # fmt: skip
_KEPT: web.AppKey[dict[str, tuple[float, dict[str, Any]]]] = web.AppKey("placement_page", dict)


def add_placement_page(app: web.Application) -> None:
    """Register the page."""
    app[_KEPT] = {}
    app.router.add_get("/placement", placement_page)


async def placement_page(request: web.Request) -> web.Response:
    """The page."""
    kept = request.app[_KEPT]
    if "all" not in kept or time.monotonic() - kept["all"][0] > FRESH:
        kept["all"] = (time.monotonic(), await _gather(request))
    language: Language = "ru" if language_of(request) == "ru" else "en"
    words = EN if language == "en" else RU
    html = template_of("placement.html", language).render(
        d=words, here="/placement", word=lambda outcome: words["inbox_word"] if outcome == "inbox" else words[outcome],
        pc=lambda rate: percent(rate, language), **kept["all"][1],
    )  # fmt: skip
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


async def _gather(request: web.Request) -> dict[str, Any]:
    views = views_of(request)
    seeds = request.app[PARTS].settings.seeds.mailboxes
    tests = await views.digests(MAX_TESTS)
    return {
        "tests": tests, "newest": tests[0] if tests else None,
        "seeds": await views.seeds([(seed.mailbox, seed.provider) for seed in seeds]),
        "when": lambda at: instant(at),
    }  # fmt: skip
