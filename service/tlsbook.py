"""Notes of TLS connections on their way into the event log: core.ports.SessionBook.

Contract: `note` takes a note at once and drops the oldest beyond MAX_WAITING: a note is for reports, and must cost the
mail nothing.  `run` writes them every WRITE_SECONDS real seconds; what a crash takes with it is missing in the report
of that day.  `flush` writes what waits.
"""

from __future__ import annotations

import asyncio
from collections import deque

from core.events import TlsNegotiated
from core.ports import EventLog
from core.tls import TlsSession

MAX_WAITING = 20_000
BATCH = 500
WRITE_SECONDS = 2.0


class TlsBook:
    """See the module."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: deque[TlsSession] = deque(maxlen=MAX_WAITING)

    def note(self, session: TlsSession) -> None:
        """See core.ports.SessionBook."""
        self._waiting.append(session)

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                await self._log.append(
                    [
                        TlsNegotiated(
                            at=s.at,
                            domain=s.domain,
                            host=s.host,
                            ip=s.ip,
                            facts=s.facts,
                            detail=s.detail,
                            source_ip=s.source_ip,
                        )
                        for s in batch
                    ]
                )
            except BaseException:
                self._waiting.extendleft(reversed(batch))
                raise
