"""Complaints as ARF mail (RFC 5965) and late bounces as delivery reports (RFC 3464), in each provider's form.

Pure text building: header block of the sent message in, a whole mail out.  What the forms withhold is the point:
- jmrp (Outlook): recipient, return path and every X- header are removed; only Message-ID and List-Unsubscribe prove it;
- cfl (Yahoo): the recipient is redacted (RFC 6590), the headers come complete;
- mailru: the recipient is named, and only the headers of the original are returned.
All lines end with CRLF.  Never raises for odd input: bytes that are not text are passed through as they came.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from email.utils import format_datetime

from core.clock import utc
from sandbox.behaviour import Behaviour

MAX_HEADERS = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message that a provider took: what its reports are made of.  `content` may be cut after the headers."""

    mail_from: str
    recipient: str
    ip: str
    content: bytes
    at: float


def date_of(at: float) -> str:
    """RFC 5322 date of an instant."""
    return format_datetime(utc(at))


def header_fields(content: bytes) -> list[tuple[str, bytes]]:
    """The header block as (lower-case name, whole field with its CRLF), folded lines kept."""
    fields: list[tuple[str, bytes]] = []
    for line in content[:MAX_HEADERS].replace(b"\r\n", b"\n").split(b"\n"):
        if not line:
            break
        if line[:1] in b" \t" and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + line + b"\r\n")
        elif b":" in line:
            name = line.partition(b":")[0].strip().lower().decode("ascii", "replace")
            fields.append((name, line + b"\r\n"))
    return fields


def field_value(content: bytes, name: str) -> str:
    """The unfolded value of the first field of that name, '' without one."""
    for found, field in header_fields(content):
        if found == name.lower():
            return " ".join(field.partition(b":")[2].decode("utf-8", "replace").split())
    return ""


def complaint_mail(behaviour: Behaviour, sent: Sent, to: str, at: float) -> bytes:
    """The report that a feedback loop sends to `to` at `at`.  ValueError when the provider has no such form."""
    reporter = behaviour.complaints.reporter
    match behaviour.complaints.form:
        case "jmrp":
            subject, human = (
                f"complaint about message from {sent.ip}",
                f"The attached mail from {sent.ip} was reported.",
            )
            report = ["User-Agent: Hotmail-JMRP/2.0", "Arrival-Date: " + date_of(sent.at), f"Source-IP: {sent.ip}"]
            hidden = {"to", "cc", "bcc", "return-path", "delivered-to"}
            fields = [f for n, f in header_fields(sent.content) if n not in hidden and not n.startswith("x-")]
            part_type, tail = "message/rfc822", b"\r\n(removed)\r\n"
        case "cfl":
            subject, human = "FW: " + field_value(sent.content, "subject"), "This is an email abuse report."
            token = hashlib.sha256(sent.recipient.encode()).hexdigest()[:16]
            report = [
                "User-Agent: Yahoo!-Mail-Feedback/2.0",
                f"Original-Mail-From: <{sent.mail_from}>",
                f"Original-Rcpt-To: <redacted-{token}@yahoo.com>",
                "Received-Date: " + date_of(sent.at),
                f"Reported-Domain: {_from_domain(sent.content)}",
                f"Source-IP: {sent.ip}",
            ]
            fields = [f for n, f in header_fields(sent.content) if n not in {"to", "cc"}]
            part_type, tail = "message/rfc822", b"\r\n"
        case "mailru":
            subject, human = f"Abuse report for {_from_domain(sent.content)}", "Пользователь пожаловался на это письмо."
            report = [
                "User-Agent: Mail.Ru FBL/1.0",
                f"Original-Mail-From: <{sent.mail_from}>",
                f"Original-Rcpt-To: <{sent.recipient}>",
                "Arrival-Date: " + date_of(sent.at),
                f"Source-IP: {sent.ip}",
            ]
            fields = [f for _, f in header_fields(sent.content)]
            part_type, tail = "text/rfc822-headers", b""
        case _:
            raise ValueError(f"{behaviour.name} sends no complaint reports")
    machine = "\r\n".join(["Feedback-Type: abuse", *report, "Version: 1"]) + "\r\n"
    parts = [
        ("text/plain; charset=utf-8", (human + "\r\n").encode()),
        ("message/feedback-report", machine.encode()),
        (part_type, b"".join(fields) + tail),
    ]
    return _report(reporter, to, subject, "feedback-report", parts, at, sent)


_PROSE = {
    "google": """\
Address not found

Your message wasn't delivered to {recipient} because the address couldn't be found.""",
    "microsoft": """\
Delivery has failed to these recipients or groups:

{recipient}
The email address you entered couldn't be found.""",
    "yahoo": """\
Sorry, we were unable to deliver your message to the following address.

<{recipient}>:""",
    "mailru": """\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error.

  {recipient}""",
    "postfix": """\
This is the mail system at host {host}.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

<{recipient}>:""",
}


def bounce_mail(behaviour: Behaviour, sent: Sent, lines: tuple[str, ...], at: float) -> bytes:
    """The delivery report for a recipient that was accepted and turned out unknown; `lines` is the refusal."""
    host = behaviour.mx[0]
    diagnostic = " ".join(" ".join(lines).split())
    status = next((word for word in diagnostic.replace("-", " ").split() if word.startswith("5.")), "5.1.1")
    prose = _PROSE[behaviour.bounces.style].format(recipient=sent.recipient, host=host)
    prose = prose.replace("\n", "\r\n")
    machine = "\r\n".join(
        [
            f"Reporting-MTA: dns; {host}",
            "Arrival-Date: " + date_of(sent.at),
            "",
            f"Final-Recipient: rfc822; {sent.recipient}",
            "Action: failed",
            f"Status: {status}",
            f"Diagnostic-Code: smtp; {diagnostic}",
            "",
        ]
    )
    parts = [
        ("text/plain; charset=utf-8", f"{prose}\r\n\r\n{diagnostic}\r\n".encode()),
        ("message/delivery-status", machine.encode()),
        ("text/rfc822-headers", b"".join(f for _, f in header_fields(sent.content))),
    ]
    subject = {
        "google": "Delivery Status Notification (Failure)",
        "microsoft": "Undeliverable: " + field_value(sent.content, "subject"),
        "yahoo": "Failure Notice",
        "mailru": "Mail failure.",
        "postfix": "Undelivered Mail Returned to Sender",
    }[behaviour.bounces.style]
    return _report(behaviour.bounces.reporter, sent.mail_from, subject, "delivery-status", parts, at, sent)


def _from_domain(content: bytes) -> str:
    return field_value(content, "from").rpartition("@")[2].strip("<> ") or "unknown"


def _report(
    sender: str, to: str, subject: str, kind: str, parts: list[tuple[str, bytes]], at: float, sent: Sent
) -> bytes:
    mark = hashlib.sha256(f"{kind} {sent.recipient} {at}".encode() + sent.content[:MAX_HEADERS]).hexdigest()[:24]
    boundary = f"=_{mark}"
    head = [
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {_encoded(subject)}",
        f"Date: {date_of(at)}",
        f"Message-ID: <{mark}@{sender.rpartition('@')[2]}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={kind}; boundary="{boundary}"',
        "",
        "",
    ]
    body = b"".join(
        f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n".encode()
        + content
        + b"\r\n"
        for content_type, content in parts
    )
    return "\r\n".join(head).encode() + body + f"--{boundary}--\r\n".encode()


def _encoded(subject: str) -> str:
    """A subject fit for a header: one line, as it stood when it was encoded already."""
    return " ".join("".join(c if c.isprintable() else " " for c in subject).split())[:400]
