"""What a command reads from standard input: text that ends at some size, so that an endless pipe ends in an error."""

from __future__ import annotations

from typing import BinaryIO

from core.errors import InvalidInput, LimitExceeded

MAX_LINE = 2_000  # bytes; an address has 320 at most
MAX_LINES = 100_000
MAX_TEXT = 10_000_000  # bytes of a message's text


def given_lines(file: BinaryIO) -> list[str]:
    """The lines that are not empty, without the blanks around them.  Raises InvalidInput naming line and remedy."""
    lines: list[str] = []
    number = 0
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        if len(raw) > MAX_LINE:
            raise LimitExceeded(f"line {number}", f"has more than {MAX_LINE} bytes", "One address a line")
        if number > MAX_LINES:
            remedy = "For longer lists there is penstock suppressions import FILE"
            raise LimitExceeded("standard input", f"has more than {MAX_LINES:,} lines", remedy)
        if text := _text(raw, f"line {number}").strip():
            lines.append(text)
    return lines


def given_text(file: BinaryIO) -> str:
    """All of it.  Raises InvalidInput."""
    raw = file.read(MAX_TEXT + 1)
    if len(raw) > MAX_TEXT:
        raise LimitExceeded("standard input", f"has more than {MAX_TEXT:,} bytes", "Give a shorter text")
    return _text(raw, "standard input")


def _text(raw: bytes, place: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(place, "is not UTF-8", "Convert it first, e.g. with iconv -f cp1251 -t utf-8") from error
