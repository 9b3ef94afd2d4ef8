"""A mail that should carry a DMARC report: find what is attached and parse it.

Contract: `parse_report_mail(content)` looks at every part, whatever its media type or name says, and takes for a report
what begins like XML, gzip, zip, zlib or bzip2, also inside what `wrapped` opens, in a mail that is attached, and behind
a text.  A mail without any gives one Refusal that says what it is instead.  `parse_report_file` reads a file, and each
file of an archive, as a mail where it looks like one.  Bounded in bytes, parts and depth; decoding (base64 without
padding, quoted-printable, 8-bit) is left to the standard library.
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

from collectors.dmarc.defects import Defect, Limits, Meter, Refusal, Refused
from collectors.dmarc.parse import DEFAULT, Result, read_stream
from collectors.dmarc.unpack import Chunks, Stream, unpack
from collectors.dmarc.wrapped import unwrapped

_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!")
_BOUNDARY = re.compile(rb"boundary\s*=", re.IGNORECASE)
_HEADER = re.compile(rb"^[A-Za-z0-9_-]{1,76}:", re.MULTILINE)
_NAMED = re.compile(r"\.(xml|gz|gzip|zip|bz2)$", re.IGNORECASE)
_TYPED = frozenset({"application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed"})
_SUBJECT = re.compile(r"report[ -]domain:|report-id:|submitter:", re.IGNORECASE)


_FIELD = re.compile(rb"[!-9;-~]{1,76}[ \t]*:[^\r\n]*\r?\n(?:[!-9;-~]{1,76}[ \t]*:|[ \t]+\S)")
_SEPARATOR = re.compile(rb"From \S+ .{0,20}\d\d:\d\d.{0,20}\d{4}\s*$")  # RFC 4155
_BOUNDARY_LINE = re.compile(r"^--([^\s-][^\r\n]{0,69}?)\s*$", re.MULTILINE)
_MAILS_DEEP = 3


def looks_like_mail(content: bytes) -> bool:
    """True when it begins with two header fields, or with an mbox separator."""
    head = content[:2000].lstrip(b"\r\n")
    return bool(_FIELD.match(head) or _SEPARATOR.match(head.partition(b"\n")[0]))


def parse_report_file(payload: bytes, filename: str = "", limits: Limits = DEFAULT) -> list[Result]:
    """Every report in one file, packed or not; mails in an archive are read as mails."""
    return _file(payload, filename, limits, 0)


def _file(payload: bytes, filename: str, limits: Limits, depth: int) -> list[Result]:
    meter = Meter(limits)
    results: list[Result] = []
    for stream in unpack(payload, filename, meter):
        if isinstance(stream, Refusal):
            results.append(stream)
            continue
        try:
            whole = _held(stream.open(), limits) if depth < _MAILS_DEEP and _is_mail(stream) else None
        except Refused as error:
            results.append(error.of(stream.name))
            continue
        results += read_stream(stream, meter) if whole is None else _mail(whole, limits, depth + 1)
    return results


def _is_mail(stream: Stream) -> bool:
    head = b""
    for chunk in stream.open():
        head += chunk
        if len(head) >= 2000:
            break
    return looks_like_mail(head)


def _held(chunks: Chunks, limits: Limits) -> bytes:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) > limits.mail_bytes:
            raise Refused(Defect.TOO_LARGE, f"the mail has more than {limits.mail_bytes} bytes")
    return bytes(held)


def parse_report_mail(content: bytes, limits: Limits = DEFAULT) -> list[Result]:
    """Every report in the mail; at least one Refusal when there is none."""
    return _mail(content, limits, 0)


def _mail(content: bytes, limits: Limits, depth: int) -> list[Result]:
    results: list[Result] = []
    try:
        message = _read(content, limits)
        for name, data in _parts(message, limits):
            results += _part(name, data, limits, depth)
    except Refused as error:
        return [*results, error.of("")]
    if not results:
        results.append(_nothing(message))
    return results


def _part(name: str, data: bytes, limits: Limits, depth: int) -> list[Result]:
    if depth < _MAILS_DEEP and looks_like_mail(data):
        found = _mail(data, limits, depth + 1)
        return [one for one in found if not (isinstance(one, Refusal) and one.defect is Defect.NOT_A_REPORT)]
    return _file(data, name, limits, depth)


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
    for number, part in enumerate(_mended(message).walk()):
        if number > limits.parts:
            raise Refused(Defect.TOO_MANY, f"the mail has more than {limits.parts} parts")
        if part.is_multipart():
            continue
        given = _name(part)
        typed = part.get_content_type() in _TYPED
        for name, data in unwrapped(_decoded(part), given):
            if data and (typed or _is_candidate(name, data)):
                yield name, data


def _mended(message: Message) -> Message:
    """A multipart whose boundary is not said, or not the one used, is read by the first line that looks like one."""
    text = message.get_payload()
    if message.get_content_maintype() != "multipart" or not isinstance(text, str):
        return message
    line = _BOUNDARY_LINE.search(text)
    if line is None:
        return message
    body = text[line.start() :].encode("utf-8", "surrogateescape")
    head = f'Content-Type: multipart/mixed; boundary="{line[1].replace(chr(34), "")}"\n\n'.encode("utf-8", "replace")
    return BytesParser(policy=compat32).parsebytes(head + body)


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


def _is_candidate(name: str, data: bytes) -> bool:
    if data.startswith(_PACKED) or _NAMED.search(name) or looks_like_mail(data):
        return True
    head = data[:8192].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").replace(b"\0", b"")
    if head.startswith(b"<?xml"):
        return True
    if not head.startswith(b"<"):
        return b"<report_metadata" in head  # behind some words of a text
    return b"<feedback" in head or b":feedback" in head


def _nothing(message: Message) -> Refusal:
    kinds = {part.get_content_type() for part in message.walk()}
    subject = str(message.get("Subject", ""))[:200]
    if "message/feedback-report" in kinds:
        return Refusal(name="", defect=Defect.FAILURE_REPORT, problem="is a failure or complaint report of one message")
    if kinds & {"application/tlsrpt+gzip", "application/tlsrpt+json"} or "multipart/report; tlsrpt" in kinds:
        return Refusal(name="", defect=Defect.TLS_REPORT, problem="is a TLS report (RFC 8460)")
    if kinds & {"application/pgp-encrypted", "multipart/encrypted"}:
        return Refusal(name="", defect=Defect.ENCRYPTED, problem="is encrypted: ask the reporter for plain reports")
    if kinds & {"application/pkcs7-mime", "application/x-pkcs7-mime"}:
        sealed = "is wrapped in S/MIME (signed or encrypted as a whole): ask the reporter for plain reports"
        return Refusal(name="", defect=Defect.UNSUPPORTED, problem=sealed)
    if str(message.get("Auto-Submitted", "no")).lower().startswith("auto-replied"):
        return Refusal(name="", defect=Defect.NOT_A_REPORT, problem="is an automatic reply and carries no report")
    looks = "calls itself a report but " if _SUBJECT.search(subject) else ""
    return Refusal(name="", defect=Defect.NOT_A_REPORT, problem=looks + "carries no report: no part is XML or packed")
