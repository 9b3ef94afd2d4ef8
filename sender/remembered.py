"""What is remembered under a caller's key: the answers, and by a digest what they were an answer to.

Contract: the same call gets the same answers.  A key that comes again with another message is a mistake of the
caller's (a counter that began anew, a key of the day): answering as the first time would say "accepted" of a message
that nobody took, so `recall` raises InvalidInput.  Only calls over HTTP are compared: what the service repeats by
itself after a crash has dates of its own in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from core.errors import InvalidInput, LimitExceeded
from core.events import Door
from sender.injection import AnswerStatus, Injection, RecipientAnswer

MAX_KEY = 200  # characters of an idempotency key


def check_key(key: str) -> None:
    """Raises InvalidInput for a key that cannot be stored as it is: a cut one could be another call's."""
    if len(key) > MAX_KEY:
        raise LimitExceeded("idempotency_key", "is too long", f"At most {MAX_KEY} characters")
    if not key.isprintable():  # surrogates are not printable either
        raise InvalidInput("idempotency_key", "holds control characters", "Write printable characters")


def remember(injection: Injection, answers: Sequence[RecipientAnswer]) -> str:
    """The stored form."""
    return json.dumps({"of": _digest(injection), "answers": [_stored(answer) for answer in answers]})


def recall(stored: str, injection: Injection) -> list[RecipientAnswer]:
    """The answers.  Raises InvalidInput when they answered another message."""
    said = json.loads(stored)
    if isinstance(said, list):  # stored by an earlier version, which kept no digest
        said = {"of": "", "answers": said}
    if said["of"] and said["of"] != _digest(injection):
        raise InvalidInput(
            "idempotency_key", "was used for another message, which was taken over", "Give each message its own key"
        )
    return [RecipientAnswer(**{**row, "status": AnswerStatus(row["status"])}) for row in said["answers"]]


def _digest(injection: Injection) -> str:
    if injection.door is not Door.HTTP:
        return ""
    whole = hashlib.sha256(injection.mime or b"")
    rest = [
        injection.stream, injection.campaign, injection.topic, injection.pool, injection.sender,
        injection.sending_domain, injection.parts, injection.not_before, injection.deadline, injection.metadata,
        injection.list_source, [[one.address, one.variables] for one in injection.recipients],
    ]  # fmt: skip
    whole.update(json.dumps(rest, sort_keys=True).encode())
    return whole.hexdigest()[:32]


def _stored(answer: RecipientAnswer) -> dict[str, str]:
    # dataclasses.asdict would take a tenth of a second for 10,000
    return {
        "address": answer.address, "status": str(answer.status), "message_id": answer.message_id,
        "reason": answer.reason,
    }  # fmt: skip
