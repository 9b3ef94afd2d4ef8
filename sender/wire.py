"""The bytes of SMTP: line ends, dots, replies and capabilities.  Pure; used by the session and the signer.

Contract: what goes out has CRLF line ends only (a bare CR or LF inside a message is how mail is smuggled past a
receiver: a bare LF becomes a line end, a bare CR a space).  What comes in is bounded: a reply has at most
MAX_REPLY_LINES lines of MAX_REPLY_LINE bytes and MAX_REPLY_BYTES in all, and must look like a reply; anything else
raises BrokenReply, after which the dialogue cannot be trusted.  RFC 5321 sections 2.3.8, 4.2, 4.5.2, 4.5.3.1.5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_REPLY_LINE = 4096  # RFC 5321 allows 512; real hosts send longer ones
MAX_REPLY_LINES = 100
MAX_REPLY_BYTES = 65_536
MAX_CAPABILITIES = 64
# replies of one line that were found good: a host says the same few things again and again
_KNOWN: dict[bytes, str] = {}
_MAX_KNOWN = 500
_KNOWN_BYTES = 200

_ATOM_OR_QUOTED = r"""(?:[^\x00-\x20\x7f<>"@,]+|"(?:[^\x00-\x1f\x7f"\\]|\\[^\x00-\x1f\x7f])*")"""
_PATH = re.compile(rf"{_ATOM_OR_QUOTED}@[^\x00-\x20\x7f<>\"@,]+")


class BrokenReply(Exception):
    """The remote host's bytes are no SMTP reply, or go beyond the bounds.  The text says how."""


def crlf(content: bytes) -> bytes:
    """The content with CRLF line ends only, ending in one; unchanged (no copy) when it is so already."""
    pairs = content.count(b"\r\n")
    if pairs != content.count(b"\n") or pairs != content.count(b"\r"):
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    return content


def dot_stuffed(content: bytes) -> bytes:
    """CRLF content with every leading dot doubled (RFC 5321 section 4.5.2); no copy when there is none."""
    if b"\n." in content:
        content = content.replace(b"\n.", b"\n..")
    return b"." + content if content.startswith(b".") else content


def is_path(address: str) -> bool:
    """True when the address can stand between angle brackets without ending the command early."""
    return len(address) <= 512 and _PATH.fullmatch(address) is not None


class ReplyReader:
    """Turns received bytes into replies, each a list of lines with their code."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._bytes = 0

    @property
    def pending(self) -> bool:
        """True when bytes are left that no complete reply has used."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def clear(self) -> None:
        """Forget what is pending (the dialogue begins anew under TLS)."""
        self._buffer.clear()
        self._lines, self._bytes = [], 0

    def next(self) -> list[str] | None:
        """The next complete reply, None until there is one.  Raises BrokenReply."""
        while True:
            end = self._buffer.find(b"\n", 0, MAX_REPLY_LINE + 1)
            if end < 0:
                if len(self._buffer) > MAX_REPLY_LINE:
                    raise BrokenReply(f"a reply line is longer than {MAX_REPLY_LINE} bytes")
                return None
            line = bytes(self._buffer[:end]).rstrip(b"\r")
            del self._buffer[: end + 1]
            if not self._lines and (known := _KNOWN.get(line)) is not None:
                return [known]
            self._take(line)
            if line[3:4] != b"-":
                lines, self._lines, self._bytes = self._lines, [], 0
                if len(lines) == 1 and len(line) <= _KNOWN_BYTES:
                    if len(_KNOWN) >= _MAX_KNOWN:
                        _KNOWN.clear()
                    _KNOWN[line] = lines[0]
                return lines

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        if not (line[:3].isdigit() and 200 <= int(line[:3]) < 600 and line[3:4] in (b"", b" ", b"-")):
            raise BrokenReply(f"not an SMTP reply: {text[:80]!r}")
        if self._lines and self._lines[0][:3] != text[:3]:
            # the code decides about a message: two codes in one reply decide nothing
            raise BrokenReply(f"a reply with two codes: {self._lines[0][:40]!r}, {text[:40]!r}")
        self._lines.append(text)
        self._bytes += len(line)
        if len(self._lines) > MAX_REPLY_LINES or self._bytes > MAX_REPLY_BYTES:
            raise BrokenReply(f"a reply is longer than {MAX_REPLY_LINES} lines or {MAX_REPLY_BYTES} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the host offered in its answer to EHLO.  `size_limit` 0 means none was told."""

    keywords: dict[str, str] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def size_limit(self) -> int:
        value = self.keywords.get("SIZE", "")
        # more digits than this are no limit that a message could meet
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else 0


def parse_capabilities(lines: Sequence[str]) -> Capabilities:
    """Read the lines of a 250 answer to EHLO; the first names the host.  At most MAX_CAPABILITIES are kept."""
    keywords: dict[str, str] = {}
    for line in lines[1 : MAX_CAPABILITIES + 1]:
        keyword, _, value = line[4:].strip().partition(" ")
        if keyword:
            keywords.setdefault(keyword.upper(), value.strip())
    return Capabilities(keywords=keywords)
