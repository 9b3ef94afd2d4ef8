"""Watches many seed mailboxes at once: each has a task that looks, waits for news, and looks again.

Contract: `run()` goes on until it is cancelled, and closes every mailbox then.  One mailbox's trouble is its own: the
others neither wait for it nor notice.  At most `PER_HOST` mailboxes of one host are looked into at the same moment, so
that a host that hangs cannot take every thread and none sees a crowd.  Starts are spread.  `busy()` says whether a
test is under way: looks are `poll_seconds` apart then, else `quiet_seconds`, unless the server tells of new mail.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from random import Random

from collectors.placement.watch import SeedWatcher
from core.errors import PenstockError
from core.ports import MailboxSource

logger = logging.getLogger("penstock.seeds")
PER_HOST = 8
SPREAD = 0.05  # real seconds between the first looks of two mailboxes
LEAST = 0.2  # real seconds between two looks of one
_CLOSE_SECONDS = 5.0
_SETTLE_SECONDS = 2.0


class Patrol:
    """See the module.  `close` ends one mailbox's connection."""

    def __init__(
        self,
        watcher: SeedWatcher,
        *,
        poll_seconds: float,
        quiet_seconds: float,
        busy: Callable[[], bool] = lambda: True,
        host_of: Callable[[MailboxSource], str] = lambda source: source.mailbox.rpartition("@")[2],
        close: Callable[[MailboxSource], Awaitable[None]] | None = None,
        random: Random | None = None,
    ) -> None:
        self._watcher = watcher
        self._poll, self._quiet = poll_seconds, max(poll_seconds, quiet_seconds)
        self._busy = busy
        self._host_of = host_of
        self._close = close
        self._random = random or Random()
        self._roused: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def rouse(self) -> None:
        """A test began: mailboxes that wait long look sooner."""
        for event in self._roused.values():
            event.set()

    async def run(self) -> None:
        """Watch."""
        slots: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(PER_HOST))
        try:
            async with asyncio.TaskGroup() as group:
                for number, source in enumerate(self._watcher.sources):
                    group.create_task(self._watch(source, slots[self._host_of(source)], number * SPREAD))
                group.create_task(self._settle())
        finally:
            if self._close is not None:
                closing = [self._close(source) for source in self._watcher.sources]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_SECONDS):
                        await asyncio.gather(*closing, return_exceptions=True)

    async def _watch(self, source: MailboxSource, slots: asyncio.Semaphore, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            async with slots:
                try:
                    await self._watcher.look_into(source)
                except PenstockError as error:  # storage: what was found is found again
                    logger.warning("%s: %s", source.mailbox, error)
            await asyncio.sleep(LEAST * (1 + self._random.random()))
            await self._wait(source)

    async def _wait(self, source: MailboxSource) -> None:
        seconds = (self._poll if self._busy() else self._quiet) * (0.9 + 0.2 * self._random.random())
        roused = self._roused[source.mailbox]
        roused.clear()
        await source.wait(seconds, roused)

    async def _settle(self) -> None:
        while True:
            await asyncio.sleep(_SETTLE_SECONDS)
            try:
                await self._watcher.settle()
            except PenstockError as error:
                logger.warning("seed mails wait to be placed: %s", error)
