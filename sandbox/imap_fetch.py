"""FETCH of the sandbox's IMAP server (RFC 3501 sections 6.4.5 and 7.4.2): parse the wished items, build a response.

Items: UID FLAGS INTERNALDATE RFC822.SIZE RFC822 RFC822.HEADER, and BODY[…] or BODY.PEEK[…] with an empty section,
HEADER, HEADER.FIELDS (…), TEXT; the macros FAST and ALL without ENVELOPE.  Raises FetchError for anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.clock import utc
from sandbox.feedback import header_fields
from sandbox.mailbox import StoredMail

_SECTION = re.compile(r"BODY(\.PEEK)?\[(HEADER|TEXT|HEADER\.FIELDS(?:\.NOT)? ?\(([^)]*)\)|)\]", re.I)
_PLAIN = {"UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class FetchError(Exception):
    """An item that is not offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One wished item; `name` as it is answered, `section` what of the message, '' for plain items."""

    name: str
    section: str = ""
    fields: frozenset[str] = frozenset()
    marks: bool = False


def parse_items(words: list[str]) -> list[Item]:
    """Items of a FETCH, from its words behind the sequence set."""
    text = " ".join(words).replace("( ", "(").replace(" )", ")").strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    items: list[Item] = []
    while text := text.strip():
        section = _SECTION.match(text)
        if section:
            items.append(_section(section))
            text = text[section.end() :]
            continue
        name, _, text = text.partition(" ")
        match name.upper():
            case plain if plain in _PLAIN:
                items.append(Item(name=plain))
            case "FAST" | "ALL":
                items += [Item(name=n) for n in ("FLAGS", "INTERNALDATE", "RFC822.SIZE")]
            case "RFC822":
                items.append(Item(name="RFC822", section="ALL", marks=True))
            case "RFC822.HEADER":
                items.append(Item(name="RFC822.HEADER", section="HEADER"))
            case _:
                raise FetchError(f"{name[:40]} is not offered")
    if not items:
        raise FetchError("nothing to fetch")
    return items


def fetch_response(number: int, mail: StoredMail, items: list[Item], *, with_uid: bool, may_mark: bool) -> bytes:
    """The untagged FETCH response of one message."""
    parts: list[bytes] = []
    if with_uid and all(item.name != "UID" for item in items):
        parts.append(f"UID {mail.uid}".encode())
    for item in items:
        if item.section:
            data = _content(mail, item)
            parts.append(f"{item.name} {{{len(data)}}}\r\n".encode() + data)
            mail.seen = mail.seen or (item.marks and may_mark)
        else:
            values = {
                "UID": str(mail.uid),
                "FLAGS": "(\\Seen)" if mail.seen else "()",
                "INTERNALDATE": f'"{internal_date(mail.at)}"',
                "RFC822.SIZE": str(len(mail.content)),
            }
            parts.append(f"{item.name} {values[item.name]}".encode())
    return f"* {number} FETCH (".encode() + b" ".join(parts) + b")\r\n"


def internal_date(at: float) -> str:
    """RFC 3501 date-time, e.g. `17-Jul-2026 02:44:25 +0000`."""
    when = utc(at)
    return f"{when.day:2d}-{_MONTHS[when.month - 1]}-{when.year} {when:%H:%M:%S} +0000"


def _section(match: re.Match[str]) -> Item:
    marks = not match[1]
    section = match[2].upper()
    if section.startswith("HEADER.FIELDS"):
        names = frozenset(match[3].lower().replace('"', "").split())
        kind = "HEADER.FIELDS.NOT" if section.startswith("HEADER.FIELDS.NOT") else "HEADER.FIELDS"
        return Item(name=f"BODY[{kind} ({match[3].upper()})]", section=kind, fields=names, marks=marks)
    return Item(name=f"BODY[{section}]", section=section or "ALL", marks=marks)


def _content(mail: StoredMail, item: Item) -> bytes:
    match item.section:
        case "HEADER":
            return mail.header
        case "TEXT":
            return mail.content[len(mail.header) :]
        case "HEADER.FIELDS":
            return b"".join(f for n, f in header_fields(mail.header) if n in item.fields) + b"\r\n"
        case "HEADER.FIELDS.NOT":
            return b"".join(f for n, f in header_fields(mail.header) if n not in item.fields) + b"\r\n"
        case _:
            return mail.content
