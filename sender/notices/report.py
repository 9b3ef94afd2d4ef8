"""A delivery status notification as a message (RFC 3464, RFC 6533 where an address is not ASCII).  Pure.

Contract: `notification` gives a whole RFC 5322 message with CRLF line ends: a text for people, the fields for
machines, and what is returned of the message.  Nothing from outside enters a field unless it is printable, on one line
and short.  The message says that a machine answers (Auto-Submitted, RFC 3834), and goes out without a return path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.notices import NoticeLetter
from core.tokens import new_message_id
from sender.headers import date, text_part

MAX_TEXT = 700  # characters of a diagnostic
_SHOWN = 50  # recipients in one notification's text for people


class Action(StrEnum):
    """RFC 3464 section 2.3.3.  A message is `relayed`, not `delivered`: what its last host does, it alone knows."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is told of one recipient.  `status` as in RFC 3463; `remote` a host name or ''; instants or 0."""

    recipient: str
    action: Action
    status: str
    diagnostic: str = ""
    original: str = ""
    remote: str = ""
    attempted_at: float = 0.0
    until: float = 0.0


_SUBJECTS = {
    Action.FAILED: "Undelivered: your mail was not delivered",
    Action.DELAYED: "Delayed: your mail still waits",
    Action.RELAYED: "Relayed: your mail was handed over",
}
_OPENINGS = {
    Action.FAILED: "Your mail could not be delivered to the addresses below. It will not be tried again.",
    Action.DELAYED: "Your mail waits for the addresses below. You need do nothing: it is tried again by itself.",
    Action.RELAYED: "Your mail was handed over to the mail host of the addresses below. Whether that host asks for or\n"
    "sends a word of its own, we cannot know.",
}  # fmt: skip


def notification(letter: NoticeLetter, told: Sequence[Told], *, reporter: str, arrived: float, now: float) -> bytes:
    """The message to `letter.sender`; all of `told` have the same action.  `reporter` is our host name."""
    action = told[0].action
    boundary = f"=_{new_message_id(now)}"
    international = not all(one.recipient.isascii() and one.original.isascii() for one in told)
    status = b"message/global-delivery-status" if international else b"message/delivery-status"
    fields = "\r\n".join([_per_message(letter, reporter, arrived), *(_per_recipient(one) for one in told)])
    head = (
        f"From: Mail Delivery System <postmaster@{letter.sending_domain}>\r\n"
        f"To: <{_clean(letter.sender)}>\r\n"
        f"Subject: {_SUBJECTS[action]}\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"\r\n\r\n'
    )
    parts = (
        b"\r\n".join(text_part("plain", _for_people(told))),
        b"Content-Type: " + status + _encoding(fields.encode()) + b"\r\n\r\n" + fields.encode(),
        _returned(letter),
    )
    mark = f"--{boundary}".encode()
    return head.encode() + b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def _per_message(letter: NoticeLetter, reporter: str, arrived: float) -> str:
    envelope = f"Original-Envelope-Id: {_clean(letter.envelope_id)}\r\n" if letter.envelope_id else ""
    return f"{envelope}Reporting-MTA: dns; {reporter}\r\nArrival-Date: {date(arrived).decode()}\r\n"


def _per_recipient(one: Told) -> str:
    kind = "rfc822" if one.recipient.isascii() else "utf-8"
    original = one.original.partition(";")
    rows = [
        f"Original-Recipient: {original[0]}; {_clean(original[2])}" if one.original else "",
        f"Final-Recipient: {kind}; {_clean(one.recipient)}",
        f"Action: {one.action}",
        f"Status: {one.status}",
        f"Remote-MTA: dns; {_clean(one.remote)}" if one.remote else "",
        f"Diagnostic-Code: smtp; {_clean(one.diagnostic)}" if one.diagnostic else "",
        f"Last-Attempt-Date: {date(one.attempted_at).decode()}" if one.attempted_at else "",
        f"Will-Retry-Until: {date(one.until).decode()}" if one.until else "",
    ]
    return "".join(f"{row}\r\n" for row in rows if row)


def _for_people(told: Sequence[Told]) -> str:
    lines = [_OPENINGS[told[0].action], ""]
    for one in told[:_SHOWN]:
        lines += [f"  {_clean(one.recipient)}", *([f"    {_clean(one.diagnostic)}"] if one.diagnostic else [])]
    if len(told) > _SHOWN:
        lines.append(f"  and {len(told) - _SHOWN} more")
    return "\n".join((*lines, "", "This mail was made by a machine; nobody reads an answer to it.", ""))


def _returned(letter: NoticeLetter) -> bytes:
    head, _, _ = letter.returned.partition(b"\r\n\r\n")
    kind = (b"message/rfc822" if letter.full else b"text/rfc822-headers") if head.isascii() else (
        b"message/global" if letter.full else b"message/global-headers"
    )  # fmt: skip
    return b"Content-Type: " + kind + _encoding(letter.returned) + b"\r\n\r\n" + letter.returned


def _encoding(content: bytes) -> bytes:
    return b"" if content.isascii() else b"\r\nContent-Transfer-Encoding: 8bit"


def _clean(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_TEXT]).split())
