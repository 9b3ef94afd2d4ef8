"""What the limits let one line do: messages and openings that were granted to it and are not used yet.

Contract: a message that a rate granted is begun within GRANT_SECONDS or given back, so that a slow host cannot save up
what others might have used.  Without limits nothing is asked of anybody.
"""

from __future__ import annotations

import math

from core.messages import QueueGroup
from core.ports import Clock
from sender.board import kind_of
from sender.limiting.book import NO_BOUNDS, Bounds, LimitBook

GRANT_SECONDS = 5.0  # real seconds


class NotNow(Exception):
    """A limit of ours forbids to open a connection."""


class Grants:
    """See the module.  `bounds` are those of the mail in hand."""

    def __init__(self, book: LimitBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self._until = math.inf
        self._may_open = False
        self.bounds: Bounds = NO_BOUNDS

    async def opening(self) -> bool:
        """May a connection be opened?  A yes that was not used holds on."""
        self._may_open = self._may_open or await self._book.open(self.bounds, self._clock.now())
        return self._may_open

    async def use_opening(self) -> None:
        """Right before a connection is opened.  Raises NotNow."""
        if not await self.opening():
            raise NotNow
        self._may_open = False

    async def messages(self, group: QueueGroup, wanted: int, now: float) -> int:
        """How many of so many messages may be claimed now."""
        if not self.bounds.messages:
            self._until = math.inf
            return wanted
        self._until = now + self._clock.real(GRANT_SECONDS)
        return await self._book.take(self.bounds, kind_of(group), group.priority, wanted, now)

    async def give_back(self, bounds: Bounds, unused: int) -> None:
        """So many were not begun after all."""
        if bounds.messages and unused > 0:
            await self._book.give_back(bounds, unused)

    def are_stale(self, now: float) -> bool:
        """What was granted has not been used in time."""
        return now > self._until
