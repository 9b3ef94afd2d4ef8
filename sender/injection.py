"""An injection: what a caller wishes to send, the answers, and the checks of its content.

Contract: `body_of` gives the stored form of a message that can be composed later, or raises InvalidInput naming the
field.  Pure; bounded in bytes and numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from core.address import parse_address
from core.errors import InvalidInput, LimitExceeded
from core.events import Door
from core.messages import Body, BodyId
from core.notices import NoticeAsk, Notify
from core.tokens import new_message_id
from sender.headers import first_field, prepare
from sender.template import template_of

MAX_VARIABLES = 100
MAX_VARIABLE_CHARACTERS = 20_000  # of one recipient, names and values together
MAX_FROM = 2000  # bytes of a From field
MAX_METADATA = 20  # entries
MAX_METADATA_CHARACTERS = 2000  # names and values together: the log carries them for each recipient
MAX_SOURCE = 200  # characters of a list source
MAX_CONTENT = 30_000_000  # bytes of one message or template


class AnswerStatus(StrEnum):
    """What became of one recipient."""

    ACCEPTED = "accepted"
    SUPPRESSED = "suppressed"
    OVER_FREQUENCY = "over_frequency"  # has had its share of this stream's mail for now
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientIn:
    """One wished-for recipient, as given."""

    address: str
    variables: dict[str, str] = field(default_factory=dict)
    notify: frozenset[Notify] = frozenset()
    original: str = ""  # ORCPT of RFC 3461, decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One message to many recipients.  Either `parts` (template) or `mime` (a whole RFC 5322 message).

    `sending_domain` '' takes the domain of the From address.  `not_before` in epoch seconds or None.
    """

    stream: str
    recipients: tuple[RecipientIn, ...]
    door: Door
    sender: str = ""
    campaign: str = ""
    sending_domain: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    mime: bytes | None = None
    not_before: float | None = None
    idempotency_key: str = ""
    topic: str = ""  # of the stream, '' for none
    deadline: float | None = None  # epoch seconds after which it is not wanted any more
    metadata: dict[str, str] = field(default_factory=dict)  # the caller's own words, given back in webhooks
    pool: str = ""  # of sources; '' leaves it to the stream or the sending domain
    list_source: str = ""  # how the addresses came to be on the caller's list
    by: str = ""  # who sends it, where the door knows a person
    asked: NoticeAsk | None = None
    kind: Literal["mime", "notice", "report"] = "mime"  # of a whole message: see core.messages.Body


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientAnswer:
    """The answer for one recipient, in the order of the call."""

    address: str
    status: AnswerStatus
    message_id: str = ""
    reason: str = ""


def check_variables(variables: dict[str, str]) -> None:
    """Raises InvalidInput, naming the variable, for values that cannot be stored."""
    if len(variables) > MAX_VARIABLES:
        raise LimitExceeded("variables", "too many", f"At most {MAX_VARIABLES}")
    if sum(len(name) + len(value) for name, value in variables.items()) > MAX_VARIABLE_CHARACTERS:
        raise LimitExceeded("variables", "too long", f"At most {MAX_VARIABLE_CHARACTERS} characters in all")
    for name, value in variables.items():
        encoded_text(f"variables.{name[:50]}", value)
        if "\0" in value:
            raise InvalidInput(f"variables.{name[:50]}", "holds a NUL character", "Remove it")


def check_notes(injection: Injection) -> None:
    """Raises InvalidInput for metadata or a list source that the log should not carry for each recipient."""
    if len(injection.metadata) > MAX_METADATA:
        raise LimitExceeded("metadata", f"has {len(injection.metadata)} entries", f"At most {MAX_METADATA}")
    if sum(len(name) + len(value) for name, value in injection.metadata.items()) > MAX_METADATA_CHARACTERS:
        raise LimitExceeded("metadata", "is too long", f"At most {MAX_METADATA_CHARACTERS} characters in all")
    if len(injection.list_source) > MAX_SOURCE:
        raise LimitExceeded("list_source", "is too long", f"At most {MAX_SOURCE} characters")
    for name, value in (*injection.metadata.items(), ("list_source", injection.list_source)):
        encoded_text(name[:50], name + value)
        if not (name.isprintable() and value.isprintable()):
            raise InvalidInput("metadata, list_source", "holds control characters", "Remove them")


def encoded_text(field_name: str, text: str) -> bytes:
    """UTF-8; raises InvalidInput for a lone surrogate, which JSON can carry and UTF-8 cannot."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(field_name, "holds half a character", "Send valid Unicode text") from error


def body_of(injection: Injection, now: float) -> Body:
    """The body to store, under a new id.  Raises InvalidInput."""
    if (injection.mime is None) == (not injection.parts):
        raise InvalidInput(
            "message", "give either a whole message or its parts", "Set mime, or subject with text or html"
        )
    # ids sort by time: bodies that come together lie together in the indexes, and a commit writes fewer pages
    body_id = BodyId(new_message_id(now) + new_message_id(0.0)[10:])
    if injection.mime is not None:
        if len(injection.mime) > MAX_CONTENT:
            raise LimitExceeded("message", f"has {len(injection.mime)} bytes", f"At most {MAX_CONTENT}")
        prepare(injection.mime)  # what composing would refuse is refused now
        return Body(body_id=body_id, kind=injection.kind, content=injection.mime)
    parts = {**injection.parts, "from": injection.parts.get("from") or injection.sender}
    if not parts.get("subject") or not (parts.get("text") or parts.get("html")):
        raise InvalidInput(
            "subject, text, html", "a message needs a subject and a text or html part", "Add what is missing"
        )
    content = encoded_text("message", json.dumps(parts, ensure_ascii=False))
    if any("\0" in text for text in parts.values()):
        raise InvalidInput("message", "holds a NUL character", "Remove it")
    template_of(parts)  # a template that cannot be compiled is the caller's mistake, not each recipient's
    return Body(body_id=body_id, kind="template", content=content)


def with_from(injection: Injection) -> Injection:
    """A whole message without a From field gets that of the envelope, as RFC 6409 section 8 allows."""
    if injection.mime is None or not injection.sender or from_header(injection.mime):
        return injection
    return replace(injection, mime=b"From: " + str(parse_address(injection.sender)).encode() + b"\r\n" + injection.mime)


def from_header(mime: bytes) -> str:
    """The value of the first From field, unfolded; '' when there is none."""
    value = first_field(mime, b"from")
    if len(value) > MAX_FROM:
        raise LimitExceeded("From", f"is {len(value)} bytes long", f"At most {MAX_FROM}")
    return value.decode("utf-8", "replace").strip()
