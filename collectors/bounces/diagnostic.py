"""Addresses and SMTP replies inside the texts of bounce mails.

Contract: pure; bounded; what is not there is ''.  A quoted reply keeps its words, because the classifier decides by
them; code and enhanced status are taken from where the text shows them (RFC 3463, RFC 5321 section 4.2).
"""

from __future__ import annotations

import re
import urllib.parse

from core.reply import MAX_REPLY_TEXT, Reply, Stage

ATOM = r"[\w.!#$%&'*+/=?^`{|}~-]"
ADDRESS = rf'(?:{ATOM}{{1,64}}|"[^"\n@]{{1,62}}")@[\w-][\w.-]{{0,252}}+'
_ADDRESS = re.compile(ADDRESS)
_BOTH = re.compile(r"(?<![\w.@/=:-])#?([245]\d\d)[ \-:;#,(]{1,4}#?([245]\.\d{1,2}\.\d{1,3})(?![\d.]*\d)")
_CODE = re.compile(
    r"(?<![\w.@/=\[-])([45]\d\d)(?=[ \-:;]\s{0,3}[^\s\d]|[ -]\d\.|\s*$|[ -]*[45]\d\d[ -])(?! (?:seconds|"
    r"minutes|hours|days|bytes|kb|mb)\b)"
)
_STATUS = re.compile(r"(?<![\w.])([245]\.\d{1,2}\.\d{1,3})(?![\w.]*[\d.]\d)")
# Cisco's gateways put a category of their own before the reply: it says "Unknown address error" for every refusal
_WRAPPED = re.compile(r"#?[245]\.\d\.\d - [A-Z][\w ]{3,40} #?([45]\d\d)[- ]'(.*)'")
# what every program says around the reason, in words that would explain another failure
_PREAMBLE = re.compile(
    r"(?:this (?:message|report|mail|e-?mail) (?:was|is|has been) (?:created|generated|an?)\b|"
    r"this is (?:an? )?(?:permanent|auto)|"
    r"(?:a |your |the )?(?:message|mail|e-?mail|delivery)\b[^.:\n]{0,60}(?:could not be|was not|"
    r"has not been|cannot be|not be|"
    r"did not|failed to be|to (?:the |one )?[^.:\n]{0,40}fail)|delivery (?:to|of)\b[^.:\n]{0,60}(?:failed|aborted)|"
    r"i'm (?:afraid|sorry)|sorry[, ]+we were unable to deliver\b|we (?:were|are) (?:unable|sorry)|it'?s attached|"
    r"i(?:'ve| have) given up|for further (?:assistance|information)|if you do so|delete your own text|"
    r"please (?:contact|include|"
    r"do not reply|note|forward|send)|do not reply|google tried to deliver|we recommend contacting|technical details|"
    r"(?:the )?following (?:address|recipient|message|is)[^:\n]{0,60}|each of the following|recommend|contact your)"
    r"[^.:\n]{0,200}+(?:[.:]+(?=\s|$)|\n\s*\n|$)",
    re.IGNORECASE,
)
_LOOK = MAX_REPLY_TEXT * 2
_LEADING = re.compile(r"(?<= )[245]\.\d{1,2}\.\d{1,3}(?= )")  # a status before its text, not one in brackets behind it
_STAGES = (
    (re.compile(r"end of data|after (?:end of )?data|in reply to data|\bdata command|text command", re.I), Stage.FINAL),
    (re.compile(r"rcpt to|rcpt command|in reply to rcpt", re.I), Stage.RCPT),
    (re.compile(r"(?:in reply to|after|>>>) ?mail from", re.I), Stage.MAIL),
    (re.compile(r"(?:in reply to|after|>>>) ?(?:ehlo|helo)|initial (?:response|connection)", re.I), Stage.CONNECT),
)


def find_address(text: str) -> str:
    """The first address in a text, without brackets; '' without one."""
    match = _ADDRESS.search(text)
    return clean_address(match[0]) if match else ""


def find_addresses(text: str) -> list[str]:
    """Every address, in order, each once."""
    return list(dict.fromkeys(clean_address(match[0]) for match in _ADDRESS.finditer(text)))


def clean_address(text: str) -> str:
    """An address as it was mailed: no quotes around the whole, no trailing dot, no `rfc822;`."""
    return text.strip().strip("<>'`").rstrip(".-_").removeprefix("rfc822;").removeprefix("mailto:")


def recipient_field(value: str) -> str:
    """The address of a Final-Recipient or Original-Recipient field (RFC 3464 section 2.3, xtext of RFC 3461)."""
    kind, semicolon, rest = value.partition(";")
    address = (rest if semicolon else kind).strip()
    found = find_address(address)
    if not found and "+40" in address:
        found = find_address(re.sub(r"\+([0-9A-Fa-f]{2})", r"%\1", address) and urllib.parse.unquote(
            re.sub(r"\+([0-9A-Fa-f]{2})", r"%\1", address)
        ))  # fmt: skip
    return found


def quoted(text: str, *, status: str = "") -> tuple[Reply, str]:
    """The reply inside a text, from its code on, and the whole text for when that explains nothing."""
    line = " ".join(_PREAMBLE.sub("\n", text[: _LOOK * 2])[:_LOOK].split())
    marks = [match for match in (_BOTH.search(line), _CODE.search(line), _LEADING.search(line)) if match]
    if not marks:
        return read_reply(line, status=status), ""
    first = min(marks, key=lambda match: match.start())
    return read_reply(line[first.start() :], status=status, stage=stage_of(line)), line[:MAX_REPLY_TEXT]


def read_reply(text: str, *, status: str = "", code: int = 0, stage: Stage | None = None) -> Reply:
    """The reply that a diagnostic quotes; `status` and `code` stand in where the text shows none."""
    line = " ".join(text[:_LOOK].split())
    wrapped = _WRAPPED.match(line)
    if wrapped:
        line = f"{wrapped[1]} {wrapped[2]}"
    both = _BOTH.search(line)
    if both:
        found_code, found_status = int(both[1]), both[2]
    else:
        single = _CODE.search(line)
        found_code = int(single[1]) if single else code
        marked = _STATUS.search(line)
        found_status = marked[1] if marked else ""
    if not found_status or (found_status.endswith(".0.0") and status):
        found_status = status or found_status
    return Reply(
        code=found_code,
        status=".".join(str(int(part)) for part in found_status.split(".")) if found_status else "",
        text="".join(c if c.isprintable() else " " for c in line)[:MAX_REPLY_TEXT]
        if not line.isprintable()
        else line[:MAX_REPLY_TEXT],
        stage=stage or stage_of(line),
    )


def stage_of(text: str) -> Stage:
    """Which command the quoted reply answered, REPORT when the text does not tell."""
    for pattern, stage in _STAGES:
        if pattern.search(text):
            return stage
    return Stage.REPORT
