"""What recipients see: the unsubscribe page.  No login, no cookies, no script, no redirect (RFC 8058).

GET shows a page and changes nothing, because scanners follow links; POST with `List-Unsubscribe=One-Click` acts at
once; the page's own button posts `confirm=1`.  An unknown or expired token says so without telling anything else.
"""

from __future__ import annotations

from html import escape

from aiohttp import web

from service.web.keys import UNSUBSCRIBER

_TEXTS = {
    "en": {
        "title": "Unsubscribe",
        "ask": "Stop all “{stream}” mail to {address}?",
        "button": "Unsubscribe",
        "done": "Done. {address} gets no more “{stream}” mail from us.",
        "bad": "This link is not valid or has expired. Nothing was changed.",
    },
    "ru": {
        "title": "Отписка",
        "ask": "Больше не присылать письма «{stream}» на адрес {address}?",
        "button": "Отписаться",
        "done": "Готово. Письма «{stream}» на адрес {address} больше не придут.",
        "bad": "Ссылка неверна или устарела. Ничего не изменилось.",
    },
}


def language_of(request: web.Request) -> str:
    """`ru` when asked for by ?lang= or preferred by the browser, else `en`."""
    asked = request.query.get("lang", "")
    if asked in _TEXTS:
        return asked
    best, best_weight = "en", -1.0
    for part in request.headers.get("Accept-Language", "")[:200].split(","):
        name, _, weight = part.strip().partition(";q=")
        code = name.split("-")[0].lower()
        try:
            value = float(weight or 1)
        except ValueError:
            continue
        if code in _TEXTS and value > best_weight:
            best, best_weight = code, value
    return best


async def unsubscribe_page(request: web.Request) -> web.Response:
    """GET /u/{token}: ask."""
    language = language_of(request)
    words = _TEXTS[language]
    found = await request.app[UNSUBSCRIBER].find(request.match_info["token"])
    if found is None:
        return _page(language, f"<p>{escape(words['bad'])}</p>", 404)
    ask = words["ask"].format(stream=found.stream, address=found.recipient)
    return _page(
        language,
        f'<p>{escape(ask)}</p><form method="post"><input type="hidden" name="confirm" value="1">'
        f"<button>{escape(words['button'])}</button></form>",
    )


async def unsubscribe_now(request: web.Request) -> web.Response:
    """POST /u/{token}: act.  Answers 200 also when it was done before."""
    language = language_of(request)
    words = _TEXTS[language]
    unsubscriber = request.app[UNSUBSCRIBER]
    found = await unsubscriber.find(request.match_info["token"])
    if found is None:
        return _page(language, f"<p>{escape(words['bad'])}</p>", 404)
    form = await request.post()
    one_click = form.get("List-Unsubscribe") == "One-Click"
    if not one_click and form.get("confirm") != "1":
        return await unsubscribe_page(request)
    await unsubscriber.unsubscribe(found, "one_click" if one_click else "page")
    done = words["done"].format(stream=found.stream, address=found.recipient)
    return _page(language, f'<p role="status">{escape(done)}</p>')


def _page(language: str, inner: str, status: int = 200) -> web.Response:
    title = escape(_TEXTS[language]["title"])
    text = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<title>{title}</title><link rel="stylesheet" href="/static/recipient.css">'
        f"<main><h1>{title}</h1>{inner}</main></html>"
    )
    return web.Response(text=text, content_type="text/html", status=status, headers={"Cache-Control": "no-store"})
