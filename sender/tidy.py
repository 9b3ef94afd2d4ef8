"""Text that goes out as it is: nothing to encode, to canonicalise or to stuff.

Contract: `Tidy` bytes are lines of printable ASCII, at most 78 characters each and ended by CRLF; none begins with a
dot, ends with a space or holds two in a row; the last is not empty.  So they are their own 7bit encoding (RFC 2045
section 2.7), their own relaxed form under DKIM (RFC 6376 section 3.4.4) and their own dot-stuffed form (RFC 5321
section 4.5.2): four looks through each message are saved.  `TidyText` looks at a plain template once, and at each
recipient's values; where either is anything else it answers None, and the mail goes the ordinary way to the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_LINE = 78  # RFC 5322 section 2.1.1
_LINE_END = re.compile(rb"\r\n|\r|\n")
_LINES = re.compile(rb"(?:(?!\.)(?: ?[!-~])*\r\n)+")
_WORDS = re.compile(r"[!-\-/-~](?: ?[!-~])*")  # begins with no dot: it may come to stand first in its line


class Tidy(bytes):
    """See the module."""

    __slots__ = ()


def is_tidy(content: bytes) -> bool:
    """Whether these bytes are as the module says."""
    return (
        _LINES.fullmatch(content) is not None
        and not content.endswith(b"\r\n\r\n")
        and content != b"\r\n"
        and max(map(len, content.split(b"\r\n"))) <= MAX_LINE
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TidyText:
    """A template whose texts are tidy.  `room`: characters by which all values together may be longer than one each."""

    pieces: tuple[tuple[bytes, str], ...]  # (text, variable behind it)
    room: int
    fixed: Tidy | None  # where no variable stands in it: one body for all, so that it is hashed once

    @staticmethod
    def of(pieces: Sequence[tuple[str, str]]) -> TidyText | None:
        """Of a plain template's pieces (sender.template); None when they are not tidy."""
        done = [(_LINE_END.sub(b"\r\n", text.encode("utf-8", "surrogatepass")), name) for text, name in pieces]
        if not done or not done[-1][0].endswith(b"\r\n"):
            done.append((b"\r\n", ""))
        sample = b"".join(text + (b"x" if name else b"") for text, name in done)
        if not is_tidy(sample):
            return None
        varies = any(name for _, name in done)
        room = MAX_LINE - max(map(len, sample.split(b"\r\n")))
        return TidyText(pieces=tuple(done), room=room, fixed=None if varies else Tidy(sample))

    def body(self, values: Mapping[str, str]) -> Tidy | None:
        """One recipient's text; None when a value is missing or not tidy."""
        if self.fixed is not None:
            return self.fixed
        room = self.room
        out: list[bytes] = []
        for text, name in self.pieces:
            out.append(text)
            if name:
                value = values.get(name, "")
                room -= len(value) - 1
                if room < 0 or not _WORDS.fullmatch(value):
                    return None
                out.append(value.encode())
        return Tidy(b"".join(out))
