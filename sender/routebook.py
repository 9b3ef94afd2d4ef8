"""Ways that are known when mail comes in, so that it is queued at its place at once.

Contract: a look costs nothing and asks nobody; a domain without a known way is noted and asked for in the background,
so that the next mail finds it.  Mail that is queued without a way is routed later (`sender.routing`): the book saves a
transaction and a wait for nearly all mail, nothing depends on it.  At most MAX_WANTED domains are noted.
"""

from __future__ import annotations

import asyncio
import logging

from core.lane import NO_SITE, UNROUTED, Provider, Site
from core.ports import Clock
from sender.route import Router

logger = logging.getLogger("penstock.sender")
MAX_WANTED = 1000
LOOKUPS = 16  # questions at once


class RouteBook:
    """See the module."""

    def __init__(self, router: Router, clock: Clock) -> None:
        self._router = router
        self._clock = clock
        self._wanted: dict[str, None] = {}
        self._came = asyncio.Event()

    def way(self, domain: str, stream: str) -> tuple[Provider, Site]:
        """Provider and site of a stream's mail to a domain; UNROUTED when they are not known."""
        known = self._router.known(domain, self._clock.now(), stream)
        if (known is None or not known[2]) and len(self._wanted) < MAX_WANTED:
            self._wanted[domain] = None
            self._came.set()
        return known[:2] if known is not None else (UNROUTED, NO_SITE)

    async def run(self) -> None:
        """Ask for what is wanted, for ever."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._wanted:
                domains = list(self._wanted)[:LOOKUPS]
                for domain in domains:
                    del self._wanted[domain]
                for found in await asyncio.gather(*map(self._ask, domains), return_exceptions=True):
                    if isinstance(found, Exception):
                        logger.error("a way was not found beforehand: %s", found)

    async def _ask(self, domain: str) -> None:
        await self._router.route(domain, self._clock.now())


def no_way(_domain: str, _stream: str) -> tuple[Provider, Site]:
    """No book: all mail is routed later."""
    return UNROUTED, NO_SITE
