"""Failure reports about one message (RFC 6591, RFC 9991): the few facts that help, and no person's data by default.

Contract: `parse_failure(content, now, redact=True)` gives a FailureReport, or a Refusal for a mail that is none.
Redacted means: of recipient and sender only the domain, no subject, and of a Message-ID only its domain.  The body of
the message is never read further than its header.  Bounded by `collectors.mime`.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from collectors.dmarc.defects import Defect, Refusal
from collectors.dmarc.values import plain, read_domain, read_ip
from collectors.mime import Headers, Part, Refused, read_mail
from core.reports import FailureReport

HIDDEN = "redacted"


def parse_failure(content: bytes, now: float, *, redact: bool = True) -> FailureReport | Refusal:
    """See the module.  `now` stands in for an arrival date that cannot be read."""
    # here, for it brings every form of bounce with it, and few reports are of this kind
    from collectors.bounces.diagnostic import find_address

    try:
        mail = read_mail(content)
    except Refused as error:
        return Refusal(name="", defect=Defect.NOT_A_REPORT, problem=f"the mail cannot be read: {error}")
    report, original = Headers(b""), Headers(b"")
    for part in _walk(mail):
        if part.kind.endswith("/feedback-report") and not report:
            report = Headers(part.data().lstrip(b"\r\n"))
        elif part.kind in ("message/rfc822", "text/rfc822-headers", "text/rfc822-header") and not original:
            original = part.children[0].headers if part.children else Headers(part.data().lstrip(b"\r\n"))
    if report.get("feedback-type").strip().lower() not in ("auth-failure", "dkim"):
        return Refusal(name="", defect=Defect.NOT_A_REPORT, problem="is no authentication failure report")
    author = find_address(original.get("from"))
    message_id = plain(original.get("message-id") or report.get("message-id"), 255).strip("<> ")
    return FailureReport(
        reporter=read_domain(find_address(mail.headers.get("from")).rpartition("@")[2]),
        arrived_at=_instant(report.get("arrival-date"), now),
        domain=read_domain(report.get("reported-domain") or author.rpartition("@")[2]),
        source_ip=_ip(report.get("source-ip")),
        failure=plain(report.get("auth-failure").strip().lower(), 40),
        delivery=plain(report.get("delivery-result").strip().lower(), 40),
        mail_from=_person(find_address(report.get("original-mail-from")), redact),
        recipient=_person(find_address(report.get("original-rcpt-to") or original.get("to")), redact),
        subject="" if redact else plain(original.get("subject"), 255),
        header_from=_person(author, redact),
        dkim_domain=read_domain(report.get("dkim-domain")),
        dkim_selector=plain(report.get("dkim-selector"), 255),
        message_id=_person(message_id, redact),
        redacted=redact,
    )


def _walk(part: Part, depth: int = 0) -> list[Part]:
    found = [part]
    if depth < 10:
        for child in part.children:
            found += _walk(child, depth + 1)
    return found


def _person(address: str, redact: bool) -> str:
    address = plain(address, 320)
    domain = address.rpartition("@")[2]
    return f"{HIDDEN}@{domain}" if redact and address else address


def _ip(text: str) -> str:
    try:
        return read_ip(text)
    except ValueError:
        return ""


def _instant(text: str, now: float) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return now
