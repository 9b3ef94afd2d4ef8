"""What a returned mail is and says: the one reader behind `penstock parse` and the service's own intake.

Contract: `parse_mail(content)` is pure, total and bounded: every byte string gives a ParsedMail; what breaks a bound is
`refused` with the bound's name.  It believes nothing: whether the mail is about a message of ours is decided by tokens,
in collectors.returnmail.  Aggregate reports (DMARC, TLS) are only recognised here; their own collectors read them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from collectors.arf import Complaint, read_complaint
from collectors.autoreply import automatic, wants_out
from collectors.bounces import Action, Finding, read_bounce
from collectors.bounces.diagnostic import find_address, read_reply
from collectors.bounces.formats.generic import looks_like_failure
from collectors.bounces.notice import Notice
from collectors.mime import Headers, Refused, read_mail
from config.replies import shipped_classifier
from core.classify import BounceClass, Classifier, Diagnosis
from core.reply import Reply, Stage
from core.tokens import TOKEN_LENGTH, Purpose

_TOKEN_LETTERS = b"abcdefghijklmnopqrstuvwxyz234567"
_TOKEN_TABLE = bytes(c if c in _TOKEN_LETTERS else 32 for c in bytes(range(256)).lower())
_PURPOSES = tuple(str(purpose).encode() for purpose in Purpose)
_MAX_TOKENS = 8
_TOKEN_WINDOW = 400_000  # bytes of the mail in which tokens are looked for
_DMARC_SUBJECT = re.compile(r"report[ -]domain:|\breport-id:|\bsubmitter:", re.IGNORECASE)
_DMARC_NAME = re.compile(
    r'name\*?0?\*?=\s*"?[^"\n!]{1,255}![^"\n!]{1,255}!\d{9,14}!\d{9,14}[^"\n]{0,100}\.(?:xml|gz|zip)', re.I
)
_UNEXPLAINED = frozenset({"status", "code", ""})
# statuses that name no cause of their own: the words beside them may
_UNSPECIFIC = re.compile(r"|[245]\.(?:\d+\.0|4\.\d+|7\.1|5\.\d+|1\.8)")
_SPARING = frozenset({BounceClass.MAILBOX_FULL, BounceClass.MAILBOX_INACTIVE})
_NOT_A_FAILURE = frozenset({Action.DELIVERED, Action.RELAYED, Action.EXPANDED})


class Kind(StrEnum):
    """What the mail is."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto_reply"
    UNSUBSCRIBE = "unsubscribe"
    DMARC = "dmarc"
    TLSRPT = "tlsrpt"
    FAILURE_REPORT = "failure_report"
    NOT_RECOGNISED = "not_recognised"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRecipient:
    """One recipient and what became of the mail to it.  `address` '' when the report withholds it."""

    address: str
    action: str
    reply: Reply
    diagnosis: Diagnosis

    def to_json(self) -> dict[str, Any]:
        """The object of `penstock parse`."""
        return {
            "address": self.address, "action": self.action, "status": self.reply.status,
            "reply_code": self.reply.code, "class": str(self.diagnosis.bounce_class),
            "group": str(self.diagnosis.group), "suppress": self.diagnosis.suppresses, "diagnostic": self.reply.text,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What came back of the mail that this answers.  `tokens` are unchecked candidates, best first."""

    message_id: str = ""
    subject: str = ""
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMail:
    """See the module."""

    kind: Kind
    reason: str = ""
    recipients: tuple[ParsedRecipient, ...] = ()
    feedback_type: str = ""
    original: Original = field(default_factory=Original)
    complaint: Complaint | None = None
    sender: str = ""
    answered: tuple[str, ...] = ()  # unchecked tokens of In-Reply-To and References: what a person answers to

    def to_json(self, file: str = "") -> dict[str, Any]:
        """One line of `penstock parse`."""
        out: dict[str, Any] = {"file": file, "kind": str(self.kind)}
        if self.kind is Kind.REFUSED:
            out["reason"] = self.reason
        out["recipients"] = [recipient.to_json() for recipient in self.recipients]
        out["feedback_type"] = self.feedback_type
        token = self.original.tokens[0] if self.original.tokens else ""
        out["original"] = {"message_id": self.original.message_id, "token": token, "subject": self.original.subject}
        return out


def parse_mail(content: bytes, classifier: Classifier | None = None) -> ParsedMail:
    """See the module."""
    try:
        notice = Notice(read_mail(content))
        return _read(notice, content, classifier or shipped_classifier())
    except Refused as refusal:
        return ParsedMail(kind=Kind.REFUSED, reason=f"{refusal.reason}: {refusal}")


def _read(notice: Notice, content: bytes, classifier: Classifier) -> ParsedMail:
    sender = find_address(notice.sender)
    original = _original(notice, content)
    report = _aggregate(notice)
    if report is not None:
        return ParsedMail(kind=report, sender=sender)
    complaint = read_complaint(notice)
    if complaint is not None:
        kind = Kind.FAILURE_REPORT if complaint.feedback_type in ("auth-failure", "dkim") else Kind.COMPLAINT
        return ParsedMail(
            kind=kind, feedback_type=complaint.feedback_type, complaint=complaint, original=original, sender=sender,
            recipients=tuple(map(_complained, complaint.recipients)) if kind is Kind.COMPLAINT else (),
        )  # fmt: skip
    if not notice.statuses and wants_out(notice):
        return ParsedMail(kind=Kind.UNSUBSCRIBE, original=original, sender=sender)
    machine = automatic(notice) if not notice.statuses else None
    if machine is not None and not looks_like_failure(notice):
        return _automatic(machine, sender, original)
    inside = _report_inside(notice)
    findings = read_bounce(inside or notice)
    if findings:
        original = _original(inside, content) if inside else original
        recipients = tuple(judge(finding, classifier) for finding in findings)
        return ParsedMail(kind=Kind.BOUNCE, recipients=recipients, original=original, sender=sender)
    if machine is not None:
        return _automatic(machine, sender, original)
    return ParsedMail(kind=Kind.NOT_RECOGNISED, reason="no known form", original=original, sender=sender,
                      answered=_answered(notice))  # fmt: skip


def _report_inside(notice: Notice) -> Notice | None:
    """The report that a gateway or a forwarder wrapped as an attachment."""
    if notice.statuses:
        return None
    for part in notice.parts:
        if part.kind == "x-original/headers" and "report" in part.headers.get("content-type"):
            try:
                inside = Notice(read_mail(part.with_header()))
            except Refused:
                return None
            return inside if inside.statuses else None
    return None


def judge(finding: Finding, classifier: Classifier, provider: str = "") -> ParsedRecipient:
    """The class of one finding.  A delay or a delivery is what it says; a reply that explains nothing is read together
    with the report's human text."""
    if finding.action is Action.DELAYED:
        diagnosis = Diagnosis(bounce_class=BounceClass.DELAYED, rule="action")
    elif finding.action in _NOT_A_FAILURE:
        diagnosis = Diagnosis(bounce_class=BounceClass.DELIVERED, rule="action")
    else:
        diagnosis = classifier.classify(finding.reply, provider)
        if diagnosis.rule in _UNEXPLAINED and finding.prose and _UNSPECIFIC.fullmatch(finding.reply.status):
            reply = read_reply(finding.prose, status=finding.reply.status, code=finding.reply.code)
            explained = classifier.classify(reply, provider)
            if explained.rule not in _UNEXPLAINED:
                diagnosis = explained
        elif diagnosis.suppresses and finding.prose:
            # a report that says two things proves neither: the one that spares the address is believed
            told = classifier.classify(Reply(code=0, text=finding.prose[:1000], stage=Stage.REPORT), provider)
            diagnosis = told if told.bounce_class in _SPARING else diagnosis
    return ParsedRecipient(
        address=finding.address, action=str(finding.action), reply=finding.reply, diagnosis=diagnosis
    )


def _complained(address: str) -> ParsedRecipient:
    return ParsedRecipient(
        address=address, action="", reply=Reply(code=0, text=""),
        diagnosis=Diagnosis(bounce_class=BounceClass.COMPLAINT, rule="report"),
    )  # fmt: skip


def _automatic(machine: BounceClass, sender: str, original: Original) -> ParsedMail:
    recipient = ParsedRecipient(
        address=sender,
        action="",
        reply=Reply(code=0, text=""),
        diagnosis=Diagnosis(bounce_class=machine, rule="report"),
    )
    return ParsedMail(kind=Kind.AUTO_REPLY, recipients=(recipient,) if sender else (), original=original, sender=sender)


def _aggregate(notice: Notice) -> Kind | None:
    """Reports that other collectors read: RFC 8460 and RFC 9990 (7489)."""
    if notice.mail.parameter("report-type").lower() == "tlsrpt" or "tls-report-domain" in notice.headers:
        return Kind.TLSRPT
    for part in notice.parts:
        if part.kind.startswith("application/tlsrpt"):
            return Kind.TLSRPT
        if part.kind == "x-original/headers" or part.children:
            continue
        names = f"{part.headers.get('content-type')};{part.headers.get('content-disposition')}"
        if _DMARC_NAME.search(names):
            return Kind.DMARC
        if part.kind in _PACKED and _DMARC_SUBJECT.search(notice.subject):
            return Kind.DMARC
        if part.kind.endswith("/xml") and b"<feedback" in part.data()[:4096]:
            return Kind.DMARC
    return None


_PACKED = frozenset(
    {
        "application/gzip",
        "application/x-gzip",
        "application/zip",
        "application/x-zip-compressed",
        "application/octet-stream",
        "text/xml",
        "application/xml",
    }
)


def _original(notice: Notice, content: bytes) -> Original:
    headers: Headers = notice.original
    told = [
        *[_field(text, "original-envelope-id") for text in notice.statuses],
        headers.get("message-id"), headers.get("x-penstock-token"), headers.get("list-unsubscribe"),
    ]  # fmt: skip
    found = [token for text in told for token in _tokens(text.encode("latin-1", "replace"))]
    found += _tokens(content[:_TOKEN_WINDOW])
    return Original(
        message_id=headers.get("message-id")[:300].strip("<> "),
        subject=headers.get("subject")[:300],
        tokens=tuple(dict.fromkeys(found))[:_MAX_TOKENS],
    )


def _answered(notice: Notice) -> tuple[str, ...]:
    told = [notice.headers.get("in-reply-to")[:1000], notice.headers.get("references")[-4000:]]
    found = [token for text in told for token in _tokens(text.encode("latin-1", "replace"))]
    return tuple(dict.fromkeys(found))[:_MAX_TOKENS]


def _tokens(text: bytes) -> list[str]:
    """Whatever has a token's letters and length.  Splitting is ten times as fast as a search by pattern."""
    words = text.translate(_TOKEN_TABLE).split()
    return [word.decode("ascii") for word in words if len(word) == TOKEN_LENGTH and word[:1] in _PURPOSES][:_MAX_TOKENS]


def _field(text: str, name: str) -> str:
    match = re.search(rf"^{name}[ \t]*:[ \t]*(.{{0,300}})$", text, re.IGNORECASE | re.MULTILINE)
    return match[1] if match else ""
