"""Prepares a template's parts, once: the text part from HTML, styles inlined, the preheader in its places.

Contract: `prepared` takes jinja sources and gives jinja sources.  What cannot be done before the values are known is
left for each message, and said so in `inline_each` and `text_each`.  Raises InvalidInput or LimitExceeded naming the
part.  A message without a style sheet, with a text part and without a preheader comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import LimitExceeded
from sender.preparing import preheader
from sender.preparing.holes import Holes
from sender.preparing.inlining import has_styles, inline, inline_template
from sender.preparing.text_from_html import text_of, text_template, tidy
from sender.preparing.utm import Choice, choice_of

MAX_TAGS = 50_000  # tags of a page that is prepared; the largest newsletters have 5,000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Sources of text and html, '' where the message has no such part, and what is still to be done when rendered."""

    text: str
    html: str
    inline_each: bool
    text_each: bool
    text_made: bool
    utm: Choice

    @property
    def waits(self) -> bool:
        """True when something is left to be done for each message that can fail."""
        return self.inline_each or self.text_each

    def finish(self, text: str, html: str) -> tuple[str, str]:
        """The rendered parts with what could not be done before.  Raises InvalidInput."""
        if self.text_each:
            _bounded(html)
            # the preheader is hidden in the page, so it is not in its text; here it was rendered as the text part
            text = text + text_of(html)
        elif self.text_made:
            text = tidy(text)  # a block that rendered to nothing leaves its empty lines
        return text, inline(html) if self.inline_each else html


def prepared(parts: Mapping[str, str]) -> Prepared:
    """See the module."""
    text, html, line = parts.get("text", ""), parts.get("html", ""), parts.get("preheader", "")
    inline_each = text_each = text_made = False
    if html:
        styled = has_styles(html)
        holes = None
        if styled or not text:
            _bounded(html)
            holes = Holes.of(html)
        if holes is not None and not text:
            made = text_template(holes)
            text, text_each, text_made = made or "", made is None, bool(made) and bool(holes.holes)
        if holes is not None and styled:
            done = inline_template(holes)
            inline_each = not done
            html = done or html
    if line and html:
        html = preheader.in_html(html, line)
    if line and (text or text_each):
        text = preheader.in_text(text, line)
    return Prepared(
        text=text, html=html, inline_each=inline_each, text_each=text_each, text_made=text_made,
        utm=choice_of(parts.get("utm", "")),
    )  # fmt: skip


def _bounded(html: str) -> None:
    tags = html.count("<")
    if tags > MAX_TAGS:
        raise LimitExceeded("html", f"has {tags} tags", f"At most {MAX_TAGS}")
