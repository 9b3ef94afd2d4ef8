"""SEARCH and sequence sets of the sandbox's IMAP server (RFC 3501 sections 6.4.4 and 9).

Keys: ALL SEEN UNSEEN NEW OLD RECENT UID, a sequence set, SINCE BEFORE ON (by arrival), HEADER SUBJECT FROM TO,
LARGER SMALLER, NOT, OR and parentheses.  Raises SearchError for anything else and above 10 levels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from datetime import UTC, datetime
from typing import TypeAlias

from core.lane import DAY
from sandbox.feedback import field_value
from sandbox.mailbox import Folder, StoredMail

MAX_DEPTH = 10
Test: TypeAlias = Callable[[int, StoredMail], bool]
_SET = re.compile(r"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*")


class SearchError(Exception):
    """A key or set that cannot be read."""


class _Ranges:
    """A sequence set with '*' filled in."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._ranges = ranges

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and any(low <= number <= high for low, high in self._ranges)


def sequence(text: str, folder: Folder, *, by_uid: bool) -> Container[int]:
    """Numbers named by a set such as `2,4:7,9:*`."""
    if not _SET.fullmatch(text):
        raise SearchError("bad sequence set")
    last = (folder.mails[-1].uid if folder.mails else 0) if by_uid else len(folder.mails)
    ranges = []
    for part in text.split(",")[:1000]:
        ends = [last if end == "*" else int(end) for end in part.split(":")]
        ranges.append((min(ends), max(ends)))
    return _Ranges(ranges)


def search(folder: Folder, words: list[str]) -> list[tuple[int, StoredMail]]:
    """Matching messages with their sequence numbers."""
    left = list(words)
    if left[:1] and left[0].upper() == "CHARSET":
        left = left[2:]
    if not left:
        raise SearchError("a search key is missing")
    tests: list[Test] = []
    while left:
        tests.append(_key(left, folder, 0))
    return [(n, mail) for n, mail in enumerate(folder.mails, 1) if all(test(n, mail) for test in tests)]


def _key(left: list[str], folder: Folder, depth: int) -> Test:
    """Take one key off `left`."""
    if depth > MAX_DEPTH:
        raise SearchError("too deeply nested")
    word = _next(left)
    match word.upper():
        case "ALL" | "OLD":
            return lambda n, mail: True
        case "NEW" | "RECENT":
            return lambda n, mail: False
        case "SEEN":
            return lambda n, mail: mail.seen
        case "UNSEEN":
            return lambda n, mail: not mail.seen
        case "UID":
            uids = sequence(_next(left), folder, by_uid=True)
            return lambda n, mail: mail.uid in uids
        case "SINCE" | "BEFORE" | "ON" as name:
            return _by_date(name, _day(_next(left)))
        case "LARGER" | "SMALLER" as name:
            size = _number(_next(left))
            return lambda n, mail: len(mail.content) > size if name == "LARGER" else len(mail.content) < size
        case "HEADER":
            return _by_field(_next(left), _next(left))
        case "SUBJECT" | "FROM" | "TO" as name:
            return _by_field(name, _next(left))
        case "NOT":
            inner = _key(left, folder, depth + 1)
            return lambda n, mail: not inner(n, mail)
        case "OR":
            one, other = _key(left, folder, depth + 1), _key(left, folder, depth + 1)
            return lambda n, mail: one(n, mail) or other(n, mail)
        case "(":
            parts: list[Test] = []
            while left and left[0] != ")":
                parts.append(_key(left, folder, depth + 1))
            _next(left)
            return lambda n, mail: all(part(n, mail) for part in parts)
        case _:
            numbers = sequence(word, folder, by_uid=False)
            return lambda n, mail: n in numbers


def _next(left: list[str]) -> str:
    if not left:
        raise SearchError("an argument is missing")
    return left.pop(0)


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > 12:
        raise SearchError("bad number")
    return int(text)


def _day(text: str) -> float:
    try:
        return datetime.strptime(text.strip('"'), "%d-%b-%Y").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise SearchError("bad date") from error


def _by_date(name: str, day: float) -> Test:
    match name:
        case "SINCE":
            return lambda n, mail: mail.at >= day
        case "BEFORE":
            return lambda n, mail: mail.at < day
        case _:
            return lambda n, mail: day <= mail.at < day + DAY


def _by_field(name: str, part: str) -> Test:
    return lambda n, mail: part.lower() in field_value(mail.header, name).lower()
