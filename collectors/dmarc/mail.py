"""A mail that should carry a DMARC report: find what is attached and parse it.

Contract: `parse_report_mail(content)` looks at every part, whatever its media type or name says, and takes for a report
what begins like XML, gzip, zip, zlib or bzip2.  A mail without any gives one Refusal that says what it is instead.
Bounded in bytes and parts; decoding (base64 without padding, quoted-printable, 8-bit) is left to the standard library.
RFC 7489 section 7.2.1.1, RFC 9990 section 3.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from itertools import islice

from collectors.dmarc.defects import Defect, Limits, Refusal, Refused
from collectors.dmarc.parse import DEFAULT, Result, parse_aggregate

_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!")
_BOUNDARY = re.compile(rb"boundary\s*=", re.IGNORECASE)
_HEADER = re.compile(rb"^[A-Za-z0-9_-]{1,76}:", re.MULTILINE)
_NAMED = re.compile(r"\.(xml|gz|gzip|zip|bz2)$", re.IGNORECASE)
_TYPED = frozenset({"application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed"})
_SUBJECT = re.compile(r"report[ -]domain:|report-id:|submitter:", re.IGNORECASE)


def parse_report_mail(content: bytes, limits: Limits = DEFAULT) -> list[Result]:
    """Every report in the mail; at least one Refusal when there is none."""
    try:
        message = _read(content, limits)
        parts = list(_parts(message, limits))
    except Refused as error:
        return [error.of("")]
    results: list[Result] = []
    for name, data in parts:
        results += parse_aggregate(data, name, limits)
    if not results:
        results.append(_nothing(message))
    return results


def _read(content: bytes, limits: Limits) -> Message:
    if len(content) > limits.mail_bytes:
        raise Refused(Defect.TOO_LARGE, f"the mail has more than {limits.mail_bytes} bytes")
    # counted before the standard library looks at it, which has no bounds of its own
    for pattern, most, what in (
        (_BOUNDARY, limits.multiparts, "multiparts"),
        (_HEADER, limits.header_lines, "header lines"),
    ):
        if sum(1 for _ in islice(pattern.finditer(content), most + 1)) > most:
            raise Refused(Defect.TOO_MANY, f"the mail has more than {most} {what}")
    try:
        message: Message = BytesParser(policy=compat32).parsebytes(content)
    except (MessageError, RecursionError, ValueError, LookupError) as error:
        raise Refused(Defect.NOT_A_REPORT, f"the mail cannot be read: {type(error).__name__}") from error
    return message


def _parts(message: Message, limits: Limits) -> Iterator[tuple[str, bytes]]:
    for number, part in enumerate(message.walk()):
        if number > limits.parts:
            raise Refused(Defect.TOO_MANY, f"the mail has more than {limits.parts} parts")
        if part.is_multipart():
            continue
        data = _decoded(part)
        name = _name(part)
        if data and _is_candidate(part, name, data):
            yield name, data


def _decoded(part: Message) -> bytes:
    try:
        data = part.get_payload(decode=True)
    except (LookupError, ValueError, AssertionError):  # unknown charset or damaged uuencode
        return b""
    return data if isinstance(data, bytes) else b""


def _name(part: Message) -> str:
    try:
        return str(part.get_filename("") or "")[:400]
    except (LookupError, ValueError, TypeError):
        return ""


def _is_candidate(part: Message, name: str, data: bytes) -> bool:
    if data.startswith(_PACKED) or _NAMED.search(name) or part.get_content_type() in _TYPED:
        return True
    head = data[:8192].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").replace(b"\0", b"")
    if head.startswith(b"<?xml"):
        return True
    return head.startswith(b"<") and (b"<feedback" in head or b":feedback" in head)


def _nothing(message: Message) -> Refusal:
    kinds = {part.get_content_type() for part in message.walk()}
    subject = str(message.get("Subject", ""))[:200]
    if "message/feedback-report" in kinds:
        return Refusal(name="", defect=Defect.FAILURE_REPORT, problem="is a failure or complaint report of one message")
    if kinds & {"application/tlsrpt+gzip", "application/tlsrpt+json"} or "multipart/report; tlsrpt" in kinds:
        return Refusal(name="", defect=Defect.TLS_REPORT, problem="is a TLS report (RFC 8460)")
    if str(message.get("Auto-Submitted", "no")).lower().startswith("auto-replied"):
        return Refusal(name="", defect=Defect.NOT_A_REPORT, problem="is an automatic reply and carries no report")
    looks = "calls itself a report but " if _SUBJECT.search(subject) else ""
    return Refusal(name="", defect=Defect.NOT_A_REPORT, problem=looks + "carries no report: no part is XML or packed")
