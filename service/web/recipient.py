"""The unsubscribe page (RFC 8058).

GET shows a page and changes nothing, because scanners follow links; POST with `List-Unsubscribe=One-Click` acts at
once, whatever its content type; the page's own button posts `confirm=1`.  An unknown or expired token says so without
telling anything else.
"""

from __future__ import annotations

from html import escape

from aiohttp import web

from service.unsubscribe import Subscription
from service.web.keys import PARTS
from service.web.public import form_of, hammered, language_of, page, plain_body, refused

_TEXTS = {
    "en": {
        "title": "Unsubscribe",
        "ask": "Stop all “{stream}” mail to {address}?",
        "button": "Unsubscribe",
        "done": "Done. {address} gets no more “{stream}” mail from us.",
        "bad": "This link is not valid or has expired. Nothing was changed.",
        "choose": "Choose topics and how often instead",
    },
    "ru": {
        "title": "Отписка",
        "ask": "Больше не присылать письма «{stream}» на адрес {address}?",
        "button": "Отписаться",
        "done": "Готово. Письма «{stream}» на адрес {address} больше не придут.",
        "bad": "Ссылка неверна или устарела. Ничего не изменилось.",
        "choose": "Выбрать темы и частоту писем",
    },
}


async def unsubscribe_page(request: web.Request) -> web.Response:
    """GET /u/{token}: ask."""
    language = language_of(request)
    words = _TEXTS[language]
    found = await request.app[PARTS].desk.unsubscriber.find(request.match_info["token"])
    if found is None:
        return refused(request) or page(language, words["title"], f"<p>{escape(words['bad'])}</p>", 404)
    if (busy := hammered(request, found.message_id)) is not None:
        return busy
    ask = words["ask"].format(stream=_title(request, found, language), address=found.recipient)
    return page(
        language, words["title"],
        f'<p>{escape(ask)}</p><form method="post"><input type="hidden" name="confirm" value="1">'
        f"<button>{escape(words['button'])}</button></form>{_choose(request, found, language)}",
    )  # fmt: skip


async def unsubscribe_now(request: web.Request) -> web.Response:
    """POST /u/{token}: act.  Answers 200 also when it was done before."""
    language = language_of(request)
    words = _TEXTS[language]
    unsubscriber = request.app[PARTS].desk.unsubscriber
    found = await unsubscriber.find(request.match_info["token"])
    if found is None:
        return refused(request) or page(language, words["title"], f"<p>{escape(words['bad'])}</p>", 404)
    form = await form_of(request)
    said = form.get("List-Unsubscribe", "") if form else await plain_body(request)
    one_click = said.strip().lower() in ("one-click", "list-unsubscribe=one-click")
    if not one_click and form.get("confirm") != "1":
        return await unsubscribe_page(request)
    await unsubscriber.unsubscribe(found, "one_click" if one_click else "page")
    done = words["done"].format(stream=_title(request, found, language), address=found.recipient)
    return page(language, words["title"], f'<p role="status">{escape(done)}</p>{_choose(request, found, language)}')


def _title(request: web.Request, found: Subscription, language: str) -> str:
    stream = request.app[PARTS].settings.stream(found.stream)
    return stream.title(language) if stream is not None else found.stream


def _choose(request: web.Request, found: Subscription, language: str) -> str:
    token = request.app[PARTS].desk.preferences.token(found.message_id)
    return f'<p><a href="/p/{token}?lang={language}">{escape(_TEXTS[language]["choose"])}</a></p>'
