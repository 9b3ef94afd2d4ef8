"""Delivery status notifications that a submitter asked for (RFC 3461): the wish, and what becomes of it.

Contract: plain values.  A wish is stored with the message, in the transaction that accepts it; who had no return path
(`MAIL FROM:<>`) can have none, so a notification never causes another.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from core.events import Logged
from core.messages import BodyId
from core.tokens import MessageId


class Notify(StrEnum):
    """When a submitter wants to hear (RFC 3461 section 4.1)."""

    SUCCESS = "success"
    FAILURE = "failure"
    DELAY = "delay"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeAsk:
    """How notifications of one transaction are asked for.  `sender` is never empty; `late_after` in seconds."""

    sender: str
    envelope_id: str = ""
    full: bool = False
    late_after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeLetter:
    """What the wishes of one transaction share.

    `returned` is what a notification gives back of the message: all of it when `full`, else its header fields."""

    letter_id: BodyId
    sender: str  # the submitter's MAIL FROM
    envelope_id: str  # ENVID, decoded; '' for none
    returned: bytes
    full: bool
    sending_domain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeWish:
    """One recipient's.  Instants in epoch seconds; `delay_at` 0: no word of a delay is wanted (any more)."""

    message_id: MessageId
    letter_id: BodyId
    recipient: str
    original: str  # ORCPT, decoded, 'type;address'; '' for none
    notify: frozenset[Notify]
    accepted_at: float
    delay_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeCase:
    """A wish with its letter, and the event that is to be told; None: it still waits."""

    wish: NoticeWish
    letter: NoticeLetter
    logged: Logged | None = None


class Notices(Protocol):
    """Storage of wishes.  They are written by Queue.accept."""

    async def any(self) -> bool:
        """Whether anybody wants to hear anything."""
        ...

    async def ended(self, after: int, upto: int) -> list[NoticeCase]:
        """Ends (Delivered, Bounced, Dropped, BounceReceived) of wished-for messages with after < seq <= upto."""
        ...

    async def late(self, now: float, limit: int = 100) -> list[NoticeCase]:
        """Wishes whose `delay_at` has come."""
        ...

    async def told_late(self, ids: Collection[MessageId]) -> None:
        """No further word of a delay for these."""
        ...

    async def forget(self, before: float) -> int:
        """Remove wishes of messages that were accepted before then.  How many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeOrder:
    """What goes into the transaction of an injection."""

    letter: NoticeLetter
    wishes: Sequence[NoticeWish]
