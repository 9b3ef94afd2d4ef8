"""What of an injection's wishes for notifications is stored with its messages.  Pure.

Contract: None when nobody wants to hear anything.  What is given back of the message is bounded: RFC 3461 section 4.3
lets a long one come back as its header fields.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from core.messages import Body, Submission
from core.notices import NoticeLetter, NoticeOrder, NoticeWish, Notify
from sender.headers import crlf
from sender.injection import Injection, RecipientAnswer

MAX_FULL = 100_000  # bytes of a message that is returned whole
MAX_FIELDS = 32_768  # bytes of header fields that are returned


def order_of(
    injection: Injection, body: Body, submissions: Sequence[Submission], answers: Sequence[RecipientAnswer]
) -> NoticeOrder | None:
    """The order, with a wish for each accepted recipient who is to be told of.  See the module."""
    asked = injection.asked
    if asked is None or not asked.sender:
        return None
    taken: dict[str, Submission] = {submission.message_id: submission for submission in submissions}
    wishes = [
        NoticeWish(
            message_id=submission.message_id, letter_id=body.body_id, recipient=submission.recipient,
            original=wished.original, notify=wished.notify, accepted_at=submission.accepted_at,
            delay_at=submission.not_before + asked.late_after if Notify.DELAY in wished.notify else 0.0,
        )
        for wished, answer in zip(injection.recipients, answers, strict=True)
        if wished.notify and (submission := taken.get(answer.message_id)) is not None
    ]  # fmt: skip
    if not wishes:
        return None
    return NoticeOrder(letter=letter_of(injection, body, submissions[0].sending_domain), wishes=wishes)


def letter_of(injection: Injection, body: Body, sending_domain: str) -> NoticeLetter:
    """What the wishes of this injection share."""
    assert injection.asked is not None
    content, full = returned(body, full=injection.asked.full)
    return NoticeLetter(
        letter_id=body.body_id, sender=injection.asked.sender, envelope_id=injection.asked.envelope_id,
        returned=content, full=full, sending_domain=sending_domain,
    )  # fmt: skip


def returned(body: Body, *, full: bool) -> tuple[bytes, bool]:
    """What a notification gives back, and whether it is the whole message."""
    if body.kind == "template":
        parts = json.loads(body.content)
        fields = "".join(f"{name.title()}: {' '.join(parts.get(name, '').split())}\r\n" for name in ("from", "subject"))
        return fields.encode(), False
    content = crlf(body.content)
    if full and len(content) <= MAX_FULL:
        return content, True
    head = content.partition(b"\r\n\r\n")[0][:MAX_FIELDS]
    return head.rpartition(b"\r\n")[0] + b"\r\n" if len(head) == MAX_FIELDS else head + b"\r\n", False
