"""Request bodies of the API, checked.  An unknown key is an error that names it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from core.errors import InvalidInput, LimitExceeded
from core.events import Door
from sender.intake import MAX_RECIPIENTS, Injection, RecipientIn
from service.instants import instant
from service.library import TemplateLibrary


class BodyModel(BaseModel):
    """Base: unknown keys refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class RecipientBody(BodyModel):
    address: str = Field(max_length=1000)
    variables: dict[str, str] = Field(default_factory=dict)


_RECIPIENTS = TypeAdapter(list[RecipientBody | str])
_PORTION = 250  # recipients that are read at once


class MessageBody(BodyModel):
    """POST /v1/messages.  Either `subject` with `text` and/or `html` (templates), or `template`, or `mime` (base64)."""

    stream: str = Field(max_length=64)
    campaign: str = Field("", max_length=100)
    topic: str = Field("", max_length=64, description="A topic of the stream, which recipients may leave alone")
    sender: str = Field("", alias="from", max_length=1000)
    sending_domain: str = Field("", max_length=253)
    template: str = Field("", max_length=100, description="Name of a stored template; parts given here replace its")
    pool: str = Field("", max_length=64, description="Sources to send from, in place of the stream's or domain's")
    subject: str = Field("", max_length=2000)
    preheader: str = Field("", max_length=2000, description="The line beside the subject; hidden in html")
    text: str = Field("", description="Made from html when empty")
    html: str = ""
    utm: str = Field(
        "", max_length=4000, description="Links to tag: off, all, or domains and beginnings of addresses, by spaces"
    )
    mime: str | None = Field(None, description="A whole RFC 5322 message, base64")
    to: str | None = Field(None, description="Short for one recipient", max_length=1000)
    recipients: list[RecipientBody | str] = Field(default_factory=list, max_length=10_000)
    send_at: float | str | None = Field(None, description="Epoch seconds or RFC 3339 with a time zone")
    expires_at: float | str | None = Field(None, description="Not wanted any more from then on, whatever it waited for")
    metadata: dict[str, str] = Field(default_factory=dict, max_length=20, description="Given back in webhooks")
    list_source: str = Field("", max_length=200, description="How the addresses came to be on the list")
    idempotency_key: str = Field("", max_length=200)

    def injection(self, recipients: Sequence[RecipientIn] = ()) -> Injection:
        """The wish in intake's words; `recipients` besides its own.  Raises InvalidInput."""
        wished = [*([self.to] if self.to is not None else []), *self.recipients]
        parts = {"from": self.sender, "subject": self.subject, "text": self.text, "html": self.html}
        parts |= {name: text for name, text in (("preheader", self.preheader), ("utm", self.utm)) if text}
        has_parts = any((self.subject, self.text, self.html))
        return Injection(
            stream=self.stream, campaign=self.campaign, topic=self.topic, sender=self.sender,
            sending_domain=self.sending_domain, door=Door.HTTP, mime=self._mime(), parts=parts if has_parts else {},
            recipients=(*map(_recipient, wished), *recipients), not_before=instant(self.send_at),
            deadline=instant(self.expires_at, "expires_at"), metadata=self.metadata, list_source=self.list_source,
            idempotency_key=self.idempotency_key, pool=self.pool,
        )  # fmt: skip

    def _mime(self) -> bytes | None:
        if self.mime is None:
            return None
        try:
            return base64.b64decode(self.mime, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("mime", "is not base64", "Encode the whole message with base64") from error


async def read_message(raw: bytes, header_key: str = "", library: TemplateLibrary | None = None) -> Injection:
    """The injection of a body, read in portions, so that ten thousand recipients hold nobody up for long.

    `header_key` is the Idempotency-Key header, for a body without one; `library` has the templates that may be named.
    Raises InvalidInput or ValidationError."""
    try:
        table = _parsed(raw)
    except json.JSONDecodeError:
        raise  # says where
    except (ValueError, RecursionError) as error:  # not UTF-8, or a number of thousands of digits
        problem = "is no JSON in UTF-8, is nested too deep, or holds an overlong number"
        raise InvalidInput("body", problem, "Send a JSON object") from error
    if not isinstance(table, dict):
        raise InvalidInput("body", "is no JSON object", "See /openapi.json for the form")
    wished = table.pop("recipients", [])
    if not isinstance(wished, list):
        raise InvalidInput("recipients", "is no list", 'Write [{"address": "ann@example.com"}]')
    if len(wished) > MAX_RECIPIENTS:
        raise LimitExceeded("recipients", f"{len(wished)} in one call", f"At most {MAX_RECIPIENTS}")
    body = MessageBody.model_validate(table)
    if header_key and not body.idempotency_key:
        body = body.model_copy(update={"idempotency_key": header_key})
    if body.template:
        body = _from_library(body, await (library or TemplateLibrary(None)).parts(body.template))
    recipients: list[RecipientIn] = []
    for start in range(0, len(wished), _PORTION):
        try:
            recipients += map(_recipient, _RECIPIENTS.validate_python(wished[start : start + _PORTION]))
        except ValidationError as error:
            first = error.errors()[0]
            number = start + int(first["loc"][0])
            raise InvalidInput(f"recipients.{number}", first["msg"], "See /openapi.json for the form") from error
        await asyncio.sleep(0)
    return body.injection(recipients)


def _parsed(raw: bytes) -> object:
    try:
        return from_json(raw)
    except ValueError:
        # a fifth of the time, but it says less of what is wrong, and half a character is a recipient's fault alone
        return json.loads(raw)


def _from_library(body: MessageBody, parts: dict[str, str]) -> MessageBody:
    """The body with the parts of its template where it has none of its own."""
    named = {"sender" if name == "from" else name: text for name, text in parts.items()}
    return body.model_copy(update={name: text for name, text in named.items() if not getattr(body, name)})


def _recipient(given: RecipientBody | str) -> RecipientIn:
    return (
        RecipientIn(address=given)
        if isinstance(given, str)
        else RecipientIn(address=given.address, variables=given.variables)
    )


class PauseBody(BodyModel):
    """POST /v1/pauses."""

    scope: str = Field(max_length=500)
    reason: str = Field("", max_length=500)
    hours: float = Field(0, ge=0, le=24 * 365)
    everything: bool = Field(False, description="Transactional mail too")


class CancelBody(BodyModel):
    """POST /v1/cancellations."""

    scope: str = Field(max_length=500)
    reason: str = Field("", max_length=500)
    everything: bool = Field(False, description="Transactional mail too")


class ResumeBody(BodyModel):
    """POST /v1/pauses/resume."""

    scope: str = Field(max_length=500)
    reason: str = Field("", max_length=500)
    hours: float = Field(
        0.0, ge=0, le=720, description="No rule closes it, or a part of it, before; 0: on new evidence"
    )


class SuppressBody(BodyModel):
    """POST /v1/suppressions."""

    addresses: list[str] = Field(min_length=1, max_length=10_000)
    stream: str = Field("", max_length=64)
    note: str = Field("", max_length=200)
    expires_at: float | str | None = Field(None, description="Epoch seconds or RFC 3339; never when left out")
