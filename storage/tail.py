"""The end of the event log, read and parsed once for all who follow it in this process.

Contract: a run of the log without holes: every event of any process with begin < seq <= end, but for those beyond MOST,
which the oldest make room for.  It is whole because `seq` rises in commit order (storage.pending), so nothing can turn
up later between two events that were read together.  One event loop; never does I/O.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

from core.events import Logged

MOST = 6000  # events of one or two kilobytes; followers that look every two seconds find here what 1,500/s append
_SEQ = attrgetter("seq")


class Tail:
    """See the module."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._rows: list[Logged] = []
        self.begin = self.end = 0

    def after(self, seq: int, limit: int) -> list[Logged] | None:
        """The first events after `seq` that are known, at most `limit`; None where nobody can tell from here."""
        if not self.begin <= seq <= self.end:
            return None
        at = bisect_right(self._rows, seq, key=_SEQ)
        return self._rows[at : at + limit]

    def extend(self, seq: int, rows: Sequence[Logged]) -> None:
        """Take in what one look found right after `seq`.  Older than the end: left alone.  Beyond it: begins anew."""
        if not rows or rows[-1].seq <= self.end:
            return
        if not self.begin <= seq <= self.end:
            self._rows, self.begin, self.end = [], seq, seq
        self._rows += rows[bisect_right(rows, self.end, key=_SEQ) :]
        self.end = rows[-1].seq
        if (beyond := len(self._rows) - self._most) > 0:
            self.begin = self._rows[beyond - 1].seq
            del self._rows[:beyond]
