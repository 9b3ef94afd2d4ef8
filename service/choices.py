"""The X-Penstock- headers of a submitted message: what they choose.  They are removed before the message is stored.

Contract: `choices` gives the values by name (without the prefix, in lower case) and the message without those fields.
RFC 2047 words are read.  Raises InvalidInput naming the header, also for one that does not exist: a misspelt
`X-Penstock-Templat` must not send the wrong content.
"""

from __future__ import annotations

import json
from email.errors import HeaderParseError, MessageError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.policy import compat32

from core.errors import InvalidInput
from sender.headers import split_mailbox
from sender.injection import from_header

NAMES = (
    "stream", "campaign", "topic", "pool", "send-at", "expires-at", "metadata", "list-source", "template", "vars",
)  # fmt: skip
_MADE_BY_US = frozenset({"token", "original-message-id"})  # in mail of ours that somebody sends on
_OURS = tuple(f"x-penstock-{name}:".encode() for name in NAMES)
_MAX_HEAD = 262_144


def choices(content: bytes) -> tuple[dict[str, str], bytes]:
    """What the headers choose, and the message without those headers.  Raises InvalidInput."""
    head, separator, body = content.partition(b"\r\n\r\n")
    if b"x-penstock-" not in head.lower():
        return {}, content
    try:
        headers = BytesHeaderParser(policy=compat32).parsebytes(head[:_MAX_HEAD])
    except (MessageError, ValueError) as error:
        raise InvalidInput("message", "the headers cannot be read", "Send an RFC 5322 message") from error
    for field in headers:
        name = field.lower().removeprefix("x-penstock-")
        if name != field.lower() and name not in NAMES and name not in _MADE_BY_US:
            known = ", ".join(one.title() for one in NAMES)
            raise InvalidInput(field[:60], "chooses nothing: is it misspelt?", f"X-Penstock- goes with {known}")
    kept: list[bytes] = []
    dropping = False
    for line in head.split(b"\r\n"):
        if not line.startswith((b" ", b"\t")):
            dropping = line.lower().startswith(_OURS)
        if not dropping:
            kept.append(line)
    chosen = {name: _value(name, headers.get(f"X-Penstock-{name}")) for name in NAMES}
    return chosen, b"\r\n".join(kept) + separator + body


def decoded_from(content: bytes) -> str:
    """The From field as a template has it: its name in plain text, where a field holds RFC 2047 words."""
    name, address = split_mailbox(from_header(content))
    if "=?" not in name:
        return from_header(content)
    quoted = _value("From", name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>'


def table(name: str, text: str, *, numbers: bool = False) -> dict[str, str]:
    """A header's JSON object of texts, e.g. {"order": "4711"}; or of numbers, made texts.  Raises InvalidInput."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(name, "is no JSON object", 'Write {"order": "4711"}') from error
    if not isinstance(found, dict) or not all(_is_plain(value, numbers) for value in found.values()):
        raise InvalidInput(name, "is no object of texts", 'Write {"order": "4711"}')
    return {key: str(value) for key, value in found.items()}


def _is_plain(value: object, numbers: bool) -> bool:
    return isinstance(value, str) or (numbers and isinstance(value, int | float) and not isinstance(value, bool))


def _value(name: str, raw: object) -> str:
    if raw is None:
        return ""
    try:
        return " ".join(str(make_header(decode_header(str(raw)))).split())
    except (ValueError, LookupError, HeaderParseError) as error:
        raise InvalidInput(
            name if name == "From" else f"X-Penstock-{name.title()}", "cannot be read", "Write ASCII, or RFC 2047 words"
        ) from error
