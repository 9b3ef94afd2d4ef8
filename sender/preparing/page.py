"""What a reader and a filter see in a finished page: words, links, images, and what is hidden.

Contract: `look` never raises and is linear in the page's size.  Hidden elements give neither words nor links.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sender.preparing.markup import RAW, VOID, Kind, Nesting, Piece, pieces
from sender.preparing.text_from_html import is_hidden

_FONT = re.compile(r"font(?:-size)?\s*:[^;]*?(\d+(?:\.\d+)?)\s*px", re.IGNORECASE)
_ACTIVE = frozenset(("script", "iframe", "form", "object", "embed", "video", "audio", "input", "button"))
_SPACE = re.compile(r"[\s\u00a0\u034f\u200b\u200c\ufeff]+")


@dataclass(slots=True, kw_only=True)
class Link:
    """A visible link.  `words` with the alt text of images in it; `pixels` of its font, 0 when none is set."""

    href: str
    words: str = ""
    pixels: float = 0.0


@dataclass(slots=True, kw_only=True)
class Page:
    """See the module.  `text` is without alt texts."""

    text: str = ""
    links: list[Link] = field(default_factory=list)
    images: int = 0
    without_alt: list[str] = field(default_factory=list)
    active: set[str] = field(default_factory=set)


def look(html: str) -> Page:
    """What is in a page."""
    page = Page()
    nesting = Nesting()
    words: list[str] = []
    fonts: list[tuple[int, float]] = []  # depth of each element that sets a font size
    link: Link | None = None
    hidden = 0  # depth of the hidden element, 0 outside of one
    for piece in pieces(html):
        nesting.take(piece)
        depth = len(nesting.open)
        if hidden and depth < hidden:
            hidden = 0
        while fonts and depth < fonts[-1][0]:
            fonts.pop()
        match piece.kind:
            case Kind.OPEN:
                if piece.name in _ACTIVE:
                    page.active.add(piece.name)
                if hidden:
                    continue
                if piece.name not in VOID and (piece.name in RAW or is_hidden(piece)):
                    hidden = depth
                    continue
                if "font" in piece.source.lower() and piece.name not in VOID:
                    fonts += [(depth, float(size)) for size in _FONT.findall(piece.attributes().get("style", ""))[-1:]]
                if piece.name in ("a", "area"):
                    href = piece.attributes().get("href")
                    link = None
                    if href is not None:
                        link = Link(href=href.strip(), pixels=fonts[-1][1] if fonts else 0.0)
                        page.links.append(link)
                elif piece.name == "img":
                    _image(piece, page, link)
            case Kind.CLOSE if piece.name == "a":
                link = None
            case Kind.TEXT if not hidden:
                words.append(piece.text)
                if link is not None:
                    link.words += piece.text
                    link.pixels = fonts[-1][1] if fonts else 0.0
            case _:
                pass
            # tags part words as a reader sees them only where they end a line; for counting a space does no harm
    page.text = _SPACE.sub(" ", " ".join(words)).strip()
    for found in page.links:
        found.words = _SPACE.sub(" ", found.words).strip()
    return page


def _image(piece: Piece, page: Page, link: Link | None) -> None:
    attributes = piece.attributes()
    pixel = attributes.get("width", "").strip("px ") in ("0", "1") and attributes.get("height", "").strip("px ") in (
        "0",
        "1",
    )
    if pixel:
        return
    page.images += 1
    if "alt" not in attributes:
        page.without_alt.append(attributes.get("src", "?")[-60:])
    elif link is not None:
        link.words += attributes["alt"]
