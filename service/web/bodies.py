"""Request bodies of the API, checked.  An unknown key is an error that names it."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from core.errors import InvalidInput
from core.events import Door
from sender.intake import Injection, RecipientIn


class BodyModel(BaseModel):
    """Base: unknown keys refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class RecipientBody(BodyModel):
    address: str = Field(max_length=1000)
    variables: dict[str, str] = Field(default_factory=dict)


class MessageBody(BodyModel):
    """POST /v1/messages.  Either `subject` with `text` and/or `html` (templates), or `mime` (base64)."""

    stream: str = Field(max_length=64)
    campaign: str = Field("", max_length=100)
    topic: str = Field("", max_length=64, description="A topic of the stream, which recipients may leave alone")
    sender: str = Field("", alias="from", max_length=1000)
    sending_domain: str = Field("", max_length=253)
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
    idempotency_key: str = Field("", max_length=200)

    def injection(self) -> Injection:
        """The wish in intake's words.  Raises InvalidInput."""
        wished = [*([self.to] if self.to is not None else []), *self.recipients]
        parts = {"from": self.sender, "subject": self.subject, "text": self.text, "html": self.html}
        parts |= {name: text for name, text in (("preheader", self.preheader), ("utm", self.utm)) if text}
        has_parts = any((self.subject, self.text, self.html))
        return Injection(
            stream=self.stream, campaign=self.campaign, topic=self.topic, sender=self.sender,
            sending_domain=self.sending_domain, door=Door.HTTP, mime=self._mime(), parts=parts if has_parts else {},
            recipients=tuple(
                RecipientIn(address=r) if isinstance(r, str) else RecipientIn(address=r.address, variables=r.variables)
                for r in wished
            ),
            not_before=instant(self.send_at), idempotency_key=self.idempotency_key,
        )  # fmt: skip

    def _mime(self) -> bytes | None:
        if self.mime is None:
            return None
        try:
            return base64.b64decode(self.mime, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("mime", "is not base64", "Encode the whole message with base64") from error


class PauseBody(BodyModel):
    """POST /v1/pauses."""

    scope: str = Field(max_length=500)
    reason: str = Field("", max_length=500)
    hours: float = Field(0, ge=0, le=24 * 365)
    everything: bool = Field(False, description="Transactional mail too")


class ResumeBody(BodyModel):
    """POST /v1/pauses/resume."""

    scope: str = Field(max_length=500)
    reason: str = Field("", max_length=500)


class SuppressBody(BodyModel):
    """POST /v1/suppressions."""

    addresses: list[str] = Field(min_length=1, max_length=10_000)
    stream: str = Field("", max_length=64)
    note: str = Field("", max_length=200)
    expires_at: float | str | None = Field(None, description="Epoch seconds or RFC 3339; never when left out")


def instant(value: float | str | None, name: str = "send_at") -> float | None:
    if value is None or isinstance(value, int | float):
        return value
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput(name, f"{value[:40]!r} is no instant", "Write 2026-11-25T08:00:00+03:00") from error
    if at.tzinfo is None:
        raise InvalidInput(name, "has no time zone", "Write 2026-11-25T08:00:00+03:00")
    return at.timestamp()
