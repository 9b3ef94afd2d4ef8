"""Rewrites the links of a text and adds the pixel: what `track_clicks`, `track_opens` and `track_text` do.

Contract: `pieces` cuts a page or a text into literal pieces and targets, once; who writes the message puts a link of
its own in the place of each target.  Only http and https links to other hosts are cut out.  Never touched: links of our
own service, links by which people leave (unsubscribe, opt-out, preferences), mailto, anchors, links longer than
MAX_TARGET, and links with `data-track="off"` before their href.  Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape, unescape
from typing import TypeAlias
from urllib.parse import quote, unquote_plus, urlsplit

from core.address import normal_domain
from core.errors import InvalidInput
from core.links import is_target

MAX_LINKS = 2000  # of one part; further ones stay as they are
# `<` ends the look-out for href, so that a page of unfinished tags costs no second look
_LINK = re.compile(
    r"""<(?:a|area|v:\w+)\s(?P<before>(?:[^"'<>]|"[^"]*"|'[^']*')*?)\bhref\s*=\s*"""
    r"""(?P<value>"[^"]*"|'[^']*'|[^\s"'<>]+)""",
    re.IGNORECASE,
)
_OFF = re.compile(r"""data-track\s*=\s*["']?off\b""", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`{}|\\^]+", re.IGNORECASE)
_LEAVE = re.compile(r"unsub|opt-?out|preference|otpis|отпис", re.IGNORECASE)
_ENDS = ".,;:!?)]*_"
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_RESERVED = "%:/?#[]@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class Target:
    """The place of a link that leads to `url`.  `quoted`: it stands in HTML and needs quotation marks."""

    url: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Pixel:
    """The place of the pixel."""


Piece: TypeAlias = str | Target | Pixel


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a stream has tracked.  False when nothing is."""

    opens: bool = False
    clicks: bool = False
    text: bool = False

    def __bool__(self) -> bool:
        return self.opens or self.clicks


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Makes the addresses of one message: `click(target)` and `pixel()`."""

    click: Callable[[str], str]
    pixel: Callable[[], str]

    def write(self, piece: Piece) -> str:
        """A piece as it stands in the message."""
        match piece:
            case str():
                return piece
            case Target():
                link = self.click(piece.url)
                return f'"{escape(link)}"' if piece.quoted else link
            case Pixel():
                return (
                    f'<img src="{escape(self.pixel())}" width="1" height="1" alt="" '
                    'style="display:block;border:0;width:1px;height:1px">'
                )


def html_pieces(html: str, wish: Wish, own: str) -> list[Piece]:
    """A page in pieces.  `own` is the address of our service."""
    found: list[Piece] = []
    done = 0
    if wish.clicks:
        for match in _LINK.finditer(html):
            if len(found) >= 2 * MAX_LINKS:
                break
            value = match["value"]
            written = value[1:-1] if value[0] in "\"'" else value
            target = target_of(unescape(written).strip(), own)
            if target and not _OFF.search(match["before"]):
                found += [html[done : match.start("value")], Target(target, quoted=True)]
                done = match.end()
    if wish.opens:
        ends = [match.start() for match in _BODY_END.finditer(html, done)]
        place = ends[-1] if ends else len(html)
        found += [html[done:place], Pixel()]
        done = place
    found.append(html[done:])
    return found


def text_pieces(text: str, wish: Wish, own: str) -> list[Piece]:
    """A plain text in pieces."""
    found: list[Piece] = []
    done = 0
    if wish.clicks and wish.text:
        for match in _ADDRESS.finditer(text):
            if len(found) >= 2 * MAX_LINKS:
                break
            link = match[0].rstrip(_ENDS)
            target = target_of(link, own)
            if target:
                found += [text[done : match.start()], Target(target, quoted=False)]
                done = match.start() + len(link)
    found.append(text[done:])
    return found


def joined(pieces: Sequence[Piece], writer: Writer) -> str:
    """The text with the links of one message."""
    return "".join(map(writer.write, pieces))


def target_of(link: str, own: str) -> str:
    """The link as a signed one may lead to it (ASCII), '' when it is to stay as it is."""
    if not link[:8].lower().startswith(("http://", "https://")) or link.startswith(own + "/") or link == own:
        return ""
    if _LEAVE.search(unquote_plus(link)):
        return ""
    if not link.isascii():
        try:
            parts = urlsplit(link)
            host, port = normal_domain(parts.hostname or ""), parts.port
        except (InvalidInput, ValueError):
            return ""
        rest = link.partition("://")[2]
        path = rest[len(parts.netloc) :]
        if "@" in parts.netloc:
            return ""
        link = f"{parts.scheme}://{host}{f':{port}' if port else ''}{quote(path, safe=_RESERVED)}"
    return link if is_target(link) else ""
