"""HTML as a flat run of pieces: text, comments, tags and raw content, cut as the HTML standard's tokenizer cuts them.

Contract: never raises, works in linear time, and the pieces' `source` joined gives the input back.  It builds no tree:
what is built on it (text part, styles, lint) needs order and nesting only.  Tags are cut exactly as browsers cut them
(WHATWG HTML, section 13.2.5), because `measure` guards a tree builder that is recursive and would take the process
with it when a hostile page is nested 20,000 deep.

Rejected: html.parser, ten times slower, and it disagrees with browsers about quotes and comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from html import unescape


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


VOID = names("area base br col embed hr img input link meta param source track wbr")
RAW = names("iframe noembed noframes plaintext script style textarea title xmp")
# Their end tags may be missing.
OPTIONAL = names("body caption colgroup dd dt head html li option p tbody td tfoot th thead tr")
MAX_DEPTH = 400  # elements one within another
MAX_LOOSE = 1000  # elements that are left to be closed by what comes after
MAX_FAULTS = 10  # elements that are never closed, or closed in the wrong order
_LOOK_BACK = 50  # open elements looked through for the one that an end tag closes

# An attribute name may hold quotes and a value may hold `>`: a simpler pattern would let a page hide tags in either.
_ATTRIBUTE = r"""[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|(?=>)|[^\s>"'][^\s>]*+))?+"""
_TAG = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|<(?:[!?]|/(?![a-zA-Z]))[^>]*+(?:>|\Z)"
    rf"|<(?P<close>/?)(?P<name>[a-zA-Z][^\s/>]*+)(?P<attributes>(?:[\s/]++|{_ATTRIBUTE})*+)>"
    r"|<(?P<broken>/?[a-zA-Z])",
    re.DOTALL,
)
_PAIR = re.compile(
    r"""(?P<name>[^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"(?P<double>[^"]*+)"|'(?P<single>[^']*+)'|(?P<bare>[^\s>"'][^\s>]*+)))?+"""
)
_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in RAW if name != "plaintext"}


class Kind(Enum):
    """What a piece is."""

    TEXT = auto()
    COMMENT = auto()  # also declarations
    OPEN = auto()
    CLOSE = auto()
    RAW = auto()  # content of style, script, title and the like: never holds tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece.  `name` is the tag's name in lower case; for RAW that of its element."""

    kind: Kind
    source: str
    name: str = ""
    attribute_text: str = ""

    def attributes(self) -> dict[str, str]:
        """Values unescaped; the first of equal names counts."""
        found: dict[str, str] = {}
        for pair in _PAIR.finditer(self.attribute_text):
            value = pair["double"] or pair["single"] or pair["bare"] or ""
            found.setdefault(pair["name"].lower(), unescape(value))
        return found

    @property
    def text(self) -> str:
        """The text that a reader sees; for TEXT, and for the RAW of title and textarea."""
        return unescape(self.source)


def pieces(html: str) -> Iterator[Piece]:
    """The pieces of a page or fragment, in order."""
    at = start = 0
    while (found := _TAG.search(html, at)) is not None:
        if found["broken"]:  # a tag that never ends: browsers drop it and all that follows
            break
        if found.start() > start:
            yield Piece(kind=Kind.TEXT, source=html[start : found.start()])
        start = at = found.end()
        if found["name"] is None:
            yield Piece(kind=Kind.COMMENT, source=found[0])
            continue
        name = found["name"].lower()
        if found["close"]:
            yield Piece(kind=Kind.CLOSE, source=found[0], name=name)
            continue
        yield Piece(kind=Kind.OPEN, source=found[0], name=name, attribute_text=found["attributes"])
        if name in RAW:
            end = _ENDS[name].search(html, at) if name in _ENDS else None
            at = end.start() if end else len(html)
            if at > start:
                yield Piece(kind=Kind.RAW, source=html[start:at], name=name)
            start = at
    if start < len(html):
        yield Piece(kind=Kind.TEXT, source=html[start:])


@dataclass(slots=True)
class Nesting:
    """Follows which elements are open, as written.

    A tree builder closes some by itself and ignores some end tags; wherever that may be, it is counted.  So its tree
    is never deeper than `deepest + loose + faults`."""

    open: list[str] = field(default_factory=list)
    tags: int = 0
    deepest: int = 0
    loose: int = 0
    faults: int = 0

    def take(self, piece: Piece) -> None:
        """Go past a piece."""
        if piece.kind is Kind.OPEN and piece.name not in VOID:
            self.tags += 1
            if piece.name in OPTIONAL and self.open and self.open[-1] == piece.name:
                self.open.pop()
                self.loose += 1
            self.open.append(piece.name)
            self.deepest = max(self.deepest, len(self.open))
        elif piece.kind is Kind.CLOSE and piece.name not in VOID:
            self._close(piece.name)

    def _close(self, name: str) -> None:
        at = len(self.open) - 1
        least = max(0, at - _LOOK_BACK)
        while at >= least and self.open[at] != name and self.open[at] in OPTIONAL:
            at -= 1
        if at >= least and self.open[at] == name:
            self.loose += len(self.open) - 1 - at
            del self.open[at:]
        else:
            self.faults += 1

    def unclosed(self) -> int:
        """Faults so far, and elements still open whose end tag is required."""
        return self.faults + sum(name not in OPTIONAL for name in self.open)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How large a page is to a tree builder."""

    tags: int
    deepest: int
    loose: int
    faults: int
    style_characters: int
    rules: int
    foreign: bool  # svg or math: other rules of cutting apply inside


def measure(html: str) -> Measure:
    """See Measure."""
    nesting = Nesting()
    characters = rules = 0
    foreign = False
    for piece in pieces(html):
        nesting.take(piece)
        if piece.kind is Kind.RAW and piece.name == "style":
            characters += len(piece.source)
            rules += piece.source.count("{") + piece.source.count(",")
        foreign = foreign or piece.name in ("svg", "math")
    return Measure(
        tags=nesting.tags, deepest=nesting.deepest, loose=nesting.loose + sum(n in OPTIONAL for n in nesting.open),
        faults=nesting.unclosed(), style_characters=characters, rules=rules, foreign=foreign,
    )  # fmt: skip
