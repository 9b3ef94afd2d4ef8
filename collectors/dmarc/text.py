"""From bytes in whatever encoding to clean UTF-8 that an XML parser can take.

Mends what reporters get wrong and a strict parser would refuse: byte-order marks and white space before the
declaration, UTF-16, a declared encoding that is not the one used (bytes that are no UTF-8 are read as
windows-1252), control characters, ampersands that are not escaped.  Each mend is noted.  An entity reference
becomes its own text: nothing is ever expanded.  Each piece given holds whole characters.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from collectors.dmarc.defects import Defect, Meter, Refused

_DECLARED = re.compile(rb"^<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_READABLE = re.compile(r"(iso8859|latin|cp125|koi8|gb|big5|shift_jis|euc|mac|tis|cp866)[a-z0-9_-]*")
_BARE = re.compile(rb"&(?!(?:#[0-9]{1,7}|#x[0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos);)")
_HIGH = re.compile(rb"[\x80-\xff]+")
_CONTROLS = bytes(c for c in range(32) if c not in (9, 10, 13))
_LOOK = 8192
_SPACE = b" \t\r\n\0"


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    run = _HIGH.match(error.object, error.start)  # to the next ASCII character at once: a call costs
    end = run.end() if run else error.end
    return error.object[error.start : end].decode("cp1252", "replace"), end


codecs.register_error("penstock.cp1252", _as_windows_1252)


def clean(chunks: Iterator[bytes], meter: Meter) -> Iterator[bytes]:
    """The same text as well-formed UTF-8, beginning with '<'.  Raises Refused when it is no XML at all."""
    head = b""
    for chunk in chunks:
        head += chunk
        meter.passed(len(chunk))
        if not head.strip(_SPACE):
            head = b""  # leading white space has no end of its own
        if len(head) >= _LOOK:
            break
    encoding, head = _encoding(head, meter)
    decoder = codecs.getincrementaldecoder(encoding)("penstock.cp1252" if encoding == "utf-8" else "replace")
    compatible = not encoding.startswith("utf-16")
    first = _begin(decoder.decode(head))
    if encoding == "utf-8" and not _is_utf8(head):
        meter.note("bytes that are no UTF-8 were read as windows-1252")
    held = b""
    for data in _pieces(first, chunks, decoder, compatible, meter):
        piece = data.translate(None, _CONTROLS)
        if len(piece) != len(data):
            meter.note("control characters were left out")
        if held:
            piece = held + piece
            held = b""
        if b"&" in piece:
            cut = piece.rfind(b"&", max(0, len(piece) - 10))
            if cut >= 0:  # the reference may go on in the next piece
                piece, held = piece[:cut], piece[cut:]
            piece = _escape(piece, meter)
        if piece:
            yield piece
    if held:
        yield _escape(held, meter)


def _escape(piece: bytes, meter: Meter) -> bytes:
    mended, count = _BARE.subn(b"&amp;", piece)
    if count:
        meter.note("ampersands that are not escaped, or unknown entities, were read as text")
    return mended


def _pieces(
    first: str, chunks: Iterator[bytes], decoder: codecs.IncrementalDecoder, compatible: bool, meter: Meter
) -> Iterator[bytes]:
    yield first.encode("utf-8", "replace")
    for chunk in chunks:
        meter.passed(len(chunk))
        if compatible and chunk.isascii() and not decoder.getstate()[0]:
            yield chunk
        else:
            yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", True).encode("utf-8", "replace")


def _is_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _encoding(head: bytes, meter: Meter) -> tuple[str, bytes]:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return name, head[len(mark) :]
    bare = head.lstrip(b" \t\r\n")
    if head[1:8:2] == b"\0\0\0\0":
        return "utf-16-le", head
    if head[0:8:2] == b"\0\0\0\0":
        return "utf-16-be", head
    declared = _DECLARED.match(bare)
    if declared is None:
        return "utf-8", head
    try:
        name = codecs.lookup(declared[1].decode("ascii")).name
    except LookupError:
        meter.note(f"unknown encoding {declared[1].decode('ascii')!r}: read as UTF-8")
        return "utf-8", head
    # anything else that is declared (UTF-8, ASCII, UTF-16 over single bytes) is read as UTF-8
    return (name if _READABLE.fullmatch(name) else "utf-8"), head


def _begin(text: str) -> str:
    text = text.lstrip("\ufeff \t\r\n\0")
    if not text:
        raise Refused(Defect.EMPTY, "there is nothing in it")
    if text[0] in "{[":
        raise Refused(Defect.TLS_REPORT, "is JSON, as TLS reports (RFC 8460) are, and no DMARC aggregate report")
    if text[0] == "<":
        return text
    at = text.find("<?xml")
    at = at if at >= 0 else text.find("<feedback")
    if at < 0:
        raise Refused(Defect.NOT_A_REPORT, f"holds no XML; it begins with {text[:30]!r}")
    return text[at:]
