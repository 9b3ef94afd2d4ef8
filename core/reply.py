"""SMTP replies and enhanced status codes (RFC 5321 section 4.2, RFC 3463, RFC 2034)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_ENHANCED = re.compile(r"^\s*([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$|:|-)")
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


def _status(kind: str, subject: str, detail: str) -> str:
    if subject[0] == "0" or detail[0] == "0":
        return f"{kind}.{int(subject)}.{int(detail)}"
    return f"{kind}.{subject}.{detail}"


def parse_reply(lines: list[str] | str, stage: Stage = Stage.FINAL) -> Reply:
    """Build a Reply from its lines (with or without the leading code).

    Multi-line replies become one line; the enhanced status is taken from the first line that has one
    and dropped from the others.  Text without a code gives `code` 0.  Control characters become spaces.
    """
    rows = lines.splitlines() if isinstance(lines, str) else lines
    code, status, texts = 0, "", []
    for row in rows[:100]:
        text = row.strip() if row.isprintable() else "".join(c if c.isprintable() else " " for c in row).strip()
        if len(text) >= 3 and text[:3].isdigit() and (len(text) == 3 or text[3] in " -") and 200 <= int(text[:3]) < 600:
            code, text = code or int(text[:3]), text[4:].strip()
        match = _ENHANCED.match(text)
        if match:
            status = status or _status(*match.groups())
            text = text[match.end() :].lstrip(" :-")
        if text:
            texts.append(text)
    return Reply(code=code, status=status, text=" ".join(texts)[:MAX_REPLY_TEXT], stage=stage)
