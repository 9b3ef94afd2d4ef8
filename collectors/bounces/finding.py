"""What a bounce mail says about one recipient, and what a format is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from collectors.bounces.diagnostic import quoted
from collectors.bounces.notice import Notice
from core.reply import Reply


class Action(StrEnum):
    """RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One recipient.  `address` may be '' when the report does not tell it.

    `reply.stage` is REPORT unless the report names the command; `prose` is what the report's human text says besides,
    looked at only when the reply itself explains nothing.
    """

    address: str
    action: Action
    reply: Reply
    prose: str = ""


def prose_finding(address: str, action: Action, block: str) -> Finding:
    """A finding whose diagnostic is prose that may quote a reply."""
    reply, whole = quoted(block)
    return Finding(address=address, action=action, reply=reply, prose=whole)


class Format(Protocol):
    """One way of writing a bounce mail.  Add one: a module in collectors.bounces.formats with a constant FORMAT, and
    samples under tests/corpus/bounces."""

    @property
    def name(self) -> str: ...

    @property
    def order(self) -> int:
        """Formats are tried in ascending order: 0 structured, 10–79 with a mark of their own, 90 guesswork."""
        ...

    def read(self, notice: Notice) -> list[Finding]:
        """What the mail says; empty when it is not of this format.  Never raises for what is in the mail."""
        ...
