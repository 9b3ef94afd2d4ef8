"""Mail that providers send back later (complaints, bounce mails, reports), kept until it is due in domain time.

Contract: `run` hands each mail to `deliver` at or after its time, in order of time, one by one.  When `deliver` raises
Unavailable the mail is tried again ten domain minutes later, at most `MAX_TRIES` times.  Bounded: above
`MAX_WAITING` the latest mail is dropped.  `dump`/`load` carry what waits over a restart.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from core.errors import Unavailable
from core.ports import Clock

MAX_WAITING = 2000
MAX_TRIES = 20
RETRY_AFTER = 600.0  # domain seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedMail:
    """One mail to us.  `mail_from` '' is the null sender; `from_ip` the loopback address it comes from."""

    mail_from: str
    rcpt_to: str
    content: bytes
    from_ip: str = ""
    tries: int = 0


class Outbox:
    """A queue ordered by domain time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, ReturnedMail]] = []
        self._serial = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, at: float, mail: ReturnedMail) -> None:
        """Keep `mail` until `at` (epoch seconds)."""
        if len(self._heap) >= MAX_WAITING:
            return
        self._serial += 1
        heapq.heappush(self._heap, (at, self._serial, mail))
        self._changed.set()

    def take(self, now: float) -> list[ReturnedMail]:
        """Remove and return what is due."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        return due

    async def run(self, deliver: Callable[[ReturnedMail], Awaitable[None]]) -> None:
        """Deliver for ever; ends only by cancellation or by an error of `deliver` other than Unavailable."""
        while True:
            self._changed.clear()
            for mail in self.take(self._clock.now()):
                try:
                    await deliver(mail)
                except Unavailable:
                    self._again(mail)
            timeout = None
            if self._heap:
                timeout = max(0.0, self._heap[0][0] - self._clock.now()) / self._clock.rate
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._changed.wait()

    def dump(self) -> list[Any]:
        """What waits, JSON-able, soonest first."""
        return [
            [at, m.mail_from, m.rcpt_to, base64.b64encode(m.content).decode(), m.from_ip, m.tries]
            for at, _, m in sorted(self._heap)[:500]
        ]

    def load(self, stored: list[Any]) -> None:
        """Take up what `dump` gave."""
        for at, mail_from, rcpt_to, content, from_ip, tries in stored:
            mail = ReturnedMail(
                mail_from=mail_from,
                rcpt_to=rcpt_to,
                content=base64.b64decode(content),
                from_ip=from_ip,
                tries=tries,
            )
            self.put(at, mail)

    def _again(self, mail: ReturnedMail) -> None:
        if mail.tries + 1 < MAX_TRIES:
            later = ReturnedMail(
                mail_from=mail.mail_from,
                rcpt_to=mail.rcpt_to,
                content=mail.content,
                from_ip=mail.from_ip,
                tries=mail.tries + 1,
            )
            self.put(self._clock.now() + RETRY_AFTER, later)
