"""The text part of a message that has none, made from its HTML: readable, with links as numbered footnotes.

Contract: `text_of` takes a finished page.  `text_template` takes a jinja source and gives a jinja source for the text
part, or None where that cannot be (see sender.preparing.holes): so thousands of recipients cost no second conversion.
A link inside a loop or condition stands beside its words, as a number would not fit every recipient.
Linear in the page's size; never raises.  Hidden elements, styles and scripts leave nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sender.preparing.holes import Holes, Role
from sender.preparing.markup import RAW, VOID, Kind, Nesting, Piece, names, pieces

MAX_NOTES = 500
_APART = names("p h1 h2 h3 h4 h5 h6 ul ol dl blockquote pre table address figure")
_LINE = names("div tr li dt dd section article header footer main nav aside form center fieldset caption figcaption br")
_CELLS = frozenset(("td", "th"))
_SKIPPED = RAW - {"textarea"} | {"head", "noscript", "object", "select", "audio", "video", "svg"}
_SPACE = re.compile(r"[ \t\r\n\f\u00a0\u200b\u200c\ufeff\u034f\u2007]+")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE)
_MANY_LINES = re.compile(r"\n{3,}")


def is_hidden(piece: Piece) -> bool:
    """True for a start tag whose element is not shown."""
    if "hid" not in piece.source.lower() and "none" not in piece.source.lower():
        return False
    attributes = piece.attributes()
    return "hidden" in attributes or _HIDDEN.search(attributes.get("style", "")) is not None


def text_of(html: str) -> str:
    """The text of a finished page."""
    return tidy(_Writer().write(html))


def text_template(holes: Holes) -> str | None:
    """The jinja source of the text part, or None where each rendered page must be converted instead."""
    # values are escaped in HTML and not in text: filters that work on escaped text would give another result
    if holes.uses("safe", "e", "escape", "forceescape", "striptags") or not holes.placed():
        return None
    text = _Writer(holes=holes).write(holes.marked)
    source = tidy(holes.restore(text))
    return source if sorted(_left(source)) == sorted(_kept(text, holes)) else None


def tidy(text: str) -> str:
    """No more than one empty line at a place, and one line end at the end."""
    text = text.strip()
    return _MANY_LINES.sub("\n\n", text) + "\n" if text else ""


def _left(source: str) -> list[str]:
    return [hole.source for hole in Holes.of(source).holes]


def _kept(text: str, holes: Holes) -> list[str]:
    return [holes.holes[number].source for number in holes.found(text)]


@dataclass(slots=True)
class _Link:
    url: str
    at: int  # length of the output where its words begin


@dataclass(slots=True)
class _Writer:
    """Writes text; line ends are owed until words come, so that a block that renders to nothing leaves no gap."""

    holes: Holes | None = None
    out: list[str] = field(default_factory=list)
    owed: str = ""  # what stands before the next words
    waiting: list[str] = field(default_factory=list)  # `owed` at the beginning of each open block
    notes: dict[str, int] = field(default_factory=dict)
    links: list[_Link] = field(default_factory=list)
    skipping: int = 0  # open elements inside a skipped one, itself included

    def write(self, html: str) -> str:
        nesting = Nesting()
        for piece in pieces(html):
            before = len(nesting.open)
            nesting.take(piece)
            if self.skipping:
                if len(nesting.open) < self.skipping:
                    self.skipping = 0
                    self._close(piece)
                elif piece.kind is Kind.OPEN and len(nesting.open) == self.skipping == before:
                    self.skipping = 0  # an element whose end tag was left out, and its like begins
                    self._open(piece, len(nesting.open))
                elif piece.kind is Kind.TEXT:
                    self._words(piece, hidden=True)
                continue
            match piece.kind:
                case Kind.TEXT:
                    self._words(piece)
                case Kind.RAW if piece.name == "textarea":
                    self._words(piece)
                case Kind.OPEN:
                    self._open(piece, len(nesting.open))
                case Kind.CLOSE:
                    self._close(piece)
                case _:
                    pass
        if self.notes:
            self.out.append("\n\n" + "".join(f"[{number}] {url}\n" for url, number in self.notes.items()))
        return "".join(self.out)

    def _open(self, piece: Piece, depth: int) -> None:
        if piece.name not in VOID and (piece.name in _SKIPPED or is_hidden(piece)):
            self.skipping = depth
            return
        self._break(piece.name)
        match piece.name:
            case "a":
                url = piece.attributes().get("href", "").strip()
                self.links.append(_Link(url=url, at=len(self.out)))
            case "img":
                alt = _SPACE.sub(" ", piece.attributes().get("alt", "")).strip()
                if alt:
                    self._put(alt)
            case "li":
                self._put("- ")
            case "hr":
                self.owed = "\n\n"
                self._put("----")
                self.owed = "\n\n"
            case _:
                pass

    def _close(self, piece: Piece) -> None:
        if piece.name == "a" and self.links:
            self._note(self.links.pop())
        self._break(piece.name)

    def _break(self, name: str) -> None:
        if name in _APART:
            self._owe("\n\n")
        elif name in _LINE:
            self._owe("\n")
        elif name in _CELLS:
            self._owe("  ")

    def _owe(self, space: str) -> None:
        rank = (self.owed.count("\n"), len(self.owed))
        if (space.count("\n"), len(space)) > rank:
            self.owed = space

    def _note(self, link: _Link) -> None:
        words = "".join(self.out[link.at :]).strip()
        url = link.url
        if not words or not url or url.startswith("#") or url.lower().startswith(("javascript:", "data:")):
            return
        bare = url.removeprefix("mailto:").removeprefix("tel:")
        if words in (url, bare, url.rstrip("/"), url.partition("://")[2].rstrip("/")):
            return
        if bare != url:
            self.out.append(f" <{bare.partition('?')[0]}>")
        elif self.waiting or len(self.notes) >= MAX_NOTES:
            self.out.append(f" <{url}>")
        else:
            self.out.append(f" [{self.notes.setdefault(url, len(self.notes) + 1)}]")

    def _words(self, piece: Piece, *, hidden: bool = False) -> None:
        source = piece.text
        if self.holes is None or self.holes.stem not in source:
            if not hidden:
                self._plain(source)
            return
        at = 0
        for found in self.holes.word.finditer(source):
            if not hidden:
                self._plain(source[at : found.start()])
            at = found.end()
            role = self.holes.holes[int(found[1])].role
            if role is Role.VALUE:
                if not hidden:
                    self._put(found[0])
            else:
                self._control(found[0], role)
        if not hidden:
            self._plain(source[at:])

    def _control(self, word: str, role: Role) -> None:
        """A block's word goes out as it is; what was owed before the block is owed in each branch and after it."""
        match role:
            case Role.OPEN:
                if self.owed == "\n\n":  # the empty line stands before a loop, not before each of its rows
                    self.out += ["\n"] if self.out else []
                    self.owed = "\n"
                self.waiting.append(self.owed)
            case Role.MIDDLE if self.waiting:
                self.owed = self.waiting[-1]
            case Role.CLOSE if self.waiting:
                self._owe(self.waiting.pop())
            case _:
                pass
        self.out.append(word)

    def _plain(self, source: str) -> None:
        text = _SPACE.sub(" ", source)
        if not text:
            return
        if text[0] == " ":
            self._owe(" ")
        if words := text.strip(" "):
            self._put(words)
            if text[-1] == " ":
                self._owe(" ")

    def _put(self, words: str) -> None:
        if self.owed and (self.out or self.owed.strip(" \n")):
            self.out.append(self.owed)
        self.owed = " " if words == "- " and not self.out else ""
        self.out.append(words)
