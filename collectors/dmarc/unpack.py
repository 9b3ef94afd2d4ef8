"""From what was attached to streams of XML: gzip (doubled, several members), zip (folders, nested), zlib, bzip2.

Contract: the form is told by its first bytes, never by name or media type.  `unpack` returns one `Stream` for each
file inside, or a Refusal for each that cannot be opened.  A stream can be opened again and is read in pieces; no
file is ever held unpacked, except an archive inside another one.  Damage after the first readable byte is a
note, not a refusal: what came before it is delivered.  RFC 1950, 1951, 1952; PKWARE APPNOTE 6.3.
"""

from __future__ import annotations

import bz2
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from collectors.dmarc.defects import Defect, Meter, Refusal, Refused

Chunks = Iterator[bytes]
STEP = 1024  # packed bytes fed at once: what a damaged place may cost
PIECE = 65_536  # unpacked bytes given at once
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12
_FOREIGN = (
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-zip"),
    (b"Rar!", "rar"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


@dataclass(frozen=True, slots=True)
class Stream:
    """One unpacked file: `open` begins it anew."""

    name: str
    open: Callable[[], Chunks]


def unpack(payload: bytes, name: str, meter: Meter) -> list[Stream | Refusal]:
    """Every file inside, in order."""
    found: list[Stream | Refusal] = []

    def whole() -> Chunks:
        for at in range(0, len(payload), PIECE):
            yield payload[at : at + PIECE]

    _open(Stream(name, whole), meter, found, 0)
    return found


def _open(stream: Stream, meter: Meter, found: list[Stream | Refusal], layer: int) -> None:
    try:
        if layer > meter.limits.layers:
            raise Refused(Defect.TOO_DEEP, f"packed more than {meter.limits.layers} times")
        head = _head(stream)
        if not head:
            raise Refused(Defect.EMPTY, "there is nothing in it")
        for magic, form in _FOREIGN:
            if head.startswith(magic):
                raise Refused(Defect.UNSUPPORTED, f"is packed with {form}; reports come as gzip, zip or plain XML")
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            _open_zip(stream, meter, found, layer)
            return
        unpacked = _unpacker(head)
        if unpacked is None:
            found.append(stream)
        else:
            _open(Stream(stream.name, lambda: unpacked(stream.open(), meter)), meter, found, layer + 1)
    except Refused as error:
        found.append(error.of(stream.name))


def _head(stream: Stream) -> bytes:
    head = b""
    for chunk in stream.open():
        head += chunk
        if len(head) >= 64:
            break
    return head


def _unpacker(head: bytes) -> Callable[[Chunks, Meter], Chunks] | None:
    if head.startswith(b"\x1f\x8b"):
        return _gunzip
    if head.startswith(b"BZh"):
        return _bunzip
    if head[0] == 0x78 and len(head) > 2 and int.from_bytes(head[:2], "big") % 31 == 0:
        return lambda chunks, meter: _inflate(chunks, meter, zlib.MAX_WBITS, b"\x78")
    return None


def _gunzip(chunks: Chunks, meter: Meter) -> Chunks:
    return _inflate(chunks, meter, 16 + zlib.MAX_WBITS, b"\x1f\x8b")


def _inflate(chunks: Chunks, meter: Meter, wbits: int, again: bytes) -> Chunks:
    """Inflate, going on with a further member while the rest begins with `again`.

    The last 8 bytes (gzip's checksum and length) are fed for themselves: a wrong checksum then costs no data.
    """
    taken = given = 0
    machine = zlib.decompressobj(wbits)
    for piece in _steps(chunks):
        data = piece
        while data:
            if machine.eof:
                if not data.startswith(again):
                    if wbits > 0 and data.strip(b"\0"):
                        meter.note("there is something behind the packed data")
                    return
                machine = zlib.decompressobj(wbits)
            try:
                out = machine.decompress(data, PIECE)
            except zlib.error as error:
                if not given:
                    raise Refused(Defect.BROKEN_ARCHIVE, f"cannot be unpacked: {error}") from error
                meter.note(f"the packed data is damaged after {given} bytes: {error}")
                return
            rest = machine.unused_data if machine.eof else machine.unconsumed_tail
            taken += len(data) - len(rest)
            data = rest
            given += len(out)
            meter.expanded(taken, given)
            if out:
                yield out
    while not machine.eof and (out := machine.decompress(machine.unconsumed_tail, PIECE)):
        given += len(out)
        meter.expanded(taken, given)
        yield out
    if not machine.eof:
        if not given:
            raise Refused(Defect.TRUNCATED, "the packed data ends before anything can be read")
        meter.note(f"the packed data ends early, after {given} bytes")


def _steps(chunks: Chunks) -> Chunks:
    """The same bytes in small steps, the last eight for themselves."""
    held = b""
    for chunk in chunks:
        held += chunk
        while len(held) > STEP + 8:
            yield held[:STEP]
            held = held[STEP:]
    if len(held) > 8:
        yield held[:-8]
        held = held[-8:]
    if held:
        yield held


def _bunzip(chunks: Chunks, meter: Meter) -> Chunks:
    taken = given = 0
    machine = bz2.BZ2Decompressor()
    for piece in chunks:
        taken += len(piece)
        data = piece
        while data or not machine.needs_input:
            if machine.eof:  # a further stream may follow
                data = machine.unused_data + data
                if not data.startswith(b"BZh"[: len(data)]):
                    meter.note("there is something behind the packed data")
                    return
                machine = bz2.BZ2Decompressor()
            try:
                out = machine.decompress(data, PIECE)
            except (OSError, ValueError) as error:
                if not given:
                    raise Refused(Defect.BROKEN_ARCHIVE, f"cannot be unpacked: {error}") from error
                meter.note(f"the packed data is damaged after {given} bytes")
                return
            data = b""
            given += len(out)
            meter.expanded(taken, given)
            if out:
                yield out
            if machine.eof and not machine.unused_data:
                break
    if not machine.eof:
        if not given:
            raise Refused(Defect.TRUNCATED, "the packed data ends before anything can be read")
        meter.note(f"the packed data ends early, after {given} bytes")


# --- zip -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    flags: int
    method: int
    at: int  # where its local header begins
    size: int  # packed bytes; 0 when only the end of the stream tells


def _open_zip(stream: Stream, meter: Meter, found: list[Stream | Refusal], layer: int) -> None:
    held = bytearray()
    for chunk in stream.open():
        held += chunk
        if len(held) > meter.limits.archive_bytes:
            raise Refused(Defect.TOO_LARGE, f"the archive has more than {meter.limits.archive_bytes} bytes")
    data = bytes(held)
    # counted before zipfile looks at it: it would make an object of every entry first
    if data.count(b"PK\x01\x02") > 4 * meter.limits.members:
        raise Refused(Defect.TOO_MANY, f"the archive lists more than {4 * meter.limits.members} entries")
    members = _directory(data, meter)
    files = [m for m in members if not _is_clutter(m.name)]
    if not files:
        raise Refused(Defect.EMPTY, "there is no file in the archive")
    if len(files) > meter.limits.members:
        raise Refused(Defect.TOO_MANY, f"{len(files)} files in the archive, more than {meter.limits.members}")
    for member in files:
        if member.flags & 1:
            found.append(Refusal(name=member.name, defect=Defect.ENCRYPTED, problem="is encrypted"))
        elif member.method not in (_STORED, _DEFLATED, _BZIP2):
            problem = f"is packed by zip's method {member.method}; stored, deflated and bzip2 are read"
            found.append(Refusal(name=member.name, defect=Defect.UNSUPPORTED, problem=problem))
        else:
            _open(Stream(member.name, lambda m=member: _unzip(data, m, meter)), meter, found, layer + 1)  # type: ignore[misc]


def _is_clutter(name: str) -> bool:
    base = name.rsplit("/", 1)[-1]
    return not base or name.startswith("__MACOSX/") or base.startswith("._") or base in (".DS_Store", "Thumbs.db")


def _directory(data: bytes, meter: Meter) -> list[_Member]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [
                _Member(i.filename[:200], i.flag_bits, i.compress_type, i.header_offset, i.compress_size)
                for i in archive.infolist()
            ]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error, UnicodeDecodeError) as error:
        members = list(_local_headers(data, meter.limits.members + 1))
        if not members:
            raise Refused(Defect.BROKEN_ARCHIVE, f"is no readable zip archive: {error}") from error
        meter.note("the archive's directory is missing or damaged; its files were found without it")
        return members


def _local_headers(data: bytes, limit: int) -> Iterator[_Member]:
    at = data.find(b"PK\x03\x04")
    while at >= 0 and limit and len(data) - at >= _LOCAL.size:
        _, _, flags, method, _, _, _, packed, _, name_size, _ = _LOCAL.unpack_from(data, at)
        name = data[at + _LOCAL.size : at + _LOCAL.size + min(name_size, 200)].decode("utf-8", "replace")
        yield _Member(name, flags, method, at, packed)
        limit -= 1
        at = data.find(b"PK\x03\x04", at + _LOCAL.size + packed)


def _unzip(data: bytes, member: _Member, meter: Meter) -> Chunks:
    if data[member.at : member.at + 4] != b"PK\x03\x04" or len(data) - member.at < _LOCAL.size:
        raise Refused(Defect.BROKEN_ARCHIVE, "the archive's directory points beside the file")
    header = _LOCAL.unpack_from(data, member.at)
    begin = member.at + _LOCAL.size + header[9] + header[10]
    end = min(begin + member.size, len(data)) if member.size else len(data)
    if member.size and begin + member.size > len(data):
        meter.note("the archive ends early")

    def packed() -> Chunks:
        for at in range(begin, end, PIECE):
            yield data[at : min(at + PIECE, end)]

    if member.method == _STORED:
        return packed()
    if member.method == _BZIP2:
        return _bunzip(packed(), meter)
    return _inflate(packed(), meter, -zlib.MAX_WBITS, b"\0never")
