"""Double opt-in over HTTP: the API that asks, the page that confirms, the API that proves.

GET /o/{token} shows what is to be agreed to and confirms nothing, because scanners follow links; POST confirms.
"""

from __future__ import annotations

from html import escape
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from core.clock import iso
from core.recipient import OptIn
from sender.intake import AnswerStatus
from service.optins import OptInProblem, TooManyRequests, Wish
from service.web.auth import problem
from service.web.bodies import BodyModel
from service.web.keys import PARTS
from service.web.public import LIMITS, form_of, hammered, language_of, page, refused

_TEXTS = {
    "en": {
        "title": "Confirm your subscription",
        "ask": "Send this mail to {address}?",
        "button": "Yes, I agree",
        "no": "If you did not ask for it, close this page: no mail will come.",
        "done": "Thank you. {address} is subscribed.",
        "unknown": "This link is not valid. Nothing was changed.",
        "old": "This link has expired. Nothing was changed. Please subscribe again.",
    },
    "ru": {
        "title": "Подтверждение подписки",
        "ask": "Присылать эти письма на адрес {address}?",
        "button": "Да, согласен",
        "no": "Если вы не просили об этом, закройте страницу: писем не будет.",
        "done": "Спасибо. Адрес {address} подписан.",
        "unknown": "Ссылка неверна. Ничего не изменилось.",
        "old": "Ссылка устарела. Ничего не изменилось. Подпишитесь, пожалуйста, ещё раз.",
    },
}


class OptInBody(BodyModel):
    """POST /v1/optins.  `ip`, `agent` and `page` are those of the person's browser and form: they are the proof."""

    address: str = Field(max_length=1000)
    stream: str = Field(max_length=64)
    topics: list[str] = Field(default_factory=list, max_length=50)
    wording: str = Field(max_length=5000, description="What the person agrees to, word for word")
    page: str = Field("", max_length=2000, description="Address of the page that the form stood on")
    ip: str = Field("", max_length=60)
    agent: str = Field("", max_length=300)
    language: Literal["en", "ru"] = "en"
    sender: str = Field("", alias="from", max_length=1000, description="optins.sender when empty")
    subject: str = Field(
        "", max_length=2000, description="With text or html: a mail of your own, with {{ confirm_url }}"
    )
    text: str = Field("", max_length=100_000)
    html: str = Field("", max_length=500_000)


async def post_optins(request: web.Request) -> web.Response:
    body = OptInBody.model_validate_json(await request.read())
    wish = Wish(
        address=body.address, stream=body.stream, topics=tuple(body.topics), wording=body.wording, page=body.page,
        ip=body.ip, agent=body.agent, language=body.language, sender=body.sender,
        parts={"subject": body.subject, "text": body.text, "html": body.html},
    )  # fmt: skip
    try:
        optin, answer = await request.app[PARTS].desk.optins.request(wish)
    except TooManyRequests as error:
        refusal = problem(429, "address", str(error), "Ask the person to look for the mail that was sent")
        refusal.headers["Retry-After"] = "3600"
        return refusal
    status = "sent" if answer.status is AnswerStatus.ACCEPTED else str(answer.status)
    return web.json_response(
        {"id": optin.optin_id, "status": status, "reason": answer.reason, "message_id": answer.message_id}, status=202
    )


async def get_consents(request: web.Request) -> web.Response:
    found = await request.app[PARTS].desk.optins.of_address(request.match_info["address"])
    return web.json_response({"address": request.match_info["address"], "consents": [_json(one) for one in found]})


async def confirm_page(request: web.Request) -> web.Response:
    """GET /o/{token}."""
    found = await request.app[PARTS].desk.optins.find(request.match_info["token"])
    if not isinstance(found, OptIn):
        return _bad(request, found)
    if (busy := hammered(request, found.optin_id)) is not None:
        return busy
    language = language_of(request, found.language)
    words = _TEXTS[language]
    if found.confirmed_at:
        return _done(found, language)
    return page(
        language, words["title"],
        f"<blockquote>{escape(found.wording)}</blockquote><p>{escape(words['ask'].format(address=found.recipient))}</p>"
        f'<form method="post"><button name="confirm" value="1">{escape(words["button"])}</button></form>'
        f"<p>{escape(words['no'])}</p>",
    )  # fmt: skip


async def confirm_now(request: web.Request) -> web.Response:
    """POST /o/{token}.  Answers 200 also when it was done before."""
    desk = request.app[PARTS].desk.optins
    found = await desk.find(request.match_info["token"])
    if not isinstance(found, OptIn):
        return _bad(request, found)
    form = await form_of(request)
    if form.get("confirm") != "1":
        return await confirm_page(request)
    ip = request.app[LIMITS].client(request)
    await desk.confirm(found, ip=ip, agent=request.headers.get("User-Agent", ""))
    return _done(found, language_of(request, found.language))


def _done(found: OptIn, language: str) -> web.Response:
    words = _TEXTS[language]
    done = words["done"].format(address=found.recipient)
    return page(language, words["title"], f'<p role="status">{escape(done)}</p>')


def _bad(request: web.Request, problem_found: OptInProblem) -> web.Response:
    language = language_of(request)
    words = _TEXTS[language]
    text = words["old" if problem_found is OptInProblem.TOO_OLD else "unknown"]
    status = 410 if problem_found is OptInProblem.TOO_OLD else 404
    return refused(request) or page(language, words["title"], f"<p>{escape(text)}</p>", status)


def _json(optin: OptIn) -> dict[str, Any]:
    return {
        "id": optin.optin_id, "scopes": list(optin.scopes), "wording": optin.wording, "language": optin.language,
        "page": optin.requested.page, "requested_at": iso(optin.requested_at), "requested_ip": optin.requested.ip,
        "requested_agent": optin.requested.agent, "message_id": optin.message_id,
        "confirmed_at": iso(optin.confirmed_at) if optin.confirmed_at else None,
        "confirmed_ip": optin.confirmed.ip, "confirmed_agent": optin.confirmed.agent,
    }  # fmt: skip
