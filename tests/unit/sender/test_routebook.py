"""Mail is queued at its place at once where the way is known; where it is not, the next mail finds it."""

from __future__ import annotations

import asyncio

from core.clock import SystemClock, VirtualClock
from core.lane import NO_SITE, UNROUTED
from core.ports import ResolverFailed
from core.state import MxHost
from sender.route import FRESH_SECONDS, STALE_SECONDS, Router
from sender.routebook import RouteBook
from tests.unit.sender.fakes import PROVIDERS, START, FakeResolver, virtually


def _resolver() -> FakeResolver:
    return FakeResolver(
        {"x.test": [MxHost(preference=1, host="mx.google.test")], "dark.test": ResolverFailed("no answer")}
    )


def test_an_unknown_way_is_asked_for_in_the_background_and_then_known_for_an_hour() -> None:
    async def story() -> None:
        clock, resolver = VirtualClock(START), _resolver()
        book = RouteBook(Router(resolver, PROVIDERS), clock)
        running = asyncio.ensure_future(book.run())
        assert book.way("x.test", "bulk") == (UNROUTED, NO_SITE)
        assert book.way("dark.test", "bulk") == (UNROUTED, NO_SITE)
        await clock.sleep(1)
        assert book.way("x.test", "bulk") == ("gmail", "mx.google.test")
        assert book.way("dark.test", "bulk") == (UNROUTED, NO_SITE), "and the others are asked for all the same"
        await clock.sleep(FRESH_SECONDS + 1)
        assert book.way("x.test", "bulk") == ("gmail", "mx.google.test"), "known, and asked for again meanwhile"
        await clock.sleep(STALE_SECONDS - 30)
        assert book.way("x.test", "bulk") == ("gmail", "mx.google.test")
        await clock.sleep(1)
        await clock.sleep(STALE_SECONDS + 1)
        assert book.way("x.test", "bulk") == (UNROUTED, NO_SITE)
        running.cancel()

    virtually(story)


def test_the_clock_of_a_service_will_do() -> None:
    assert RouteBook(Router(_resolver(), PROVIDERS), SystemClock()).way("x.test", "bulk") == (UNROUTED, NO_SITE)
