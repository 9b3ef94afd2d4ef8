"""Asks for the routes of domains that queued mail waits for, beside the loop that sends.

Contract: one pass at a time, LOOKUPS questions at once, so that a slow name server delays only the mail for its own
domains.  Streams that have a relay of their own are routed before the rest of a domain.  A domain without an answer is
asked for again when the router says so.  A domain that takes no mail is routed to itself: the line that claims its
mail asks again and settles it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from core.lane import Provider, Site
from core.ports import Clock, Queue
from sender.route import Router, Unroutable

logger = logging.getLogger("penstock.sender")
LOOKUPS = 32
DOMAINS = 500  # of one pass
ERROR_SECONDS = 1.0  # real seconds before a domain is asked for again after an error of ours


class Routing:
    """See the module.  `done()` is called after a pass, `due(at)` for a domain that is to be asked for again."""

    def __init__(
        self, queue: Queue, router: Router, clock: Clock, *, done: Callable[[], None], due: Callable[[float], None]
    ) -> None:
        self._queue = queue
        self._router = router
        self._clock = clock
        self._done = done
        self._due = due
        self._task: asyncio.Task[None] | None = None

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Begin a pass when there is something to ask and none is under way."""
        if self._task is None and (domains := await self._queue.unrouted(DOMAINS)):
            self._task = group.create_task(self._pass(domains), name="routing")

    def cancel(self) -> None:
        """Give up the pass under way; nothing is lost by it."""
        if self._task is not None:
            self._task.cancel()

    async def _pass(self, domains: list[str]) -> None:
        slots = asyncio.Semaphore(LOOKUPS)
        try:
            await asyncio.gather(*(self._ask(domain, slots) for domain in domains))
        finally:
            self._task = None
            self._done()

    async def _ask(self, domain: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            now = self._clock.now()
            try:
                for stream in self._router.relayed_streams:
                    fork = await self._router.route(domain, now, stream)
                    if not isinstance(fork, Unroutable) and fork.passage.relay:
                        await self._queue.route(domain, fork.provider, fork.site, stream=stream)
                found = await self._router.route(domain, now)
                if not isinstance(found, Unroutable):
                    await self._queue.route(domain, found.provider, found.site)
                elif found.permanent:
                    await self._queue.route(domain, Provider(f"other:{domain}"), Site(domain))
                else:
                    await self._queue.fail_domain(domain, now + found.retry_after)
                    self._due(now + found.retry_after)
            except Exception:
                logger.exception("no route for %s", domain)
                await self._clock.sleep(self._clock.real(ERROR_SECONDS))
