"""Where tracked links and pixels lead: GET or HEAD /c/{link} and /t/{token}.gif.

Contract: a link leads only where its signature says (core.links); one whose message is too old to count still leads
there.  A pixel is answered even when its token proves nothing, so that nobody sees a broken picture.  Nothing here
waits for the database: what happened is noted and written later (collectors.engagement).  Neither answer sets a cookie
or tells the target where the reader comes from.
"""

from __future__ import annotations

import base64

from aiohttp import web

from core.links import Link, read_link
from core.tokens import Purpose, Token
from service.web.keys import PARTS
from service.web.public import LIMITS, language_of, page, refused

_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")  # one transparent dot
_BAD = {
    "en": ("Unknown link", "This link is not valid. It may have been cut or changed on its way."),
    "ru": ("Неизвестная ссылка", "Ссылка неверна: возможно, её обрезали или изменили по пути."),
}
_HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}


async def follow(request: web.Request) -> web.Response:
    """GET /c/{link}."""
    parts = request.app[PARTS]
    link = read_link(parts.signer, request.match_info["link"], parts.clock.now())
    if not isinstance(link, Link):
        language = language_of(request)
        title, text = _BAD[language]
        return refused(request) or page(language, title, f"<p>{text}</p>", 404)
    if not link.expired:
        request.app[PARTS].desk.recorder.note(
            link.message_id, target=link.target, head=request.method == "HEAD",
            agent=request.headers.get("User-Agent", ""), ip=request.app[LIMITS].client(request),
        )  # fmt: skip
    return web.Response(status=302, headers={**_HEADERS, "Location": link.target})


async def pixel(request: web.Request) -> web.Response:
    """GET /t/{token}.gif."""
    parts = request.app[PARTS]
    token = parts.signer.verify(request.match_info["token"], parts.clock.now(), Purpose.OPEN)
    if isinstance(token, Token):
        request.app[PARTS].desk.recorder.note(
            token.message_id, head=request.method == "HEAD", agent=request.headers.get("User-Agent", ""),
            ip=request.app[LIMITS].client(request),
        )  # fmt: skip
    return web.Response(body=_GIF, content_type="image/gif", headers=_HEADERS)
