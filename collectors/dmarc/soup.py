"""A lenient reader for XML that expat refuses: unclosed elements, stray brackets, junk, a file cut short.

Contract: calls the handlers of a Fold as a strict parser would, after mending the nesting: an end tag closes what was
left open inside it; an element that belongs further out closes what stands between; an end tag without a start is
dropped.  A second `<feedback>` begins a second report.  Never raises for what is in the text except `Refused` for a
broken bound or a declared entity.  Linear in the text: no position is searched twice.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from collectors.dmarc.defects import Defect, Meter, Refused
from collectors.dmarc.fold import Fold
from collectors.dmarc.shapes import ShapedFeed

_TAG = re.compile(r"<(/?)([A-Za-z_][\w.:-]{0,199})")
_HOLD = 65_536  # characters that may wait for the end of a tag or comment
_CDATA = "<![CDATA["
_SKIPPED = (("<!--", "-->"), ("<?", "?>"), (_CDATA, "]]>"))
_MOST_STRAYS = 200_000  # broken places: above that it is noise and no report


def read_soup(pieces: Iterator[bytes], fold: Fold, meter: Meter) -> None:
    """Read the whole text."""
    reader = _Soup(fold, meter)
    feed = ShapedFeed(fold, reader, lenient=True)
    for piece in pieces:
        meter.tick()
        fold.trim()
        feed.feed(piece)
    feed.end()
    reader.end()
    fold.stop()


class _Soup:
    """The lenient reader.  Each piece given holds whole characters."""

    def __init__(self, fold: Fold, meter: Meter) -> None:
        self._mender = _Mender(fold, meter)
        self._held = ""

    def give(self, text: bytes) -> None:
        self._held += text.decode("utf-8", "replace")
        self._held = self._held[_scan(self._held, self._mender, last=False) :]

    def at_rest(self) -> bool:
        return not self._held and self._mender.at_top()

    def end(self) -> None:
        _scan(self._held, self._mender, last=True)
        self._held = ""


def _scan(text: str, mender: _Mender, *, last: bool) -> int:
    """Handle what is complete; the position from which more text is needed."""
    at, size = 0, len(text)
    closing = -1  # the next '>', found once
    absent: set[str] = set()  # ends of comments and the like that this text does not hold from here on
    while at < size:
        opening = text.find("<", at)
        if opening < 0:
            mender.chars(text[at:])
            return size
        if opening > at:
            mender.chars(text[at:opening])
        final = last or size - opening > _HOLD
        if size - opening < 9 and not last:
            return opening
        begin, skip = next((pair for pair in _SKIPPED if text.startswith(pair[0], opening)), ("", ""))
        if skip:
            end = -1 if skip in absent else text.find(skip, opening)
            if end >= 0:
                if begin == _CDATA:
                    mender.chars(text[opening + len(begin) : end], raw=True)
                at = end + len(skip)
                continue
            if not final:
                return opening
            absent.add(skip)
            mender.stray()
            at = opening + len(begin)  # never closed: what follows must not be lost with it
            continue
        if text.startswith("<!ENTITY", opening):
            raise Refused(Defect.ENTITIES, "declares an entity; entities are never expanded")
        tag = _TAG.match(text, opening)
        if tag is None:
            mender.stray()
            at = opening + 1  # a stray bracket is text
            continue
        if closing < opening:
            closing = text.find(">", opening)
            closing = size if closing < 0 else closing
        following = text.find("<", opening + 1)
        if closing == size and not final:
            return opening
        if 0 <= following < closing or closing == size:
            mender.stray()
            at = opening + 1  # the tag was never finished
            continue
        if tag[1]:
            mender.close(tag[2])
        else:
            mender.open(tag[2], empty=text[closing - 1] == "/")
        at = closing + 1
    return at


class _Mender:
    """Keeps the nesting right for the handlers."""

    def __init__(self, fold: Fold, meter: Meter) -> None:
        self._fold = fold
        self._meter = meter
        self._open: list[str] = []
        self._strays = 0

    def at_top(self) -> bool:
        """True when only the report itself is open."""
        return len(self._open) == 1

    def stray(self) -> None:
        """Count a broken place."""
        self._strays += 1
        if self._strays > _MOST_STRAYS:
            raise Refused(Defect.BROKEN_XML, f"the XML is broken in more than {_MOST_STRAYS} places")

    def chars(self, text: str, *, raw: bool = False) -> None:
        if self._open and not text.isspace():
            self._fold.chars(text if raw or "&" not in text else html.unescape(text))

    def open(self, name: str, *, empty: bool) -> None:
        local = name.rpartition(":")[2].lower()
        if not empty:
            self._make_room(local)
        elif len(self._open) > self._meter.limits.depth:
            return
        self._fold.begin(local, None)
        if empty:
            self._fold.end(local)
        else:
            self._open.append(local)

    def _make_room(self, local: str) -> None:
        """Close what the new element cannot lie in, when it belongs further out."""
        path = self._fold.path()
        for distance in range(len(path)):
            if local in path[-1 - distance]:
                if distance and path[-1] is not path[-1 - distance]:
                    self.stray()
                    for _ in range(distance):
                        self._pop()
                return

    def close(self, name: str) -> None:
        local = name.rpartition(":")[2].lower()
        if local not in self._open:
            self.stray()
            return
        while self._pop() != local:
            pass

    def _pop(self) -> str:
        name = self._open.pop()
        self._fold.end(name)
        return name
