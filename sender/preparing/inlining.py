"""Style sheets written into style attributes, because Gmail's apps and many webmails drop `<style>` (css-inline).

Contract: `inline` takes a finished page; `inline_template` a jinja source, and gives '' where styling must wait until
the message is rendered (a class chosen by a variable, `:nth-child` over a loop, a block that opens an element and does
not close it).  A page without `<style>` is returned as it is, byte for byte.  Rules that cannot be inlined (media
queries, fonts) stay in a style sheet.  Nothing is ever loaded: neither links nor imports are followed.
Raises InvalidInput or LimitExceeded for a page that would cost the inliner too much: it is recursive, and its work is
rules times elements.  The bounds are twenty times what the largest newsletters need.
"""

from __future__ import annotations

import re

from css_inline import CSSInliner, InlineError

from core.errors import InvalidInput, LimitExceeded
from sender.preparing.holes import Holes
from sender.preparing.markup import MAX_DEPTH, MAX_FAULTS, MAX_LOOSE, OPTIONAL, VOID, Kind, measure, pieces

MAX_MATCHES = 2_000_000  # rules × elements
MAX_COPIES = 60_000_000  # characters of style sheets × elements: what could be copied at worst
MAX_INLINED = 2_000_000  # characters of a page after
_STYLE = re.compile(r"<style[\s>/]", re.IGNORECASE)
# Which elements these match depends on what a block leaves out or repeats.
_STRUCTURAL = re.compile(r":(?:nth-|first-|last-|only-|empty|not|has|is|where|root)|[+~]", re.IGNORECASE)
_IMPLIED = frozenset(("html", "head", "tbody", "colgroup", "style"))  # added or moved by the tree builder
_FRAME = re.compile(r"<(?:html|head|body)[\s>/]", re.IGNORECASE)
_BODY = re.compile(r"<body[\s>/]", re.IGNORECASE)
_INLINER = CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


def has_styles(html: str) -> bool:
    """True when there is anything to inline."""
    return _STYLE.search(html) is not None


def inline(html: str) -> str:
    """The page with its styles inlined.  Raises InvalidInput, LimitExceeded."""
    if not has_styles(html):
        return html
    size = measure(html)
    if size.foreign or not size.rules:
        return html  # mail clients show neither svg nor math, and what guards the inliner cannot read them
    if size.deepest > MAX_DEPTH:
        raise LimitExceeded("html", f"nests elements {size.deepest} deep", f"At most {MAX_DEPTH}")
    if size.faults > MAX_FAULTS or size.loose > MAX_LOOSE:
        count = size.faults + size.loose
        raise LimitExceeded(
            "html", f"has {count} elements that are not closed, or closed in the wrong order", "Close each element"
        )
    if size.rules * size.tags > MAX_MATCHES or size.style_characters * size.tags > MAX_COPIES:
        raise LimitExceeded(
            "html", f"has {size.rules} style rules for {size.tags} elements", "Remove the rules that nothing uses"
        )
    try:
        done = _INLINER.inline(html)
    except (InlineError, ValueError) as error:
        raise InvalidInput("html", f"has styles that cannot be read ({str(error)[:200]})", "Mend them") from error
    if len(done) > MAX_INLINED:
        raise LimitExceeded("html", f"would be {len(done)} characters long with its styles", f"At most {MAX_INLINED}")
    return done


def inline_template(holes: Holes) -> str:
    """The source with its styles inlined, or '' where that must wait.  Raises as `inline` does."""
    if holes.holes and not _may_be_early(holes):
        return ""
    if not holes.holes:
        return inline(holes.marked)
    marked = holes.as_comments()
    if not _FRAME.search(marked):  # else the tree builder would open the body inside of the first block
        marked = f"<!DOCTYPE html><html><head></head><body>{marked}</body></html>"
    elif not _BODY.search(marked):
        return ""
    done = inline(marked)
    if _shape(marked, holes) != _shape(done, holes):
        return ""
    source = holes.restore(done)
    return source if holes.unchanged(source) else ""


def _may_be_early(holes: Holes) -> bool:
    if holes.in_styles() or holes.uses("safe") or not holes.placed():
        return False
    sheets = "".join(p.source for p in pieces(holes.marked) if p.kind is Kind.RAW and p.name == "style")
    return not _STRUCTURAL.search(sheets) and not ("[" in sheets and holes.in_attributes())


def _shape(html: str, holes: Holes) -> list[str | int]:
    """Tags and holes in order: what inlining must leave as it is."""
    shape: list[str | int] = []
    for piece in pieces(html):
        if piece.kind is Kind.OPEN and piece.name not in _IMPLIED:
            shape.append(piece.name)
        elif piece.kind is Kind.CLOSE and piece.name not in OPTIONAL | VOID | _IMPLIED:
            shape.append("/" + piece.name)
        shape += holes.found(piece.source)
    return shape
