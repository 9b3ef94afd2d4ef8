"""Records of a DMARC report, held close: a long report has 150,000, and most of them say the same of another address.

Contract: a sequence of `DmarcRecord`, in order, that makes each when it is asked for.  Held are the address as ASCII,
the count, and the number of the *kind*: everything else that a record says, once for all records that say the same.
It takes some 30 bytes a record where objects take 200.  Equal to any sequence of equal records.
`rows` and `kinds` give the parts without making objects, for whoever reads all of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import overload

from core.state import DmarcRecord

Kind = tuple[str, ...]  # the fields of a DmarcRecord from `disposition` on, in order
_APART = "\x1f"  # between the fields of a kind: values of reports hold no control characters
_INTERNED = 10_000  # kinds that are looked for; beyond that each record brings its own


class DmarcRecords(Sequence[DmarcRecord]):
    """See the module."""

    __slots__ = ("_addresses", "_counts", "_ends", "_known", "_of", "_texts")

    def __init__(self, records: Iterable[DmarcRecord] = ()) -> None:
        self._addresses = bytearray()
        self._ends = array("Q", (0,))
        self._counts = array("q")
        self._of = array("I")
        self._texts: list[str] = []
        self._known: dict[str, int] = {}
        for r in records:
            self.add(
                r.source_ip, r.count,
                self.kind(
                    r.disposition, r.dkim, r.spf, r.header_from, r.envelope_from, r.dkim_domain, r.dkim_selector,
                    r.dkim_result, r.spf_domain, r.spf_result,
                ),
            )  # fmt: skip

    def kind(self, *fields: str) -> int:
        """The number of a kind for `add`; the fields hold no control characters."""
        text = _APART.join(fields)
        number = self._known.get(text)
        if number is None:
            number = len(self._texts)
            self._texts.append(text)
            if number < _INTERNED:
                self._known[text] = number
        return number

    def add(self, address: str, count: int, kind: int) -> None:
        """One record more.  `address` is a valid one, `count` below 2⁶³."""
        self._addresses += address.encode("ascii")
        self._ends.append(len(self._addresses))
        self._counts.append(count)
        self._of.append(kind)

    @property
    def messages(self) -> int:
        """What all records count."""
        return sum(self._counts)

    @property
    def aligned(self) -> int:
        """What the records count that pass DMARC."""
        good = bytearray("pass" in text.split(_APART, 3)[1:3] for text in self._texts)
        return sum(compress(self._counts, map(good.__getitem__, self._of)))

    def rows(self, start: int = 0, end: int | None = None) -> Iterator[tuple[str, int, Kind]]:
        """(address, count, kind) of each record from `start` to before `end`."""
        split: dict[int, Kind] = {}
        ends, addresses, texts = self._ends, self._addresses, self._texts
        for at in range(start, len(self) if end is None else min(end, len(self))):
            number = self._of[at]
            kind = split.get(number)
            if kind is None:
                kind = tuple(texts[number].split(_APART))
                if len(split) < 1000:
                    split[number] = kind
            yield addresses[ends[at] : ends[at + 1]].decode("ascii"), self._counts[at], kind

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[DmarcRecord]:
        return (DmarcRecord.of(*row) for row in self.rows())

    @overload
    def __getitem__(self, at: int) -> DmarcRecord: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[DmarcRecord, ...]: ...
    def __getitem__(self, at: int | slice) -> DmarcRecord | tuple[DmarcRecord, ...]:
        if isinstance(at, slice):
            start, end, step = at.indices(len(self))
            if step != 1:
                raise ValueError("records are taken one after the other")
            return tuple(DmarcRecord.of(*row) for row in self.rows(start, end))
        place = range(len(self))[at]
        return DmarcRecord.of(*next(self.rows(place, place + 1)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"DmarcRecords({list(self)!r})"


def packed(records: Sequence[DmarcRecord]) -> DmarcRecords:
    """The same records, held close."""
    return records if isinstance(records, DmarcRecords) else DmarcRecords(records)
