"""What a report is wrapped in besides MIME: base64 that no header declares, uuencode in the text, TNEF of Outlook.

Contract: `unwrapped(data, name)` yields (name, content) of everything that such a wrapping holds, or the data itself.
Linear in the data and never larger than it: none of these forms compresses.  Raises Refused for a wrapping that nobody
but the owner of a key, or of another program, can open.  RFC 4648, POSIX uuencode, MS-OXTNEF.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Iterator

from collectors.dmarc.defects import Defect, Refused

# how gzip, zip, bzip2, zlib, XML and mails (From:, Received:, Return-Path:, Date:, DKIM-Signature:) begin in base64
_BASE64 = re.compile(
    rb"\s*(?:H4sI|UEsD|QlpoO|eNr|eJz|PD94bWwg|PGZlZWRiYWNr|77u/PD94|"
    rb"RnJvbTog|UmVjZWl2ZWQ6|UmV0dXJuLVBhdGg6|RGF0ZTog|REtJTS1TaWduYXR1cmU6)[A-Za-z0-9+/=\s]*\Z"
)
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]{1,200})\r?\n", re.MULTILINE)
_TNEF = b"\x78\x9f\x3e\x22"
_TNEF_PART = struct.Struct("<BII")
_TITLE, _DATA = 0x00018010, 0x0006800F
_SEALED = (
    (b"-----BEGIN PGP MESSAGE-----", Defect.ENCRYPTED, "is encrypted by PGP: ask the reporter for plain reports"),
    (b"-----BEGIN PKCS7-----", Defect.UNSUPPORTED, "is wrapped in S/MIME: ask the reporter for plain reports"),
)
_ROUNDS = 3


def unwrapped(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """See the module."""
    for _ in range(_ROUNDS):
        if not _BASE64.match(data):
            break
        data = binascii.a2b_base64(re.sub(rb"[\s=]", b"", data) + b"===")
    if data.startswith(_TNEF):
        yield from _tnef(data)
        return
    head = data[:4096].lstrip()
    for mark, defect, problem in _SEALED:
        if head.startswith(mark):
            raise Refused(defect, problem)
    begin = _UU_BEGIN.search(data)
    while begin is not None:
        content, at = _uudecoded(data, begin.end())
        if content:
            yield begin[1].decode("utf-8", "replace"), content
        begin = _UU_BEGIN.search(data, at)
    yield name, data


def _uudecoded(data: bytes, at: int) -> tuple[bytes, int]:
    parts = []
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line, at = data[at:end].rstrip(b"\r"), end + 1
        if line in (b"end", b"`", b" ", b""):
            break
        try:
            parts.append(binascii.a2b_uu(line[:100]))
        except binascii.Error:
            break  # what came before the damage is delivered
    return b"".join(parts), at


def _tnef(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The attachments of a winmail.dat, in order."""
    name, at = "winmail.dat", 6
    while at + _TNEF_PART.size <= len(data):
        _, kind, size = _TNEF_PART.unpack_from(data, at)
        at += _TNEF_PART.size
        content = data[at : at + size]
        at += size + 2  # a checksum
        if kind == _TITLE:
            name = content.rstrip(b"\0").decode("utf-8", "replace")[:200]
        elif kind == _DATA:
            yield name, content
