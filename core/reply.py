"""SMTP replies and enhanced status codes (RFC 5321 section 4.2, RFC 3463, RFC 2034)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

# a code, which some hosts say twice, and an enhanced status; either may be missing
_LINE = re.compile(
    r"\s*+(?:([2-5]\d\d)(?:[ -]+|$)(?:\1(?:[ -]+|$))?)?"
    r"(?:([245]\.\d{1,3}\.\d{1,3})(?=\s|$|:|-)[\s:-]*+)?", re.ASCII
)  # fmt: skip
MAX_REPLY_TEXT = 1000  # characters kept of a reply's text; the rest is cut


class Stage(StrEnum):
    """Which command the reply answered; a refusal after DATA means something else than one at RCPT."""

    CONNECT = "connect"
    HELO = "helo"
    STARTTLS = "starttls"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    FINAL = "final"  # the reply after the message's last dot
    REPORT = "report"  # a diagnostic quoted in a bounce message

    __hash__ = str.__hash__  # Enum's is written in Python, and every reply's class is looked up by its stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply.  `code` is 200–599; 0 stands for "no reply" (connection lost, time-out, DNS).

    `status` is the enhanced code as 'x.y.z' or ''.  `text` is one line without code and status.
    """

    code: int
    text: str
    status: str = ""
    stage: Stage = Stage.FINAL

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code) if self.code else "", self.status, self.text) if part)

    @property
    def is_success(self) -> bool:
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        return 400 <= self.code < 500 or self.code == 0

    @property
    def is_permanent(self) -> bool:
        return self.code >= 500


def parse_reply(lines: list[str] | str, stage: Stage = Stage.FINAL) -> Reply:
    """Build a Reply from its lines (with or without the leading code).

    Multi-line replies become one line; the enhanced status is taken from the first line that has one
    and dropped from the others.  Text without a code gives `code` 0.  Control characters become spaces.
    """
    if isinstance(lines, str):
        if lines.isprintable():  # hence one line, as nearly all are: by itself it takes half the time
            return _made(*_usual(lines), stage)
        lines = lines.splitlines()
    code, status, texts = 0, "", []
    for row in lines[:100]:
        printable = row if row.isprintable() else "".join(c if c.isprintable() else " " for c in row)
        own_code, own_status, text = _parts(printable)
        code, status = code or own_code, status or own_status
        if text:
            texts.append(text)
    return _made(code, status, " ".join(texts), stage)


_new = object.__new__
_set_code, _set_text, _set_status, _set_stage = (
    Reply.__dict__[name].__set__ for name in ("code", "text", "status", "stage")
)


def _made(code: int, status: str, text: str, stage: Stage) -> Reply:
    """A Reply in half the time that the constructor of a frozen class takes; every answer of every host is one."""
    reply = _new(Reply)
    _set_code(reply, code)
    _set_status(reply, status)
    _set_text(reply, text[:MAX_REPLY_TEXT])
    _set_stage(reply, stage)
    return reply


_CODES = {str(code): code for code in range(200, 600)}
_SEEN: dict[str, str] = {}  # statuses that stood alone in a line's second place, as they are written
_MAX_SEEN = 2_000


def _usual(row: str) -> tuple[int, str, str]:
    """What `_parts` says, in half the time for a code, a status that was seen before, and a text."""
    head, _, rest = row.partition(" ")
    code = _CODES.get(head)
    word, _, text = rest.partition(" ")
    status = _SEEN.get(word)
    if code is not None and status is not None:
        return code, status, text.lstrip(" :-").rstrip()
    if code is not None and word[:1].isalpha():
        return code, "", rest.strip()
    parts = _parts(row)
    if parts[1] and parts[1] == word and len(_SEEN) < _MAX_SEEN:
        _SEEN[word] = word
    return parts


def _parts(row: str) -> tuple[int, str, str]:
    """Code, status and text of one line."""
    match = _LINE.match(row)
    if match is None:
        return 0, "", row.strip()
    code, status = match.groups("")
    if ".0" in status:
        status = ".".join([str(int(part)) for part in status.split(".")])  # 5.01.001 is written, too
    return int(code or 0), status, row[match.end() :].rstrip()
