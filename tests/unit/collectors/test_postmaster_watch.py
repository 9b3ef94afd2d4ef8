"""Polling feeds: what is asked again and what is settled, own volumes, failures, silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest

from collectors.postmaster.feed import Account, FeedRow
from collectors.postmaster.http import Refused
from collectors.postmaster.watch import LOOK_BACK, META, FeedHealth, FeedWatch, Polled, is_stale
from core.clock import FixedClock
from core.errors import Unavailable
from core.lane import day_of
from core.state import Observation
from tests.unit.collectors.watch_meta import MemoryMeta

NOW = 1_764_072_000.0
TODAY = day_of(NOW)
HOUR = 3600.0


class Shelf:
    """core.ports.Observations in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str, int], Observation] = {}

    async def put(self, observations: Sequence[Observation]) -> None:
        for one in observations:
            self.rows[one.feed, one.subject, one.metric, one.day] = one

    async def page(
        self, *, feed: str = "", subject: str = "", metric: str = "", since_day: int = 0, limit: int = 500
    ) -> list[Observation]:
        return list(self.rows.values())


class World:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.clock = FixedClock(NOW)
        self.shelf = Shelf()
        self.meta = MemoryMeta()
        self.asked: list[int] = []
        self.failure: Exception | None = None
        self.lags = 1  # youngest day with figures, in days before today
        self.others = 0
        row = FeedRow(
            kind="x", provider="gmail", url="", fetch=self._fetch, state=self._state, lag_days=2,
            bare_rates=frozenset({"spam_rate"}),
        )  # fmt: skip
        steady = FeedRow(kind="y", provider="mailru", url="", fetch=self._other)
        self.watch = FeedWatch(
            feeds=[
                Polled(row=row, account=_account("x"), poll=6 * HOUR),
                Polled(row=steady, account=_account("y"), poll=6 * HOUR),
            ],
            session=session, store=self.shelf, volumes=self._volumes, meta=self.meta, clock=self.clock,
        )  # fmt: skip

    async def _fetch(self, session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
        self.asked.append(day)
        if self.failure is not None:
            raise self.failure
        if day > day_of(self.clock.now()) - self.lags:
            return []
        return [Observation(feed="x", subject="news.example", metric="spam_rate", day=day, value=0.002)]

    async def _state(self, session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
        return [Observation(feed="x", subject="news.example", metric="compliance.spf", day=day, value=1.0)]

    async def _other(self, session: aiohttp.ClientSession, account: Account, day: int) -> list[Observation]:
        self.others += 1
        return []

    async def _volumes(self, provider: str, subject: str, day: int) -> int:
        assert provider == "gmail"
        return 1000 if day == TODAY - 1 else 0

    async def health(self) -> FeedHealth:
        return (await self.watch.health())["x"]


def _account(name: str) -> Account:
    return Account(name=name, subjects=(), secret="", url="", token_url="")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as session:
        yield World(session)


async def test_young_days_are_asked_again_and_settled_ones_never(world: World) -> None:
    await world.watch.look()
    assert world.asked == list(range(TODAY - 1, TODAY - LOOK_BACK - 1, -1))
    await world.watch.look()
    assert len(world.asked) == LOOK_BACK, "its time has not come"
    world.asked.clear()
    world.clock.advance(6 * HOUR)
    await world.watch.look()
    assert world.asked == [TODAY - 1, TODAY - 2]
    assert (await world.health()).newest_day == TODAY - 1
    assert ("x", "news.example", "compliance.spf", TODAY) in world.shelf.rows


async def test_a_bare_rate_gets_an_interval_from_our_own_deliveries_where_there_were_any(world: World) -> None:
    await world.watch.look()
    rows = world.shelf.rows
    yesterday, before = (rows["x", "news.example", "spam_rate", TODAY - back] for back in (1, 2))
    assert yesterday.counted == 1000
    assert yesterday.interval is not None
    assert yesterday.interval[0] < 0.002 < yesterday.interval[1]
    assert (before.counted, before.interval) == (0, None)


@pytest.mark.parametrize("failure", [Unavailable("no answer"), Refused("token revoked"), KeyError("surprise")])
async def test_a_failure_is_kept_does_not_stop_the_others_and_ends_with_the_next_success(
    world: World, failure: Exception
) -> None:
    world.failure = failure
    await world.watch.look()
    health = await world.health()
    assert (health.failing_since, health.refused) == (NOW, isinstance(failure, Refused))
    assert health.problem
    assert "surprise" not in health.problem
    assert world.others == LOOK_BACK
    world.failure = None
    world.clock.advance(6 * HOUR)
    await world.watch.look()
    assert (await world.health()).failing_since == 0


async def test_a_state_that_cannot_be_read_begins_anew(world: World) -> None:
    world.meta.values[META] = '{"x": {"unknown": 1}}'
    await world.watch.look()
    assert (await world.health()).newest_day == TODAY - 1


@pytest.mark.parametrize(
    ("health", "stale"),
    [
        (FeedHealth(name="x"), False),
        (FeedHealth(name="x", first=NOW - HOUR), False),
        (FeedHealth(name="x", first=NOW - 5 * 24 * HOUR), True),
        (FeedHealth(name="x", first=1, newest_day=TODAY - 2), False),
        (FeedHealth(name="x", first=1, newest_day=TODAY - 6), True),
        (FeedHealth(name="x", first=1, newest_day=TODAY - 1, failing_since=NOW - HOUR), False),
        (FeedHealth(name="x", first=1, newest_day=TODAY - 1, failing_since=NOW - 25 * HOUR), True),
        (FeedHealth(name="x", first=1, newest_day=TODAY - 1, failing_since=NOW - 1, refused=True), True),
    ],
)
def test_a_feed_is_stale_when_refused_failing_for_a_day_or_without_new_figures(health: FeedHealth, stale: bool) -> None:
    assert is_stale(health, NOW, stale_days=4) is stale


def test_a_secret_that_stands_in_no_file_is_told_at_once() -> None:
    health = FeedHealth(name="x", first=NOW, polled=NOW, newest_day=TODAY, unkept="cannot be written")
    assert is_stale(health, NOW, stale_days=9)
    assert not is_stale(FeedHealth(name="x", first=NOW, polled=NOW, newest_day=TODAY), NOW, stale_days=9)
