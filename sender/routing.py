"""Asks for the routes of domains that queued mail waits for, beside the loop that sends.

Contract: LOOKUPS questions at once, each by itself, so that neither a slow name server nor a long line of mail that is
moved to its group delays mail for other domains.  Streams that have a relay of their own are routed before the rest of
a domain.  A domain without an answer is asked for again when the router says so.  A domain that takes no mail is routed
to itself: the line that claims its mail asks again and settles it.
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
DOMAINS = 100  # looked at in one go
ERROR_SECONDS = 1.0  # real seconds before a domain is asked for again after an error of ours


class Routing:
    """See the module.  `done()` is called when a domain has its route, `due(at)` for one that is asked for again."""

    def __init__(
        self, queue: Queue, router: Router, clock: Clock, *, done: Callable[[], None], due: Callable[[float], None]
    ) -> None:
        self._queue = queue
        self._router = router
        self._clock = clock
        self._done = done
        self._due = due
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Ask for domains that nobody asks for yet, as far as there is room."""
        if len(self._tasks) >= LOOKUPS:
            return
        for domain in await self._queue.unrouted(DOMAINS):
            if len(self._tasks) >= LOOKUPS:
                return
            if domain not in self._tasks:
                self._tasks[domain] = group.create_task(self._ask(domain), name=f"routing {domain}")

    def cancel(self) -> None:
        """Give up what is under way; nothing is lost by it."""
        for task in self._tasks.values():
            task.cancel()

    async def _ask(self, domain: str) -> None:
        try:
            await self._route(domain)
        finally:
            self._tasks.pop(domain, None)
            self._done()

    async def _route(self, domain: str) -> None:
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
