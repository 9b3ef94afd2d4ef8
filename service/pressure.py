"""How much is waiting and being worked on: what makes intake put callers off instead of falling over.

The queue's length is looked at once a second of real time; calls in between count only by their bytes in work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from config.model import IntakeLimits
from core.ports import Queue
from sender.intake import Overloaded

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1  # calls in work end within seconds


class Pressure:
    """See the module."""

    def __init__(self, queue: Queue, limits: IntakeLimits) -> None:
        self._queue = queue
        self._limits = limits
        self._queued = 0
        self._bytes = 0

    @property
    def queued(self) -> int:
        """Queued recipients, as of the last look."""
        return self._queued

    async def look(self) -> None:
        """Count."""
        self._queued = sum((await self._queue.depth()).values())

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    @contextmanager
    def taking(self, size: int) -> Iterator[None]:
        """Work on a body of `size` bytes.  Raises Overloaded when too much is in work; a body alone is always taken."""
        if self._bytes and self._bytes + size > self._limits.max_inflight_bytes:
            raise Overloaded(retry_after=_RETRY_SECONDS)
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size
