"""Records that are written like one before: read by one match of a pattern in place of sixty calls of handlers.

Reporters write every record alike but for its values.  A record that a reader has read in full gives a pattern: its
mark-up literally, its values open.  A further record that the whole pattern fits is the same mark-up around other
values, so it is as well-formed and means the same; its values go to the same `Draft.add`.  Everything else goes to
the reader (expat, or the lenient one), in order: what differs, values with references, with anything but ASCII or
over-long ones, and all that is not a record.

Contract: a pattern is only tried where the reader stands between two records of one report, with nothing unread.
Patterns, attempts and held text are bounded; where they seldom fit they are given up.  What is skipped in this way is
text of records alone, so every bound on depth, names and tokens was kept by the record that gave the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from collectors.dmarc.draft import Draft, Signature
from collectors.dmarc.fold import Fold
from collectors.dmarc.schema import RECORD_SLOTS, Action, Node, Slot

_END = re.compile(r"</(?:[A-Za-z_][\w.-]{0,60}:)?record[ \t\r\n]*>", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(r"<(/?)([A-Za-z_][\w.:-]{0,99})([^<>]*)>([^<>&]*)", re.ASCII)
_SPACE = r"[ \t\r\n]*+"
_TEXT = r"[^<>&\x7f-\xff]*+"
_OPEN = r"[^<>&\r\x7f-\xff]{0,1000}+"
_VALUE = f"({_OPEN})"
_AUTH = (Slot.AUTH_DOMAIN, Slot.AUTH_SELECTOR, Slot.AUTH_RESULT)
_HOLD = 65_536  # characters that wait for the end of their record
_FIRST = 8  # records that expat reads before the first pattern is made: making one costs as much as some fifty
_MOST = 12  # patterns
_ATTEMPTS = 24
_LONGEST = 16_384  # characters of a record that gives a pattern
_PATIENCE = 200  # records in vain
_MEMO = 5_000  # kinds of record that one pattern remembers
_TRIAL = 500  # after so many of them it has to have paid

_KNOWN_LENGTH = 4_000  # characters of a record that is remembered

_Place = tuple[int, int, int]  # groups of domain, selector, result; -1 for none


class _Run(NamedTuple):
    """Results of DKIM or SPF that stand one behind the other and are written alike: one group of the pattern."""

    group: int
    find: Callable[[str], list[Any]]  # the values of each
    place: _Place  # in one of them


class _Shape:
    """One pattern, and where its values belong."""

    def __init__(self, pattern: str, row: list[int], signatures: list[_Run], spf: list[_Run]) -> None:
        self._match = re.compile(pattern).match
        self._row, self._signatures, self._spf = row, signatures, spf
        self._ip, self._count = row[Slot.SOURCE_IP], row[Slot.COUNT]
        groups = re.compile(pattern).groups
        self._rest: Callable[[tuple[str, ...]], object] = itemgetter(
            *(at for at in range(groups) if at not in (self._ip, self._count))
        )
        self._known: dict[object, int] = {}  # the kind, by all values but address and count
        self._hits, self._memo = 0, _MEMO

    def take(self, text: str, at: int, draft: Draft) -> int:
        """Add every record that fits from there on; where the first other text begins."""
        match, rest, known, ip, count = self._match, self._rest, self._known, self._ip, self._count
        hits = 0
        while (found := match(text, at)) is not None:
            groups: tuple[str, ...] = found.groups()
            like = known.get(rest(groups)) if known else None
            if like is None or not draft.add_like(groups[ip], groups[count], like):
                self._add(groups, draft, known=found.end() - at <= _KNOWN_LENGTH)
            else:
                hits += 1
            at = found.end()
        self._hits += hits
        if len(known) > _TRIAL and self._hits < len(known):
            known.clear()  # values that differ from record to record are not worth their memory
            self._memo = 0
        return at

    def _add(self, groups: tuple[str, ...], draft: Draft, *, known: bool) -> None:
        padded = (*groups, "")  # so that -1 is ''
        before = len(draft.records)
        draft.add([padded[at] for at in self._row], _signed(padded, self._signatures), _signed(padded, self._spf))
        if known and len(draft.records) > before and len(self._known) < self._memo:
            self._known[self._rest(groups)] = draft.kind


def _signed(values: tuple[str, ...], runs: list[_Run]) -> list[Signature]:
    found: list[Signature] = []
    for group, find, place in runs:
        if place == (0, 1, 2):
            found += find(values[group])
        elif place == (0, -1, 1):
            found += [(domain, "", result) for domain, result in find(values[group])]
        else:
            found += [_placed(one, place) for one in find(values[group])]
    return found


def _placed(values: str | tuple[str, ...], place: _Place) -> Signature:
    # with fewer than two groups `findall` gives texts; one without any is a result that says nothing
    padded = (*values, "") if isinstance(values, tuple) else (values, "")
    return padded[place[0]], padded[place[1]], padded[place[2]]


def shape_of(text: str, feedback: Node, *, lenient: bool = False) -> _Shape | None:
    """The pattern of one whole record that stands in `feedback`; None when it is not plain enough for one.

    What says nothing that is kept (reasons, comments on a result) may be there any number of times, and so may the
    results of DKIM and SPF: that is what records of one reporter differ in.
    The lenient reader may take a known element out of an unknown one: no pattern comes from such a record."""
    text = text.lstrip(" \t\r\n")
    parts = [_SPACE]
    row, signatures, spf = [-1] * RECORD_SLOTS, list[_Run](), list[_Run]()
    path: list[tuple[str, Node, int, int]] = []  # with what it stands in, and the parts and groups before it
    node, at, groups, rows = feedback, 0, 0, 0
    ignored = Node()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or (at and not path):
            return None
        closing, name, attributes, value = token.groups()
        at = token.end()
        empty = attributes.endswith("/")
        if not closing:
            if node.slot >= 0:
                return None  # mark-up inside a value
            path.append((name, node, len(parts), groups))
            if node is ignored and lenient:
                return None
            node = node.get(name.rpartition(":")[2].lower(), ignored)
            if len(path) == 1 and node.slot != Action.RECORD:
                return None
            parts.append(re.escape(f"<{name}{attributes}>"))
            leaf = not empty and text.startswith("</", at)
            if leaf and node.slot >= 0:
                if row[node.slot] >= 0:
                    return None  # the same value twice
                row[node.slot] = groups
                groups += 1
                parts.append(_VALUE)
            elif leaf:
                parts.append(_TEXT)
            elif value.strip(" \t\r\n"):
                return None
            else:
                parts.append(_SPACE)
        if closing or empty:
            if not path or path[-1][0] != name:
                return None
            if closing:
                parts.append(re.escape(f"</{name}{attributes}>"))
            _, outer, begin, before = path.pop()
            whole = "".join(parts[begin:])
            if node.slot in (Action.DKIM, Action.SPF):
                place = tuple(row[slot] - before if row[slot] >= 0 else -1 for slot in _AUTH)
                row[Slot.AUTH_DOMAIN :] = [-1] * (RECORD_SLOTS - Slot.AUTH_DOMAIN)
                again = f"((?:{whole.replace(_VALUE, _OPEN)}{_SPACE})*+)"
                groups = before
                if parts[begin - 2 : begin] == [again, _SPACE]:
                    del parts[begin - 1 :]  # one more of the run
                else:
                    parts[begin:] = [again]
                    of = signatures if node.slot == Action.DKIM else spf
                    of.append(_Run(groups, re.compile(whole).findall, (place[0], place[1], place[2])))
                    groups += 1
            elif node.slot == Action.NONE and groups == before and path:
                parts[begin:] = [f"(?:{whole}{_SPACE})*+"]
            rows += node.slot == Action.ROW
            node = outer
            if closing:
                if value.strip(" \t\r\n"):
                    return None
                if path:
                    parts.append(_SPACE)
    if path or rows != 1 or groups < 4 or min(row[Slot.SOURCE_IP], row[Slot.COUNT]) < 0:
        return None
    return _Shape("".join(parts), row, signatures, spf)


class Reader(Protocol):
    """What reads everything that no pattern fits, calling the handlers of the Fold."""

    def give(self, text: bytes) -> None:
        """The next piece; what is unfinished at its end waits for more."""

    def at_rest(self) -> bool:
        """True when nothing of what was given waits to be read."""


class ShapedFeed:
    """Feeds a reader with what no pattern fits.  `lines` is what the reader has not seen of a file's lines."""

    def __init__(self, fold: Fold, reader: Reader, *, lenient: bool = False) -> None:
        self._fold = fold
        self._reader = reader
        self._lenient = lenient
        self._held = ""
        self._shapes: list[_Shape] = []
        self._attempts = self._vain = 0
        self._between = False
        self.lines = 0

    def feed(self, piece: bytes) -> None:
        """The next piece of the file."""
        if self._vain > _PATIENCE:
            self._reader.give(piece)
            return
        # one character a byte: what is not ASCII never fits and goes on as it came
        text = self._held + piece.decode("latin-1")
        self._held = ""
        at = self._read(text)
        if len(text) - at > _HOLD or self._vain > _PATIENCE:
            self._give(text[at:])
        else:
            self._held = text[at:]

    def end(self) -> None:
        """The file ends."""
        self._give(self._held)

    def _read(self, text: str) -> int:
        at = 0
        while self._vain <= _PATIENCE:
            if self._between and self._shapes:
                begin, at = at, self._fit(text, at)
                self.lines += text.count("\n", begin, at)
            ending = _END.search(text, at)
            if ending is None:
                break
            self._one(text[at : ending.end()])
            at = ending.end()
        return at

    def _fit(self, text: str, at: int) -> int:
        """Take records while some pattern fits; the one that fitted last is tried first."""
        draft, fitted = self._fold.drafts[-1], True
        before = draft.seen
        while fitted:
            fitted = False
            for place, shape in enumerate(self._shapes):
                after = shape.take(text, at, draft)
                if after > at:
                    at, fitted = after, True
                    self._vain = 0
                    if place:
                        self._shapes.insert(0, self._shapes.pop(place))
                    break
        self._fold.meter.grant(draft.seen - before)
        return at

    def _one(self, text: str) -> None:
        """To the reader, up to the end of a record; what was a whole record may give a pattern."""
        fold, ended, began_between = self._fold, self._fold.ended, self._between
        self._give(text)
        # all of it was read (the end tag might stand in a comment), and a record of the open report has ended
        self._between = fold.ended > ended and fold.between() and self._reader.at_rest()
        if not (self._between and began_between and fold.ended == ended + 1):
            return
        self._vain += bool(self._shapes) or self._attempts >= _ATTEMPTS
        if fold.ended > _FIRST and self._attempts < _ATTEMPTS and len(self._shapes) < _MOST and len(text) <= _LONGEST:
            self._attempts += 1
            shape = shape_of(text, fold.path()[-1], lenient=self._lenient)
            if shape is not None:
                self._shapes.insert(0, shape)

    def _give(self, text: str) -> None:
        self._between = False
        self._reader.give(text.encode("latin-1"))
