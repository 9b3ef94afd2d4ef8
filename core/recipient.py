"""What recipients do with a mail and wish for: opens, clicks, opt-ins; and the names of what they may refuse.

Importers take the events from `core.events`, which is the vocabulary; they lie here because a file has a length.

A *suppression scope* is what a suppression forbids: '' every stream, the name of a stream, `stream/topic` one topic
of it, or `*`: every stream that a recipient may unsubscribe from, also those that will be configured later.  It stands
in the `stream` of a Suppression.  Topic and stream names have no '/' and no '*'.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.lane import Attribution
from core.tokens import MessageId

EVERY_OPTIONAL = "*"


def topic_scope(stream: str, topic: str) -> str:
    """The scope of one topic; '' without a topic."""
    return f"{stream}/{topic}" if topic else ""


class Actor(StrEnum):
    """Who fetched a pixel or followed a link, as far as one can tell."""

    HUMAN = "human"
    MACHINE = "machine"  # prefetch of a mail client's proxy, a security scanner, a crawler
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The pixel of a message was fetched, for the first time by this kind of actor.

    `reason` says what the actor was told by (collectors.engagement.judge).  No address of the reader is kept.
    """

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution
    actor: Actor
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clicked:
    """A link of a message was followed, for the first time by this kind of actor.

    `first`: no other link of this message was followed by this kind of actor before.
    """

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution
    actor: Actor
    reason: str
    target: str
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Replied:
    """A person answered a message.  Nothing of what was written is kept."""

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution


@dataclass(frozen=True, slots=True, kw_only=True)
class OptInRequested:
    """Somebody (perhaps not its owner) gave an address; a confirmation mail asks the owner."""

    at: float
    optin_id: str
    address: str  # normal form
    scopes: tuple[str, ...]  # streams and stream/topic
    origin: str  # the page that the form stood on


@dataclass(frozen=True, slots=True, kw_only=True)
class OptInConfirmed:
    """The owner of the address agreed."""

    at: float
    optin_id: str
    address: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a wish came from: what a proof of consent needs (GDPR article 7(1)).  '' what is not known."""

    ip: str = ""
    agent: str = ""
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptIn:
    """One request for consent and, once `confirmed_at` is not 0, the consent."""

    optin_id: str
    address: str  # normal form
    recipient: str  # as given
    scopes: tuple[str, ...]
    wording: str  # what the person agreed to, word for word
    language: str
    requested_at: float
    requested: Origin
    message_id: str = ""  # the confirmation mail
    confirmed_at: float = 0.0
    confirmed: Origin = Origin()
