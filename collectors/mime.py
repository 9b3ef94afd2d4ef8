"""The structure of a mail, for reading reports: a bounded, forgiving walk over bytes.

Contract: `read_mail(content)` gives the tree of parts or raises Refused with a named reason.  Line ends may be LF,
CRLF or CR; a missing or wrong boundary is guessed from the body; unknown charsets and damaged encodings give the text
that can be had.  Nothing is copied until it is asked for.  Bounds: see the constants; what lies beyond WINDOW is not
looked at, because a report stands before the mail that it returns.  RFC 2045, 2046, 2047, 5322.

Rejected: email.parser, which compares every line with every open boundary and takes ten times as long.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.header import decode_header
from enum import StrEnum

MAX_BYTES = 30_000_000
WINDOW = 2_000_000  # bytes that are looked at
MAX_PARTS = 200
MAX_DEPTH = 10
MAX_HEADER_BYTES = 100_000  # of one header block
MAX_FIELD = 4_000  # characters of one field
MAX_TEXT = 300_000  # characters of one decoded text
MAX_STATUS = 1_000_000  # of one machine-readable part
MAX_LINE = 2_000  # characters of one line of text


class Refusal(StrEnum):
    """Why a mail was not read."""

    TOO_LARGE = "too_large"
    EMPTY = "empty"
    TOO_MANY_PARTS = "too_many_parts"
    TOO_DEEP = "too_deep"
    HEADER_TOO_LARGE = "header_too_large"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    NO_HEADER = "no_header"


class Refused(Exception):
    """The mail breaks a bound; `reason` names it."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


_FIELD = re.compile(r"^([!-9;-~]{1,80}[ \t]{0,3}):([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE)
_TYPE = re.compile(r"\s*([\w.+-]{1,60})/([\w.+-]{1,80})")
_BOUNDARY = re.compile(r'boundary\*?0?\*?\s*=\s*(?:"([^"\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([\w*-]{1,40})\s*=\s*(?:"([^"\n]{0,500})"|([^\s;"]{0,500}))')
_GUESS = re.compile(rb"(?:\A|\n)--([^\s-][^\n]{0,100}|-{0,60}[^\s-][^\n]{0,100})\n(?i:content-)")
_TAG = re.compile(r"<(?:br|/p|/div|/tr|/li|/h\d)\b[^<>]{0,200}>", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[^<>]{1,1000}>")
_HIDDEN = ("style", "script", "head")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&nbsp;": " ", "&#39;": "'", "&#64;": "@", "&amp;": "&"}
_CHARSETS = {
    "ks_c_5601-1987": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "x-gbk": "gb18030", "iso-8859-8-i": "iso-8859-8",
    "windows-31j": "cp932", "shift_jis": "cp932", "x-sjis": "cp932", "cp-850": "cp850", "unicode-1-1-utf-8": "utf-8",
    "us-ascii": "utf-8", "ansi_x3.4-1968": "utf-8", "unknown-8bit": "utf-8", "utf8": "utf-8", "unicode": "utf-8",
}  # fmt: skip
_NOT_TEXT = frozenset(
    {"idna", "punycode", "unicode_escape", "raw-unicode-escape", "raw_unicode_escape", "undefined", "utf-7", "mbcs"}
)


class Headers:
    """A header block: fields in order, names in lower case; values as they came, each byte one character."""

    __slots__ = ("_index", "_seen", "fields")

    def __init__(self, block: bytes) -> None:
        found = _FIELD.findall(block[:MAX_HEADER_BYTES].decode("latin-1"))
        self.fields: list[tuple[str, str]] = [(name.rstrip().lower(), value[:MAX_FIELD]) for name, value in found]
        self._index = dict(reversed(self.fields))  # the first of a name wins
        self._seen: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.fields)

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def get(self, name: str) -> str:
        """The first field of that name, unfolded and decoded; '' without one."""
        known = self._seen.get(name)
        if known is None:
            raw = self._index.get(name)
            known = self._seen[name] = "" if raw is None else _unfold(raw)
        return known

    def all(self, name: str) -> list[str]:
        """Every field of that name."""
        return [_unfold(raw) for key, raw in self.fields if key == name]

    def names(self) -> list[str]:
        return [key for key, _ in self.fields]


def _unfold(raw: str) -> str:
    text = " ".join((raw if raw.isascii() and "\x1b" not in raw else _text(raw.encode("latin-1"), "")).split())
    if "=?" not in text:
        return text
    try:
        pieces = decode_header(text)
        return "".join(p if isinstance(p, str) else _text(p, charset or "") for p, charset in pieces)[:MAX_FIELD]
    except (ValueError, LookupError, binascii.Error, RecursionError, HeaderParseError):
        return text


@dataclass(slots=True)
class Part:
    """One part; `start` and `end` bound its body in `buffer`."""

    buffer: bytes
    start: int
    end: int
    headers: Headers
    kind: str  # media type, lower case
    depth: int
    children: list[Part] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        """The body as it stands."""
        return self.buffer[self.start : self.end]

    def with_header(self) -> bytes:
        """A returned mail from its header on."""
        block = "".join(f"{name}:{value}\n" for name, value in self.headers.fields)
        return block.encode("latin-1") + b"\n" + self.body

    def parameter(self, name: str) -> str:
        """A parameter of Content-Type, '' without it."""
        for key, quoted, bare in _PARAMETER.findall(self.headers.get("content-type")):
            if key.lower().partition("*")[0] == name:
                return str(quoted or bare)
        return ""

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def data(self, limit: int = WINDOW) -> bytes:
        """The body with its transfer encoding undone."""
        raw = self.buffer[self.start : min(self.end, self.start + limit)]
        match self.headers.get("content-transfer-encoding").strip().lower():
            case "base64":
                return _base64(raw)
            case "quoted-printable":
                return binascii.a2b_qp(raw)
        return raw

    def text(self, limit: int = MAX_TEXT) -> str:
        """The body as text; HTML loses its tags."""
        text = _text(self.data(limit * 4), self.parameter("charset"))[:limit]
        return plain_of_html(text) if self.kind == "text/html" else text


def plain_of_html(text: str) -> str:
    """What a reader of the page sees, roughly."""
    for name in _HIDDEN:
        text = _without(text, f"<{name}", f"</{name}>")
    text = _ANY_TAG.sub(_address_tag, _TAG.sub("\n", text))
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    return text


def _address_tag(match: re.Match[str]) -> str:
    """An address in angle brackets that nobody escaped is no tag."""
    return match[0] if "@" in match[0] and " " not in match[0] else ""


def _without(text: str, begin: str, end: str) -> str:
    """The text without what lies between; one pass, whatever the text is."""
    low = text.lower()
    kept: list[str] = []
    at = 0
    while (start := low.find(begin, at)) >= 0:
        kept.append(text[at:start])
        stop = low.find(end, start)
        if stop < 0:
            return "".join(kept)
        at = stop + len(end)
    return "".join(kept) + text[at:]


def _base64(raw: bytes) -> bytes:
    kept = raw.translate(None, b" \t\n-_*.,;:<>()@")
    for cut in (kept, kept[: len(kept) // 4 * 4], kept.split(b"=")[0][: len(kept) // 4 * 4]):
        try:
            return binascii.a2b_base64(cut)
        except binascii.Error:
            continue
    return raw


def _text(data: bytes, charset: str) -> str:
    if data.isascii() and b"\x1b" not in data:
        return data.decode("ascii")
    name = charset.strip("\"' ").lower()
    name = _CHARSETS.get(name, name)
    if b"\x1b$" in data or b"\x1b(" in data:
        name = "iso2022_jp_2"
    candidates = [name, "utf-8"] if name and name != "utf-8" else ["utf-8"]
    for candidate in candidates:
        if candidate in _NOT_TEXT or len(candidate) > 40:
            continue
        try:
            codecs.lookup(candidate)
            return data.decode(candidate, "strict" if candidate == "utf-8" else "replace")
        except (LookupError, ValueError):
            continue
    return data.decode("latin-1")


def read_mail(content: bytes) -> Part:
    """The tree of a mail.  Raises Refused."""
    if len(content) > MAX_BYTES:
        raise Refused(Refusal.TOO_LARGE, f"more than {MAX_BYTES} bytes")
    buffer = content[:WINDOW]
    if b"\r" in buffer:
        buffer = buffer.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in buffer:
        buffer = buffer.replace(b"\0", b"")
    start = len(buffer) - len(buffer.lstrip())
    if start == len(buffer):
        raise Refused(Refusal.EMPTY, "no header and no text")
    if buffer.startswith((b"From ", b">From "), start):  # an mbox separator, not a field
        start = buffer.find(b"\n", start) + 1 or len(buffer)
    counter = [0]
    root = _part(buffer, start, len(buffer), 0, counter)
    if not root.headers:
        raise Refused(Refusal.NO_HEADER, "the text begins without a single header field")
    if root.start - start > MAX_HEADER_BYTES + 2:
        raise Refused(Refusal.HEADER_TOO_LARGE, f"a header of more than {MAX_HEADER_BYTES} bytes")
    return root


def _part(buffer: bytes, start: int, end: int, depth: int, counter: list[int]) -> Part:
    counter[0] += 1
    if counter[0] > MAX_PARTS:
        raise Refused(Refusal.TOO_MANY_PARTS, f"more than {MAX_PARTS} parts")
    blank = start if buffer.startswith(b"\n", start) else buffer.find(b"\n\n", start, end)
    if blank < 0:
        blank = end
    headers = Headers(buffer[start : min(blank, start + MAX_HEADER_BYTES)])
    body = min(blank + (1 if blank == start else 2), end)
    found = _TYPE.match(headers.get("content-type"))
    kind = f"{found[1]}/{found[2]}".lower() if found else "text/plain"
    part = Part(buffer=buffer, start=body, end=end, headers=headers, kind=kind, depth=depth)
    if depth >= MAX_DEPTH:
        raise Refused(Refusal.TOO_DEEP, f"parts within parts, more than {MAX_DEPTH} deep")
    if kind.startswith("multipart/") or (not found and buffer[body : body + 500].lstrip().startswith(b"--")):
        _split(part, counter)
    elif kind in ("message/rfc822", "message/global", "message/partial") and body < end:
        part.children.append(_original(part, counter))
    return part


def _original(part: Part, counter: list[int]) -> Part:
    """The returned mail: its header matters, its parts do not."""
    counter[0] += 1
    start = part.start
    while part.buffer.startswith(b"\n", start) and start < part.end:
        start += 1
    blank = part.buffer.find(b"\n\n", start, part.end)
    stop = part.end if blank < 0 else blank
    headers = Headers(part.buffer[start : min(stop, start + MAX_HEADER_BYTES)])
    return Part(
        buffer=part.buffer, start=min(stop + 2, part.end), end=part.end, headers=headers, kind="x-original/headers",
        depth=part.depth + 1,
    )  # fmt: skip


def _split(part: Part, counter: list[int]) -> None:
    named = _BOUNDARY.search(part.headers.get("content-type"))
    boundary = (named[1] or named[2]).strip().encode("latin-1", "replace") if named else b""
    if not boundary or part.buffer.find(b"--" + boundary, part.start, part.end) < 0:
        guess = _GUESS.search(part.buffer, max(part.start - 1, 0), part.end)
        if guess is None:
            return
        boundary = guess[1].rstrip()
    marker = b"\n--" + boundary
    buffer, size = part.buffer, len(marker)
    at = buffer.find(marker, max(part.start - 1, 0), part.end)
    while at >= 0:
        line_end = buffer.find(b"\n", at + 1, part.end)
        tail = buffer[at + size : line_end if line_end >= 0 else part.end]
        if tail.startswith(b"--") and not tail[2:].strip():
            return
        following = buffer.find(marker, at + size, part.end)
        if not tail.strip() and line_end >= 0:
            stop = following if following >= 0 else part.end
            part.children.append(_part(buffer, line_end + 1, stop, part.depth + 1, counter))
        at = following
