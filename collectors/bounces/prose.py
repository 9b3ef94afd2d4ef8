"""Bounce mails in prose, as a table: how a program's text is recognised and where it names recipients and reasons.

Contract: a Prose is a Format.  `marks`: any of these patterns in `From`, `Subject` or the text makes the mail its own
(none: every mail).  `begin` and `end` cut the text down to the list of recipients.  `item` finds one recipient
(group `address`, and `reason` when it stands on the same line); its diagnostic is the reason and what follows up to
the next item.  With `whole`, it is the whole text: for programs that explain before they name; with `line`, the reason
alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from collectors.bounces.diagnostic import ADDRESS, clean_address, find_address
from collectors.bounces.finding import Action, Finding, prose_finding
from collectors.bounces.notice import Notice

MAX_FINDINGS = 2_001  # one more than a mail may name: the reader refuses it
_MARK_TEXT = 6_000
_BLOCK = 3_000
_LONG_BLOCKS = 100  # recipients whose whole block is read; of further ones the beginning
_DELAYED = re.compile(

        r"\bwarning\b[^\n]{0,60}\b(?:still|not yet|could not send|delayed|undelivered)|\b(?:delivery|message|"
        r"mail)\b[^\n]{0,40}\b(?:is|has been|was) delayed"

        r"|delay(?:ed)? (?:warning|notification|notice)|delivery delay|not yet been delivered|"
        r"delivery incomplete|will retry for|will (?:continue|keep) (?:to try|trying|attempting)"
    r"|this is a warning|no action is required|still trying|status notification \(delay\)|継続|再送",
    re.IGNORECASE,
)  # fmt: skip
_FINAL = re.compile(
    r"giving up|given up|permanent|not be (?:re)?tried|has failed|returned to sender|expired", re.IGNORECASE
)


def address_item(before: str = r"^[ \t>]{0,14}", after: str = "") -> str:
    """A pattern for `item`: an address at the beginning of a line, in whatever brackets."""
    return rf"{before}[<\"'(\[*-]{{0,3}}[ ]?(?P<address>{ADDRESS})[>\"')\]]{{0,2}}{after}"


def is_delay(notice: Notice, text: str = "") -> bool:
    """True when the mail warns and will still try."""
    if _DELAYED.search(notice.subject) and not _FINAL.search(notice.subject):
        return True  # "you will be told when it fails permanently" is no end
    told = f"{notice.subject}\n{(text or notice.text)[:_BLOCK]}"
    return bool(_DELAYED.search(told)) and not _FINAL.search(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """See the module.  Patterns are searched without regard to case, `^` and `$` at every line."""

    name: str
    order: int
    item: str
    marks: tuple[str, ...] = ()
    begin: str = ""
    end: str = ""
    whole: bool = False
    line: bool = False
    uncut: bool = False  # look at the text after the cut as well
    _ready: dict[str, re.Pattern[str]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        flags = re.IGNORECASE | re.MULTILINE
        self._ready["item"] = re.compile(self.item, flags)
        if self.marks:
            self._ready["marks"] = re.compile("|".join(f"(?:{mark})" for mark in self.marks), flags)
        for key, pattern in (("begin", self.begin), ("end", self.end)):
            if pattern:
                self._ready[key] = re.compile(pattern, flags)

    def read(self, notice: Notice) -> list[Finding]:
        """See Format."""
        text = notice.whole_text if self.uncut else notice.text
        marks = self._ready.get("marks")
        if marks is not None and not marks.search(
            f"From: {notice.sender}\nSubject: {notice.subject}\n{text[:_MARK_TEXT]}"
        ):
            return []
        region = self._region(text)
        action = Action.DELAYED if is_delay(notice) else Action.FAILED
        items = []
        for match in self._ready["item"].finditer(region):
            items.append(match)
            if len(items) >= MAX_FINDINGS:
                break
        found: dict[str, Finding] = {}
        for number, match in enumerate(items):
            address = clean_address(match["address"])
            stop = items[number + 1].start() if number + 1 < len(items) else len(region)
            reason = match.groupdict().get("reason") or ""
            if self.whole:
                block = region
            elif self.line:
                block = reason
            else:
                block = f"{reason} {region[match.end() : stop][: _BLOCK if number < _LONG_BLOCKS else 300]}"
            one = prose_finding(address, action, block)
            known = found.get(address.lower())
            if known is None or _tells_more(one, known):
                found[address.lower()] = one
        return list(found.values())

    def _region(self, text: str) -> str:
        begin, end = self._ready.get("begin"), self._ready.get("end")
        start = begin.search(text) if begin else None
        region = text[start.end() :] if start else text
        stop = end.search(region) if end else None
        return region[: stop.start()] if stop else region


def _tells_more(one: Finding, known: Finding) -> bool:
    """A later mention of the same recipient counts when the first had no reply to quote."""
    if known.reply.code or known.reply.status:
        return False
    return bool(one.reply.code or one.reply.status) or len(one.reply.text) > len(known.reply.text)


def failed_recipients(notice: Notice) -> list[str]:
    """X-Failed-Recipients, set by Exim, Google and others."""
    listed = ",".join(notice.headers.all("x-failed-recipients"))
    return [address for address in (find_address(part) for part in listed.split(",")) if address]
