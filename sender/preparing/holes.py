"""Holes: the jinja parts of an HTML source, taken out so that HTML tools can work on it, and put back after.

Contract: `Holes.of(source)` replaces each `{{ … }}`, `{% … %}` and jinja comment by a word that HTML keeps, in
`marked`; `restore` puts them back.  `placed` says whether a tool may move and rewrite the HTML between them without
changing what is rendered: every block opens and closes at one place of the tree, and no hole makes a tag or attribute.
Where it does not, the caller works on each rendered message instead: slower, never wrong.  Never raises for a source
that jinja can parse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from jinja2 import Environment, TemplateError

from sender.preparing.markup import MAX_DEPTH, Kind, Nesting, Piece, pieces

# The sandboxed environments of sender.template use the same delimiters; only the lexer is used here.
_LEXER = Environment(keep_trailing_newline=True, autoescape=True)
_BEGIN = {"variable_begin": "variable_end", "block_begin": "block_end", "comment_begin": "comment_end"}
_TAG_BEGIN = re.compile(r"</?[a-zA-Z]")
_RAW = ("raw_begin", "raw_end")
_SETTLED = frozenset(("style", "class", "id"))  # attributes that styles depend on


class Role(Enum):
    """What a hole does to what stands after it."""

    VALUE = auto()
    OPEN = auto()  # if, for
    MIDDLE = auto()  # elif, else
    CLOSE = auto()
    NOTHING = auto()  # a comment


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """One jinja part.  `words` are its names and operators."""

    source: str
    role: Role
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """A source with its jinja parts taken out.  See the module."""

    marked: str
    holes: tuple[Hole, ...]
    word: re.Pattern[str]
    stem: str

    @classmethod
    def of(cls, source: str) -> Holes:
        """Take them out."""
        stem = "qhole"
        while stem in source.lower():
            stem += "q"
        text: list[str] = []
        holes: list[Hole] = []
        for part in _parts(source):
            if isinstance(part, str):
                text.append(part)
            else:
                text.append(f"{stem}{len(holes)}z")
                holes.append(part)
        return cls(marked="".join(text), holes=tuple(holes), word=re.compile(stem + r"(\d+)z"), stem=stem)

    def found(self, text: str) -> list[int]:
        """Numbers of the holes in a text, in order."""
        return [int(number) for number in self.word.findall(text)] if self.stem in text else []

    def as_comments(self) -> str:
        """`marked` with the holes between tags as comments, which a tree builder leaves where they are."""
        return "".join(
            self.word.sub(r"<!--=\g<0>=-->", piece.source) if piece.kind is Kind.TEXT else piece.source
            for piece in pieces(self.marked)
        )

    def restore(self, text: str) -> str:
        """The jinja parts back in their places."""
        text = re.sub(f"<!--=({self.stem}[0-9]+z)=-->", r"\1", text)
        return self.word.sub(lambda found: self.holes[int(found[1])].source, text)

    def unchanged(self, source: str) -> bool:
        """True when a source that was put together again has these holes, each once, in this order."""
        return [hole.source for hole in _parts(source) if isinstance(hole, Hole)] == [h.source for h in self.holes]

    def uses(self, *words: str) -> bool:
        """True when one of these names or filters stands in a hole."""
        return any(word in hole.words for hole in self.holes for word in words)

    def placed(self) -> bool:
        """See the module."""
        nesting = Nesting()
        blocks: list[tuple[int, list[str]]] = []  # where each open block stands, and what was open there
        for number, piece in enumerate(pieces(self.marked)):
            if (piece.kind is Kind.CLOSE and self.found(piece.source)) or _unfinished(piece):
                return False
            if piece.kind is Kind.TEXT:
                if not self._balanced(self.found(piece.source), -1, nesting.open, blocks):
                    return False
                continue
            if not all(
                self._balanced(numbers, number, [], blocks, whole=True) for numbers in self._places(piece)
            ) or self._makes_markup(piece):
                return False
            nesting.take(piece)
            if len(nesting.open) > MAX_DEPTH:
                return False
            # a branch may close no element that was opened before it
            if blocks and nesting.open[: len(blocks[-1][1])] != blocks[-1][1]:
                return False
        return not blocks and not nesting.unclosed()

    def _places(self, piece: Piece) -> list[list[int]]:
        """The holes of each place in a piece other than text: the whole of it, or each attribute's value."""
        if piece.kind is Kind.OPEN:
            return [self.found(value) for value in piece.attributes().values()]
        return [self.found(piece.source)]

    def _makes_markup(self, piece: Piece) -> bool:
        if piece.kind is not Kind.OPEN or self.stem not in piece.source:
            return False
        settled = sum(len(self.found(value)) for value in piece.attributes().values())
        return settled != len(self.found(piece.source))

    def _balanced(
        self,
        numbers: Sequence[int],
        place: int,
        opened: list[str],
        blocks: list[tuple[int, list[str]]],
        *,
        whole: bool = False,
    ) -> bool:
        """Follow blocks at one place; with `whole` every block must close there."""
        before = len(blocks)
        for number in numbers:
            role = self.holes[number].role
            if role is Role.OPEN:
                blocks.append((place, list(opened)))
            elif role in (Role.MIDDLE, Role.CLOSE):
                if not blocks or blocks[-1] != (place, opened):
                    return False
                if role is Role.CLOSE:
                    blocks.pop()
        return not whole or len(blocks) == before

    def in_styles(self) -> bool:
        """True when a hole stands where styles are decided: in a style sheet, or a style, class or id attribute."""
        for piece in pieces(self.marked):
            if self.stem not in piece.source:
                continue
            if piece.kind is Kind.RAW and piece.name == "style":
                return True
            if piece.kind is Kind.OPEN and any(
                self.found(value) for name, value in piece.attributes().items() if name in _SETTLED
            ):
                return True
        return False

    def in_attributes(self) -> bool:
        """True when a hole stands in any attribute."""
        return any(p.kind is Kind.OPEN and self.stem in p.source for p in pieces(self.marked))


def _unfinished(piece: Piece) -> bool:
    """A comment or tag that runs to the end of the page, so that what is put around the page gets into it."""
    if piece.kind is Kind.COMMENT:
        return not piece.source.endswith("-->" if piece.source.startswith("<!--") else ">")
    return piece.kind is Kind.TEXT and _TAG_BEGIN.search(piece.source) is not None


def _parts(source: str) -> list[str | Hole]:
    """Data and holes of a source, in order.  What cannot be cut is data."""
    parts: list[str | Hole] = []
    taken: list[str] = []
    words: list[str] = []
    end = ""
    try:
        for _, kind, value in _LEXER.lex(source):
            if end:
                taken.append(value)
                if kind in ("name", "operator"):
                    words.append(value)
                if kind == end:
                    parts.append(Hole(source="".join(taken), role=_role(end, words), words=tuple(words)))
                    taken, words, end = [], [], ""
            elif kind in _BEGIN:
                taken, end = [value], _BEGIN[kind]
            elif kind in _RAW:
                parts.append(Hole(source=value, role=Role.OPEN if kind == "raw_begin" else Role.CLOSE))
            else:
                parts.append(value)
    except TemplateError:
        return [source]
    return parts


def _role(end: str, words: Sequence[str]) -> Role:
    if end == "variable_end":
        return Role.VALUE
    if end == "comment_end":
        return Role.NOTHING
    match words[0] if words else "":
        case "if" | "for":
            return Role.OPEN
        case "elif" | "else":
            return Role.MIDDLE
        case _:
            return Role.CLOSE
