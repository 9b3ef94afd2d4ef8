"""Complaints: feedback reports (RFC 5965 and its extensions) and the forms from before and beside it.

Read: multipart/report with message/feedback-report of every type; the old Microsoft form (staff@hotmail.com with the
original attached and X-HmXmrOriginalRecipient inside); reports that return only a header; reports whose recipient is
redacted (RFC 6590), hashed or a placeholder; RFC 9477 (CFBL-Feedback-ID).  The report is unauthenticated text: what it
says is worth something only with a token.

Contract: `read_complaint(notice)` gives a Complaint or None; never raises for what is in the mail.  `recipients` holds
only addresses that may be real.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz

from collectors.bounces.diagnostic import find_address, find_addresses
from collectors.bounces.formats.notification_json import complained
from collectors.bounces.notice import Notice
from collectors.mime import Headers

MAX_RECIPIENTS = 100
_OLD_SENDERS = re.compile(
    r"(?:^|<)(?:staff@hotmail\.com|scomp@aol\.net|complaints?@|fbl@|feedback-?loop@|abuse-?reports?@)", re.I
)
_OLD_SUBJECT = re.compile(
    r"complaint about message from|^(?:e-?mail )?(?:abuse|spam) (?:report|feedback|complaint)|"
    r"\bcustomer complaint\b|^feedback loop",
    re.I,
)
_REDACTED = re.compile(
    r"^(?:redacted|hashed|undisclosed|unknown|recipient|xxx+|\*+|[0-9a-f]{32,64})(?:[-_+.][^@]*)?@|"
    r"@(?:.*\.invalid|redacted)$|\.invalid$",
    re.I,
)
_FEEDBACK_FIELD = re.compile(r"^\s{0,3}feedback-type[ \t]*:[ \t]*([a-z][a-z_ -]{1,30})", re.I | re.M)
KNOWN = frozenset(
    {
        "abuse",
        "fraud",
        "virus",
        "other",
        "not-spam",
        "auth-failure",
        "opt-out",
        "opt-out-list",
        "dkim",
        "miscategorized",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What a report says.  `feedback_type` in lower case with hyphens, 'abuse' when the form has none."""

    feedback_type: str
    recipients: tuple[str, ...]
    reporter: str
    user_agent: str
    version: str
    source_ip: str
    mail_from: str
    envelope_id: str
    feedback_id: str
    redacted: bool
    reported_at: float = 0.0  # the Date of the report, 0 without a legible one


def read_complaint(notice: Notice) -> Complaint | None:
    """See the module."""
    report = _report(notice)
    if report is not None:
        return _complaint(notice, report)
    told_of = complained(notice)
    if told_of:
        return _complaint(notice, Headers("\n".join(f"original-rcpt-to: {one}" for one in told_of).encode()))
    original = notice.original
    microsoft = original.get("x-hmxmroriginalrecipient")
    told = _OLD_SUBJECT.search(notice.subject) is not None
    if (
        microsoft
        or (told and original and _OLD_SENDERS.search(notice.sender))
        or (told and "X-HmXmr" in notice.subject)
    ):
        return _complaint(notice, Headers(b""))
    return None


def _report(notice: Notice) -> Headers | None:
    for part in notice.parts:
        if part.kind == "message/feedback-report" or (part.kind == "text/feedback-report"):
            return Headers(part.data().lstrip(b"\n"))
    flattened = notice.mail.parameter("report-type").lower() == "feedback-report"
    for part in notice.parts:
        # a gateway may have renamed the part or dissolved it into the text
        if (flattened or part.depth > 0) and part.kind in ("text/plain", "application/octet-stream"):
            text = part.text()
            field = _FEEDBACK_FIELD.search(text)
            if field and (flattened or re.search(r"^\s{0,3}(?:user-agent|version)[ \t]*:", text, re.I | re.M)):
                return Headers(text[field.start() :].encode("utf-8", "replace"))
    return Headers(b"feedback-type: abuse") if flattened else None


def _complaint(notice: Notice, report: Headers) -> Complaint:
    original = notice.original
    kind = re.sub(r"[ _]+", "-", report.get("feedback-type").strip().lower()) or "abuse"
    named = [find_address(value) for name in ("original-rcpt-to", "removal-recipient") for value in report.all(name)]
    named += [find_address(original.get("x-hmxmroriginalrecipient"))]
    if not any(named):
        named += find_addresses(original.get("to") or original.get("delivered-to") or original.get("x-original-to"))
    addresses = list(dict.fromkeys(address for address in named if address))
    usable = [address for address in addresses if not _REDACTED.search(address)]
    return Complaint(
        feedback_type=kind[:40],
        recipients=tuple((usable or addresses)[:MAX_RECIPIENTS]),
        reporter=find_address(notice.sender),
        user_agent=report.get("user-agent")[:200],
        version=report.get("version")[:20],
        source_ip=(report.get("source-ip") or report.get("source"))[:60],
        mail_from=find_address(report.get("original-mail-from")),
        envelope_id=report.get("original-envelope-id")[:200],
        feedback_id=(original.get("cfbl-feedback-id") or report.get("cfbl-feedback-id") or original.get("feedback-id"))[
            :200
        ],
        redacted=not usable,
        reported_at=_date(notice.headers.get("date")),
    )


def _date(text: str) -> float:
    """An RFC 5322 date as seconds since the epoch; 0 when it is none."""
    try:
        parsed = parsedate_tz(text[:100])
        return max(0.0, float(mktime_tz(parsed))) if parsed else 0.0
    except (ValueError, OverflowError, IndexError, TypeError):
        return 0.0
