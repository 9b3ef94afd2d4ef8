"""Work that takes long, a little in each turn of the loop, so that whatever else is ready is never far from its turn.

Contract: of all who wait in `turn()`, PER_ROUND go on in each round of the event loop, in the order in which they came.
Composing and signing takes half a millisecond: thirty lines of a campaign that came to it in one round would keep a
receipt waiting for its next step for fifteen, and it has ten steps to go.  Costs a future a message.
"""

from __future__ import annotations

import asyncio
from collections import deque

PER_ROUND = 2


class Evenly:
    """See the module."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._going = False

    async def turn(self) -> None:
        """Wait for one's turn."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.append(mine)
        if not self._going:
            self._going = True
            loop.call_soon(self._round, loop)
        await mine

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        left = PER_ROUND
        while left and self._waiting:
            one = self._waiting.popleft()
            if not one.done():  # cancelled
                one.set_result(None)
                left -= 1
        self._going = bool(self._waiting)
        if self._going:
            loop.call_soon(self._round, loop)
