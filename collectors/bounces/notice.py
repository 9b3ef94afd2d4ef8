"""A returned mail as readers of bounce formats see it: header, human text, status parts, and the original's header.

Contract: pure views over collectors.mime; texts are bounded; the human text ends where the returned original begins,
whether that is a part of its own or only a line of dashes.
"""

from __future__ import annotations

import re
from functools import cached_property

from collectors.mime import MAX_LINE, MAX_STATUS, MAX_TEXT, Headers, Part, Refusal, Refused

_STATUS = frozenset({"message/delivery-status", "message/global-delivery-status"})
_ORIGINAL = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/partial",
        "message/rfc822-headers",
        "text/rfc822-headers",
        "text/rfc822-header",
        "message/global-headers",
    }
)
_HEADER_NAMES = (
    "received|return-path|message-id|delivered-to|x-original-to|dkim-signature|envelope-to|"
    "x-envelope-from|mime-version|x-mailer|x-google-[a-z-]+|x-received|arc-seal"
)
# where the returned mail begins, when it is not a part of its own
_CUT = re.compile(
    r"^[ \t>]*(?:"
    r"[-=*_]{2,}[^\n]{0,40}\b(?:original|returned|unsent|enclosed|copy|below this line|header of|headers|"
    r"undelivered)\b[^\n]{0,80}$"
    r"|(?:the )?(?:original|returned) message(?: headers?)?(?: follows?| is included| is following|"
    r" attached| header)?[:.]{0,3}$"
    r"|(?:message|included is a copy of the message)(?: the)? headers? ?(?:follow|:)[^\n]{0,40}$"
    r"|(?:below|included|enclosed|here) is a copy of (?:the|your) [^\n]{0,60}$"
    r"|-+ ?(?:text of|message header|message text|begin|start)[^\n]{0,60}$"
    r"|original (?:mail|message) (?:header|text|follows|body)[^\n]{0,40}$"
    rf"|(?:(?:{_HEADER_NAMES}):[^\n]{{0,400}}\n(?:[ \t>][^\n]{{0,400}}\n){{0,12}}[ \t>]*[A-Za-z][A-Za-z-]{{1,40}}: ?)"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
_ORIGINAL_FIELD = re.compile(r"^[ \t>]{0,3}(?:received|return-path|message-id|from|to|subject|date):", re.I | re.M)
_RENAMED = re.compile(r"^[ \t]{0,3}final-recipient[ \t]{0,3}:", re.IGNORECASE | re.MULTILINE)
_LONG = re.compile(rf"([^\n]{{{MAX_LINE}}})[^\n]+")


class Notice:
    """See the module.  Build one per mail."""

    def __init__(self, mail: Part) -> None:
        self.mail = mail
        self.headers = mail.headers

    @cached_property
    def subject(self) -> str:
        return self.headers.get("subject")

    @cached_property
    def sender(self) -> str:
        return self.headers.get("from")

    @cached_property
    def parts(self) -> list[Part]:
        return list(self.mail.walk())

    @cached_property
    def statuses(self) -> list[str]:
        """Texts of the machine-readable parts.  Raises Refused when one is larger than any honest report."""
        for part in self.parts:
            if part.kind in _STATUS and part.end - part.start > MAX_STATUS:
                raise Refused(Refusal.TOO_LARGE, f"a status part of more than {MAX_STATUS} bytes")
        found = [part.text(MAX_STATUS) for part in self.parts if part.kind in _STATUS]
        if not found and self.mail.parameter("report-type").lower() == "delivery-status":
            # a gateway has renamed the part
            texts = [part.text() for part in self.parts if part.kind == "application/octet-stream"]
            found = [text for text in texts if _RENAMED.search(text)]
        return found

    @cached_property
    def whole_text(self) -> str:
        """The human parts before the original, uncut."""
        plain: list[str] = []
        pages: list[str] = []
        size = 0
        for part in self.parts:
            if part.kind in _ORIGINAL or part.kind == "x-original/headers" or size > MAX_TEXT:
                break
            if part.children or part.kind in _STATUS:
                continue
            attached = part.headers.get("content-disposition").lower().startswith("attachment")
            if part.kind == "text/html":
                pages.append(part.text())
            elif (part.kind.startswith("text/") or part is self.mail) and not (attached and plain):
                plain.append(part.text())
                size += len(plain[-1])
        text = "\n".join(plain)
        if len(text.strip()) < 20 and pages:
            text = "\n".join(pages)
        text = text[:MAX_TEXT]
        return _LONG.sub(r"\1", text) if len(text) > MAX_LINE else text

    @cached_property
    def _cut(self) -> int:
        text = self.whole_text
        for match in _CUT.finditer(text):
            if text[: match.start()].strip():
                return match.start()
        return len(text)

    @cached_property
    def text(self) -> str:
        """What the reporting host says in words, without the returned mail."""
        return self.whole_text[: self._cut]

    @cached_property
    def original(self) -> Headers:
        """The header of the returned mail; empty when nothing of it came back."""
        for part in self.parts:
            if part.kind == "x-original/headers":
                return part.headers
            if part.kind in _ORIGINAL and not part.children:
                return Headers(part.data().lstrip())
        rest = self.whole_text[self._cut :]
        field = _ORIGINAL_FIELD.search(rest)
        if field is not None:
            block = rest[field.start() :].split("\n\n", 1)[0]
            return Headers(re.sub(r"^[ \t]{0,1}> ?", "", block, flags=re.M).encode("utf-8", "replace"))
        for part in self.parts[1:]:
            if part.kind.startswith("text/") and "header" in part.headers.get("content-type").lower():
                return Headers(part.data().lstrip())
        return Headers(b"")
