"""The instants at which something becomes due, as far as this process knows.

Contract: pure.  Instants are rounded up to whole seconds, so that a million retries are a few thousand entries.
"""

from __future__ import annotations

import heapq
import math


class Agenda:
    """See the module."""

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._known: set[int] = set()

    def add(self, at: float, now: float) -> None:
        """Note an instant; the past is ignored."""
        second = math.ceil(at)
        if at > now and second not in self._known:
            self._known.add(second)
            heapq.heappush(self._heap, second)

    def arrived(self, now: float) -> bool:
        """True when one or more instants have come since the last call; they are forgotten."""
        came = False
        while self._heap and self._heap[0] <= now:
            self._known.discard(heapq.heappop(self._heap))
            came = True
        return came

    def next(self) -> float:
        """The first instant to come; infinity when none is known."""
        return float(self._heap[0]) if self._heap else math.inf
