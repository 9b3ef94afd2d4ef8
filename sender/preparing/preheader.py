"""The preheader: the line that mail clients show beside the subject.

In HTML it is the first text of the body and hidden there, followed by characters without ink, so that the client does
not fill its line with "View in browser".  In the text part it is the first line.
Contract: takes and gives jinja sources: what is written is escaped here, values are escaped when rendered.  Pure.
"""

from __future__ import annotations

from html import escape

from sender.preparing.holes import Holes
from sender.preparing.markup import Kind, pieces

_HIDE = (
    "display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;mso-hide:all;font-size:1px;line-height:1px;"
    "color:transparent"
)
_PAD = "&#847;&zwnj;&nbsp;" * 40


def in_html(html: str, preheader: str) -> str:
    """The page with the preheader at the beginning of its body."""
    page, line = Holes.of(html), Holes.of(preheader)
    at = _place(page.marked)
    shown = line.restore(escape(line.marked, quote=False))
    return f'{page.restore(page.marked[:at])}<div style="{_HIDE}">{shown}{_PAD}</div>{page.restore(page.marked[at:])}'


def _place(html: str) -> int:
    at = behind = 0
    for piece in pieces(html):
        at += len(piece.source)
        if piece.kind is Kind.OPEN and piece.name == "body":
            return at
        if (piece.kind is Kind.CLOSE and piece.name == "head") or (
            piece.kind is Kind.COMMENT and piece.source[:9].lower() == "<!doctype"
        ):
            behind = at
    return behind


def in_text(text: str, preheader: str) -> str:
    """The text with the preheader as its first line."""
    return f"{preheader}\n\n{text}"
