"""Counts of replies in sliding windows, in this process and as others told theirs.  Pure bookkeeping.

Contract: a window is cut into SLOTS slices; a sum takes the slice under way and the SLOTS - 1 before it, so it never
holds a reply older than the window and leaves out at most a sixtieth of it.  Answers (the denominator) are told to
others only where something was hit: a sender of ten thousand small sites has nothing to tell about them.  A process
tells hits and answers of a series together, so a share is never made of one process's hits and another's answers alone.
Bounded: MAX_SERIES series, the least used is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from core.reaction import Count

SLOTS = 60
MAX_SERIES = 20_000


def slot_seconds(window: float) -> float:
    """Length of a slice of this window."""
    return window / SLOTS


@dataclass(slots=True)
class _Series:
    length: float  # seconds of a slice
    own: dict[int, int] = field(default_factory=dict)
    others: dict[tuple[int, str], int] = field(default_factory=dict)
    shared: bool = False
    fresh: set[int] = field(default_factory=set)  # slices that others do not know yet


class Tally:
    """See the module.  `writer` is this process's name."""

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._series: OrderedDict[str, _Series] = OrderedDict()
        self._fresh: set[str] = set()

    def add(self, name: str, length: float, now: float) -> None:
        """One reply of a series."""
        series = self._of(name, length)
        slot = int(now // length)
        own = series.own
        own[slot] = own.get(slot, 0) + 1
        if len(own) > 2 * SLOTS:
            _prune(series, slot)
        if series.shared:
            series.fresh.add(slot)
            self._fresh.add(name)

    def sum(self, name: str, now: float) -> int:
        """How many in the window that ends now."""
        series = self._series.get(name)
        if series is None:
            return 0
        last = int(now // series.length)
        first = last - SLOTS
        return sum(n for slot, n in series.own.items() if first < slot <= last) + sum(
            n for (slot, _), n in series.others.items() if first < slot <= last
        )

    def share(self, name: str, length: float) -> None:
        """From now on others hear of this series, and of what it holds already."""
        series = self._of(name, length)
        if not series.shared:
            series.shared = True
            series.fresh.update(series.own)
            if series.fresh:
                self._fresh.add(name)

    def untold(self) -> list[Count]:
        """What others do not know yet; it counts as told."""
        found = []
        for name in self._fresh:
            series = self._series.get(name)
            if series is not None:
                found += [
                    Count(writer=self._writer, series=name, slot=slot, n=series.own[slot])
                    for slot in sorted(series.fresh)
                    if slot in series.own
                ]
                series.fresh.clear()
        self._fresh.clear()
        return found

    def not_told(self, counts: Iterable[Count]) -> None:
        """These could not be told after all."""
        for one in counts:
            series = self._series.get(one.series)
            if series is not None:
                series.fresh.add(one.slot)
                self._fresh.add(one.series)

    def hear(self, count: Count, length: float) -> None:
        """What a process told: another, or an earlier life of this one."""
        series = self._of(count.series, length)
        series.shared = True
        if count.writer == self._writer:
            series.own[count.slot] = max(count.n, series.own.get(count.slot, 0))
            return
        series.others[count.slot, count.writer] = count.n
        if len(series.others) > 64 * SLOTS:
            _prune(series, max(slot for slot, _ in series.others))

    def names(self) -> Iterator[str]:
        """Every series."""
        return iter(self._series)

    def _of(self, name: str, length: float) -> _Series:
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = _Series(length)
            if len(self._series) > MAX_SERIES:
                forgotten, _ = self._series.popitem(last=False)
                self._fresh.discard(forgotten)
        else:
            self._series.move_to_end(name)
        return series


def _prune(series: _Series, last: int) -> None:
    first = last - SLOTS
    series.own = {slot: n for slot, n in series.own.items() if slot > first}
    series.others = {key: n for key, n in series.others.items() if key[0] > first}
    series.fresh &= series.own.keys()
