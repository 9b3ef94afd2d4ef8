"""Writes outcomes, many in one transaction, none held back.

Contract: `put` takes a settlement over; it is written as soon as the write before it has ended, together with whatever
came in meanwhile (group commit), so an outcome waits for nothing but the disk; while many come, two writes begin at
least GATHER seconds apart, and claims that can wait go with them (`beat`).  A write that fails is tried again until
it goes through: an outcome that was lost would mean a second mail to the same person.  Meanwhile `room` lets no one
send on: with more than MAX_WAITING outcomes unwritten, sending stops.  `give_back` releases mail that was not sent, as
soon as storage can take it: a receipt shall not wait for the end of its lease because the database was away a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from core.errors import PenstockError
from core.messages import Leased
from core.ports import Clock, Queue
from core.state import Settlement

logger = logging.getLogger("penstock.sender")
MAX_WAITING = 100
BATCH = 200
FULL = 48  # outcomes that are written before GATHER is over
GATHER = 0.06  # real seconds; a commit costs as much as sending three messages, so one an outcome would halve the rate
_FIRST_WAIT = 0.1  # real seconds
_LONGEST_WAIT = 5.0


class Settler:
    """See the module."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._waiting: list[Settlement] = []
        self._unsent: list[Leased] = []  # that storage could not take back yet
        self._writing = 0
        self._came = asyncio.Event()
        self._written = asyncio.Event()
        self._written.set()
        self._beat: asyncio.Future[None] | None = None  # while outcomes are gathered

    @property
    def unwritten(self) -> int:
        """Outcomes that are not durable yet."""
        return len(self._waiting) + self._writing

    def put(self, settlement: Settlement) -> None:
        """Take over one outcome."""
        self._waiting.append(settlement)
        if len(self._waiting) >= FULL:
            self._end_gathering()
        self._came.set()
        self._written.clear()

    async def give_back(self, leases: Sequence[Leased]) -> None:
        """Release what was not sent, now or with the next write that goes through."""
        try:
            await self._queue.release(leases)
        except PenstockError:
            self._unsent += leases
            self._came.set()

    async def room(self) -> None:
        """Return when few enough outcomes are unwritten, or those of a moment ago are."""
        while self.unwritten >= MAX_WAITING:
            self._written.clear()
            await self._written.wait()

    async def beat(self) -> None:
        """Return when the next write begins, at once when none is gathered for: what is asked of the database then
        shares its commit."""
        if self._beat is not None:
            await asyncio.shield(self._beat)

    def hurry(self) -> None:
        """Something more urgent wants the places of those who wait for the beat: write now."""
        self._end_gathering()

    async def _gather(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        self._beat = loop.create_future()
        timer = loop.call_at(until, self._end_gathering)
        try:
            await asyncio.shield(self._beat)
        finally:
            timer.cancel()
            self._end_gathering()

    def _end_gathering(self) -> None:
        if self._beat is not None:
            self._beat.set_result(None)
            self._beat = None

    async def run(self) -> None:
        """Write for ever."""
        wait = _FIRST_WAIT
        loop = asyncio.get_running_loop()
        again = 0.0
        while True:
            await self._came.wait()
            if loop.time() < again and len(self._waiting) < FULL:
                await self._gather(loop, again)
            again = loop.time() + GATHER
            batch = self._waiting[:BATCH]
            del self._waiting[: len(batch)]
            self._writing = len(batch)
            unsent, self._unsent = self._unsent, []
            try:
                await self._queue.settle(batch)
                if unsent:
                    await self._queue.release(unsent)
            except asyncio.CancelledError:
                self._waiting[:0] = batch  # written twice is harmless, not at all is not
                self._unsent += unsent
                self._writing = 0
                raise
            except Exception:
                # whatever it is, dropping the outcome is worse than repeating the write
                self._waiting[:0] = batch
                self._unsent += unsent
                self._writing = 0
                # at length once, not at every try of a long outage
                logger.error(
                    "%d outcomes could not be written; sending holds until they are", len(batch),
                    exc_info=wait == _FIRST_WAIT,
                )  # fmt: skip
                await self._clock.sleep(self._clock.real(wait))
                wait = min(_LONGEST_WAIT, wait * 2)
                continue
            wait = _FIRST_WAIT
            self._writing = 0
            if not self._waiting and not self._unsent:
                self._came.clear()
            self._written.set()

    async def drained(self) -> None:
        """Return when everything is written."""
        while self.unwritten:
            self._written.clear()
            await self._written.wait()
