"""The page of topics and frequency.  Works without script; every control has a label, every group a legend.

GET /p/{token} shows it and changes nothing.  POST saves: `off=all` for nothing at all, else for each stream on offer
`stream=NAME` (or its topics, `topic=NAME/TOPIC`) for what is wanted and `days:NAME` for how often.
"""

from __future__ import annotations

from html import escape

from aiohttp import web

from config.model import StreamSettings, Topic
from core.recipient import topic_scope
from service.preferences import SPANS, StreamWish, Wishes
from service.web.keys import PARTS
from service.web.public import form_of, hammered, language_of, page, refused

_TEXTS = {
    "en": {
        "title": "Your mail from us",
        "for": "What {address} gets from us:",
        "often": "How often",
        "every": "Every mail", "week": "At most one a week", "month": "At most one a month",
        "days": "At most one in {days} days",
        "save": "Save", "off": "Stop all of it", "saved": "Saved.",
        "stopped": "Done. {address} gets none of these mails.",
        "receipts": "Mail about your own orders and account is not affected.",
        "held": "At the moment nothing is sent to this address, because mail to it came back or was reported as spam. "
                "Ask us to lift that.",
        "bad": "This link is not valid or has expired. Nothing was changed.",
    },
    "ru": {
        "title": "Ваши письма от нас",
        "for": "Что приходит от нас на адрес {address}:",
        "often": "Как часто",
        "every": "Все письма", "week": "Не чаще раза в неделю", "month": "Не чаще раза в месяц",
        "days": "Не чаще одного за {days} дн.",
        "save": "Сохранить", "off": "Отказаться от всего", "saved": "Сохранено.",
        "stopped": "Готово. Эти письма на адрес {address} больше не придут.",
        "receipts": "Писем о ваших заказах и вашей учётной записи это не касается.",
        "held": "Сейчас на этот адрес ничего не отправляется: письма возвращались или были отмечены как спам. "
                "Напишите нам, чтобы снять запрет.",
        "bad": "Ссылка неверна или устарела. Ничего не изменилось.",
    },
}  # fmt: skip

_SPANS = {0: "every", 7: "week", 30: "month"}


async def preferences_page(request: web.Request) -> web.Response:
    """GET /p/{token}."""
    return await _answer(request, "")


async def preferences_save(request: web.Request) -> web.Response:
    """POST /p/{token}."""
    desk = request.app[PARTS].desk.preferences
    found = await desk.find(request.match_info["token"])
    if found is None:
        return await _answer(request, "")
    if (busy := hammered(request, found.message_id)) is not None:
        return busy
    form = await form_of(request)
    if form.get("off") == "all":
        await desk.leave_all(found)
        return await _answer(request, "stopped")
    if form.get("save") != "1":
        return await _answer(request, "")
    known = (await desk.wishes(found.recipient)).streams
    streams, topics = set(form.getall("stream", [])), set(form.getall("topic", []))
    wanted = {
        name: StreamWish(
            wanted=name in streams or any(topic_scope(name, topic) in topics for topic in wish.topics),
            topics={topic: topic_scope(name, topic) in topics for topic in wish.topics},
            days=_days(form.get(f"days:{name}", ""), wish.days),
        )
        for name, wish in known.items()
    }
    await desk.save(found, wanted)
    return await _answer(request, "saved")


async def _answer(request: web.Request, done: str) -> web.Response:
    language = language_of(request)
    words = _TEXTS[language]
    title = words["title"]
    desk = request.app[PARTS].desk.preferences
    found = await desk.find(request.match_info["token"])
    if found is None:
        return refused(request) or page(language, title, f"<p>{escape(words['bad'])}</p>", 404)
    if not done and (busy := hammered(request, found.message_id)) is not None:
        return busy
    settings = request.app[PARTS].settings
    wishes = await desk.wishes(found.recipient)
    said = words[done].format(address=found.recipient) if done else ""
    status = f'<p role="status">{escape(said)}</p>' if done else ""
    held = f'<p role="alert">{escape(words["held"])}</p>' if wishes.held is not None else ""
    form = _form(settings.streams, settings.topics, wishes, language)
    return page(
        language, title,
        f"{status}{held}<p>{escape(words['for'].format(address=found.recipient))}</p>"
        f'<form method="post" action="?lang={language}">{form}<button name="save" value="1">'
        f"{escape(words['save'])}</button></form>"
        f'<form method="post" action="?lang={language}"><button class="quiet" name="off" value="all">'
        f"{escape(words['off'])}</button></form><p>{escape(words['receipts'])}</p>",
    )  # fmt: skip


def _form(streams: list[StreamSettings], topics: list[Topic], wishes: Wishes, language: str) -> str:
    parts = []
    for stream in streams:
        wish = wishes.streams.get(stream.name)
        if wish is None:
            continue
        title = escape(stream.title(language))
        boxes = [
            _box("checkbox", "topic", topic_scope(t.stream, t.name), t.title(language), wish.topics[t.name])
            for t in topics
            if t.stream == stream.name
        ] or [_box("checkbox", "stream", stream.name, stream.title(language), wish.wanted)]
        parts.append(
            f"<fieldset><legend>{title}</legend>{''.join(boxes)}{_often(stream.name, wish.days, language)}</fieldset>"
        )
    return "".join(parts)


def _often(stream: str, days: int, language: str) -> str:
    words = _TEXTS[language]
    spans = sorted({*SPANS, days})
    boxes = [
        _box("radio", f"days:{stream}", str(span), words[_SPANS.get(span, "days")].format(days=span), span == days)
        for span in spans
    ]
    legend = escape(words["often"])
    return f'<div role="radiogroup" aria-label="{legend}"><p>{legend}</p>{"".join(boxes)}</div>'


def _box(kind: str, name: str, value: str, label: str, checked: bool) -> str:
    return (
        f'<label><input type="{kind}" name="{escape(name)}" value="{escape(value)}"{" checked" if checked else ""}> '
        f"{escape(label)}</label>"
    )


def _days(text: str, before: int) -> int:
    return int(text) if text.isdigit() and len(text) < 4 and int(text) in (*SPANS, before) else before
