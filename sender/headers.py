"""Header fields as bytes (RFC 5322, RFC 2047) and the cleaning of messages that came whole.

Contract: everything is bytes with CRLF line ends.  `prepare` takes a message from outside, refuses what no mail host
would take (with the remedy), and gives it back without the fields that are ours to set; the rest is kept byte for byte,
but for raw UTF-8 in texts and names of the header, which becomes RFC 2047 words.
The standard library's e-mail policy objects cost a millisecond a message; this costs microseconds.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from core.errors import InvalidInput, LimitExceeded

MAX_HEAD = 262_144  # bytes of a message's header block
MAX_LINE = 998  # RFC 5322 section 2.1.1
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Fields that only we may set, or that must not leave: a blind copy, and signatures that our changes would break.
_OURS = frozenset({
    b"bcc", b"resent-bcc", b"return-path", b"message-id", b"feedback-id", b"dkim-signature", b"cfbl-address",
    b"cfbl-feedback-id",
})  # fmt: skip
_ASCII = bytes(range(128))
_HEAD_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_TEXTS = frozenset({b"subject", b"comments", b"organization", b"keywords"})
_MAILBOXES = frozenset({b"from", b"sender", b"reply-to", b"to", b"cc"})
_BETWEEN = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^",])+')  # what commas part, those in quotation marks apart
_LIST = frozenset({b"list-unsubscribe", b"list-unsubscribe-post"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A message from outside, cleaned.  `names` are the kept fields in lower case; `body` begins after the empty
    line; `list_fields` are its own List-Unsubscribe fields, kept apart because the stream decides about them."""

    fields: bytes
    list_fields: bytes
    precedence: bytes
    body: bytes
    names: frozenset[bytes]
    original_id: bytes
    ascii_head: bool


def prepare(content: bytes) -> Prepared:
    """Clean a whole message.  Raises InvalidInput: no From, a broken header block, NUL, overlong lines."""
    lines = content.splitlines() or [b""]  # for bytes: at CR, LF and CRLF alone
    content = b"\r\n".join(lines) + b"\r\n"
    if b"\0" in content:
        raise InvalidInput("message", "holds a NUL byte", "Encode binary parts as base64")
    if content.startswith(b"From "):  # the separator line of a mailbox file
        content = content.partition(b"\r\n")[2]
    head, _, body = content.partition(b"\r\n\r\n")
    head = head.removesuffix(b"\r\n")  # a message without a body need not have the empty line
    if content.startswith(b"\r\n"):
        head, body = b"", content[2:]
    if len(head) > MAX_HEAD:
        raise LimitExceeded("message", f"has {len(head)} bytes of header fields", f"At most {MAX_HEAD}")
    longest = max(map(len, lines))
    if longest > MAX_LINE:
        raise InvalidInput(
            "message", f"has a line of {longest} bytes, SMTP allows {MAX_LINE}", "Use quoted-printable or base64"
        )
    return _sorted_out(_unfolded(head), body)


def _sorted_out(rows: list[tuple[bytes, bytes]], body: bytes) -> Prepared:
    kept: list[bytes] = []
    lists: list[bytes] = []
    precedence = original = b""
    names: list[bytes] = []
    for name, field in rows:
        if name == b"message-id":
            original = b" ".join(field.partition(b":")[2].split())[:200]
        elif name == b"precedence":
            precedence = field + b"\r\n"
        elif name in _LIST:
            lists.append(field)
        elif name not in _OURS and not name.startswith(b"x-penstock-"):
            kept.append(field if field.isascii() else _in_ascii(name, field))
            names.append(name)
    if names.count(b"from") != 1:
        raise InvalidInput("From", f"the message has {names.count(b'from')} From fields", "Write exactly one")
    return Prepared(
        fields=_joined(kept), list_fields=_joined(lists), precedence=precedence, body=body, names=frozenset(names),
        original_id=original, ascii_head=all(field.isascii() for field in (*kept, *lists, precedence)),
    )  # fmt: skip


def _in_ascii(name: bytes, field: bytes) -> bytes:
    """The field with raw UTF-8, as many programs write it, in RFC 2047 words: as it is, no host without SMTPUTF8 could
    get it.  What cannot be read that way, or says more than words, stays."""
    label, _, value = field.partition(b":")
    try:
        text = " ".join(value.decode("utf-8").split())
    except UnicodeDecodeError:
        return field
    if "=?" in text or not text.isprintable():
        return field
    if name in _TEXTS:
        return label + b": " + encoded(text, len(label) + 2)
    if name not in _MAILBOXES:
        return field
    try:
        boxes = [split_mailbox(box) for box in _BETWEEN.findall(text) if box.strip()]
    except InvalidInput:
        return field
    if not all(address.isascii() for _, address in boxes):
        return field
    return label + b": " + b",\r\n ".join(mailbox(shown, address) for shown, address in boxes)


def first_field(content: bytes, name: bytes) -> bytes:
    """The unfolded value of the first field of that (lower-case) name; b'' when there is none."""
    head = content[:MAX_HEAD]
    if end := _HEAD_END.search(head):
        head = head[: end.start()]  # the body, which is longer, need not be looked through
    head = crlf(head).partition(b"\r\n\r\n")[0]
    value: list[bytes] = []
    for line in head.split(b"\r\n"):
        if value and line[:1] in (b" ", b"\t"):
            value.append(line.strip())
        elif value:
            break
        elif line[: len(name) + 1].lower() == name + b":":
            value.append(line[len(name) + 1 :].strip())
    return b" ".join(value)


def _joined(fields: Iterable[bytes]) -> bytes:
    return b"".join(field + b"\r\n" for field in fields)


def _unfolded(head: bytes) -> list[tuple[bytes, bytes]]:
    """(lower-case name, field with its folded lines) of each header field."""
    rows: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\r\n") if head else []:
        if line[:1] in (b" ", b"\t"):
            if not rows:
                raise _broken(line)
            name, field = rows[-1]
            rows[-1] = (name, field + b"\r\n" + line)
            continue
        name, colon, _ = line.partition(b":")
        name = name.rstrip(b" \t")
        # RFC 5322 section 2.2: printable ASCII without the colon.  Parsers disagree about anything else, and what
        # parsers disagree about smuggles headers.
        if not colon or not name or not name.isascii() or any(c <= 32 or c == 127 for c in name):
            raise _broken(line)
        rows.append((name.lower(), line))
    return rows


def _broken(line: bytes) -> InvalidInput:
    shown = line[:40].decode("ascii", "replace")
    return InvalidInput("message", f"the header line {shown!r} is no field", "Send an RFC 5322 message")


def crlf(content: bytes) -> bytes:
    """The same lines, each ended by CRLF (a lone CR or LF counts as a line end), also the last one."""
    lines = content.count(b"\r\n")
    if content.count(b"\n") != lines or content.count(b"\r") != lines:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def date(at: float) -> bytes:
    """RFC 5322 date of an instant, UTC; never in the words of the machine's language."""
    return _date(int(at))


@lru_cache(maxsize=8)  # many messages leave in one second
def _date(at: int) -> bytes:
    when = datetime.fromtimestamp(at, UTC)
    return (
        f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year} {when:%H:%M:%S} +0000".encode()
    )


def encoded(text: str, start: int = 0) -> bytes:
    """An unstructured value: as it is when short ASCII, else encoded words (RFC 2047), folded.

    `start` is the width already taken on the first line.  `text` has no control characters.
    """
    if text.isascii() and len(text) + start <= 76 and "=?" not in text:
        return text.encode()
    words: list[bytes] = []
    chunk = b""
    room = max(9, (75 - 12 - start) // 4 * 3)
    for character in text:
        octets = character.encode()
        if len(chunk) + len(octets) > room:
            words.append(chunk)
            chunk, room = b"", 45
        chunk += octets
    words.append(chunk)
    return b"\r\n ".join(b"=?utf-8?B?" + base64.b64encode(word) + b"?=" for word in words)


_COMMENTED = re.compile(r"(\S+@\S+)\s+\(([^()]*)\)")


def split_mailbox(text: str) -> tuple[str, str]:
    """(name, address) of exactly one mailbox, `Name <address>` or `address`.  Raises InvalidInput.

    The standard library's parser guesses where a text is ambiguous (CVE-2023-27043); who a mail is from is no guess.
    """
    text = text.strip()
    if commented := _COMMENTED.fullmatch(text):
        return commented[2].strip(), commented[1]
    if not text.endswith(">"):
        return "", text
    phrase, _, address = text[:-1].rpartition("<")
    name: list[str] = []
    quoted = escaped = False
    for character in phrase.strip():
        if escaped or (quoted and character not in '"\\'):
            name.append(character)
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character in "<>,;:@\\":
            raise InvalidInput("from", f"has {character!r} in the name", 'Write it as "Name" <user@example.com>')
        else:
            name.append(character)
    if quoted:
        raise InvalidInput("from", "has a quotation mark without its partner", 'Write it as "Name" <user@example.com>')
    return "".join(name), address


def mailbox(name: str, address: str) -> bytes:
    """`Name <address>`, quoted or encoded as needed; the address is ASCII."""
    if not name:
        return address.encode()
    if name.isascii() and len(name) <= 60 and "=?" not in name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        shown = name if all(c.isalnum() or c in " -_'!" for c in name) else f'"{quoted}"'
        return (
            f"{shown}\r\n <{address}>".encode() if len(shown) + len(address) > 66 else f"{shown} <{address}>".encode()
        )
    return encoded(name, 6) + b"\r\n <" + address.encode() + b">"


SEVEN_BIT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n"


def text_part(subtype: str, text: str) -> tuple[bytes, bytes]:
    """Header fields and content of one text part, in the smallest encoding that every host takes (7 bit)."""
    lines = text.encode().splitlines() or [b""]  # one pass for line ends and line lengths
    content = b"\r\n".join(lines) + b"\r\n"
    kind = b"Content-Type: text/" + subtype.encode() + b"; charset=utf-8\r\nContent-Transfer-Encoding: "
    if content.isascii() and max(map(len, lines)) <= 78 and b"\0" not in content:
        return kind + b"7bit\r\n", content
    high = len(content.translate(None, _ASCII))
    if high * 5 < len(content):
        quoted = binascii.b2a_qp(content, istext=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return kind + b"quoted-printable\r\n", quoted
    return kind + b"base64\r\n", base64.encodebytes(content).replace(b"\n", b"\r\n")
