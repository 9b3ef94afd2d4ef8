"""Tracking in messages that came whole: finds their html and text parts, and writes them anew for each recipient.

Contract: a message is cut once (`cut`); for each recipient `Cut.body` joins bytes.  A part that is written anew keeps
its charset and becomes quoted-printable, each link on lines of its own; every other byte of the message stays.  Left
alone as they are: signed and encrypted messages (RFC 1847: a changed part would break the signature), attached
messages and files, parts in a charset that is unknown or not based on ASCII, and what breaks a bound.  Signing with
DKIM comes after this.  Never raises for a message that `sender.headers.prepare` took.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message

from sender.headers import Prepared
from sender.tracking.links import Piece, Wish, Writer, html_pieces, text_pieces

MAX_DEPTH = 8
MAX_PARTS = 100
MAX_PART = 2_000_000  # bytes of a part, encoded
_CODING = re.compile(rb"^content-transfer-encoding[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n", re.IGNORECASE | re.M)
_QUOTED = b"Content-Transfer-Encoding: quoted-printable\r\n"
_SOFT = b"=\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A message in pieces: bytes that stay, and places to be filled.  `fields` replace those of the message."""

    fields: bytes
    pieces: tuple[bytes | tuple[Piece, str], ...]  # a place comes with its charset

    def body(self, writer: Writer) -> bytes:
        """The body for one recipient."""
        out: list[bytes] = []
        for piece in self.pieces:
            if isinstance(piece, bytes):
                out.append(piece)
            else:
                written = writer.write(piece[0]).encode(piece[1])
                out += (_SOFT, binascii.b2a_qp(written, istext=False).replace(b"\n", b"\r\n"), _SOFT)
        if not out[-1].endswith(b"\r\n"):
            out.append(b"\r\n")  # a base64 part need not end its last line; the dot that ends DATA wants one of its own
        return b"".join(out)


def cut(ready: Prepared, wish: Wish, own: str) -> Cut | None:
    """The message in pieces; None when there is nothing to track in it."""
    cutter = _Cutter(wish, own)
    head, pieces = cutter.part(ready.fields, ready.body, 0)
    return Cut(fields=head, pieces=tuple(pieces)) if cutter.places else None


class _Cutter:
    def __init__(self, wish: Wish, own: str) -> None:
        self._wish = wish
        self._own = own
        self._parts = 0
        self.places = 0

    def part(self, head: bytes, body: bytes, depth: int) -> tuple[bytes, list[bytes | tuple[Piece, str]]]:
        """The head and the body of one part, in pieces."""
        self._parts += 1
        same: tuple[bytes, list[bytes | tuple[Piece, str]]] = (head, [body])
        if self._parts > MAX_PARTS or depth > MAX_DEPTH:
            return same
        fields = _fields(head)
        kind = fields.get_content_type()
        if kind.startswith("multipart/"):
            if kind in ("multipart/signed", "multipart/encrypted"):
                return same
            return head, self._multipart(fields, body, depth)
        if kind not in ("text/html", "text/plain") or fields.get_content_disposition() == "attachment":
            return same
        if (kind == "text/plain" and not (self._wish.clicks and self._wish.text)) or len(body) > MAX_PART:
            return same
        charset = str(fields.get_content_charset("utf-8"))
        try:
            if "<a>".encode(charset) != b"<a>":
                return same
            text = _decoded(fields, body).decode(charset)
            make = html_pieces if kind == "text/html" else text_pieces
            pieces = make(text, self._wish, self._own)
            if all(isinstance(piece, str) for piece in pieces):
                return same
            coded = _coded(pieces, charset)
        except (LookupError, UnicodeError, ValueError):
            return same
        self.places += 1
        return _CODING.sub(b"", head) + _QUOTED, coded

    def _multipart(self, fields: Message, body: bytes, depth: int) -> list[bytes | tuple[Piece, str]]:
        boundary = fields.get_boundary()
        if not boundary or not boundary.isascii():
            return [body]
        line = re.compile(rb"(?:^|(?<=\n))--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:\r\n|\Z)")
        pieces: list[bytes | tuple[Piece, str]] = []
        start = -1  # where the part begins that is being read
        done = 0
        for found in line.finditer(body):
            if start >= 0:
                # the line end before a boundary belongs to the boundary (RFC 2046 section 5.1.1)
                end = max(start, found.start() - 2)
                pieces += self._inner(body[start:end], depth)
                done = end
            pieces.append(body[done : found.end()])
            done = start = found.end()
            if found[1]:
                break
        pieces.append(body[done:])
        return pieces

    def _inner(self, content: bytes, depth: int) -> Sequence[bytes | tuple[Piece, str]]:
        if content.startswith(b"\r\n"):
            head, between, body = b"", b"\r\n", content[2:]
        else:
            head, between, body = content.partition(b"\r\n\r\n")
            head, between = head + b"\r\n", between[2:]
        if not between:  # a part without a body
            return [content]
        new, pieces = self.part(head, body, depth + 1)
        return [new, between, *pieces]


def _fields(head: bytes) -> Message:
    """Only what says what a part is: its other fields are not looked at."""
    message = Message()
    rows = re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")
    for name in (b"content-type", b"content-transfer-encoding", b"content-disposition"):
        for row in rows:
            if row[: len(name) + 1].lower() == name + b":":
                message[name.decode()] = row[len(name) + 1 :].decode("ascii", "replace").strip()[:1000]
                break
    return message


def _decoded(fields: Message, body: bytes) -> bytes:
    """The content.  ValueError for a coding that is not known."""
    match str(fields.get("content-transfer-encoding", "7bit")).lower():
        case "7bit" | "8bit" | "binary":
            return body
        case "quoted-printable":
            return binascii.a2b_qp(body)
        case "base64":
            return binascii.a2b_base64(body)
        case other:
            raise ValueError(other)


def _coded(pieces: Sequence[Piece], charset: str) -> list[bytes | tuple[Piece, str]]:
    coded: list[bytes | tuple[Piece, str]] = []
    for piece in pieces:
        if isinstance(piece, str):
            octets = piece.encode(charset).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            coded.append(_fitting(binascii.b2a_qp(octets, istext=True).replace(b"\n", b"\r\n")))
        else:
            coded.append((piece, charset))
    return coded


def _fitting(coded: bytes) -> bytes:
    """The last line short enough for the soft line end that follows (RFC 2045 section 6.7: 76 characters)."""
    begin = coded.rfind(b"\n") + 1
    if len(coded) - begin < 76:
        return coded
    at = begin + 60
    while b"=" in coded[at - 2 : at]:  # never inside an escape
        at -= 1
    return coded[:at] + _SOFT + coded[at:]
