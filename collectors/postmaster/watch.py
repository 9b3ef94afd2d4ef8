"""Polls the postmaster feeds, stores their observations, and knows which have fallen silent.

Contract: `look()` polls each feed whose time has come: the last days that are not settled yet, newest first, and what
holds now.  Bare rates get a denominator and a 95 % interval from our own deliveries to that provider on that day, where
we have any.  One feed's failure stops neither the others nor the poll after it; it is kept as the feed's health in Meta
and told by an alert.  A feed's defect (an answer that breaks its reader) is logged and counts as its failure.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import aiohttp

from collectors.postmaster.feed import Account, FeedRow
from collectors.postmaster.http import Refused
from core.errors import PenstockError
from core.lane import HOUR, day_of
from core.ports import Clock, Meta, Observations
from core.rates import wilson
from core.state import Observation

logger = logging.getLogger("penstock.feeds")
META = "feeds"
LOOK_BACK = 7  # days
# (provider, subject, day) → messages that we delivered there; 0 when we cannot tell
Volumes = Callable[[str, str, int], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """A feed in use.  `poll` in domain seconds."""

    row: FeedRow
    account: Account
    poll: float


@dataclass(slots=True, kw_only=True)
class FeedHealth:
    """What became of a feed's polls.  Instants in domain time, 0 for never; `settled` are days not asked for again."""

    name: str
    first: float = 0.0
    polled: float = 0.0
    newest_day: int = 0
    failing_since: float = 0.0
    refused: bool = False
    problem: str = ""
    unkept: str = ""  # a replaced secret that stands in no file
    settled: list[int] = field(default_factory=list)


class FeedWatch:
    """See the module."""

    def __init__(
        self,
        *,
        feeds: Sequence[Polled],
        session: aiohttp.ClientSession,
        store: Observations,
        volumes: Volumes,
        meta: Meta,
        clock: Clock,
    ) -> None:
        self._feeds = tuple(feeds)
        self._session = session
        self._store = store
        self._volumes = volumes
        self._meta = meta
        self._clock = clock

    async def health(self) -> dict[str, FeedHealth]:
        """Every feed's health by name, as last stored by whichever node polls."""
        known = _read(await self._meta.get(META))
        return {f.account.name: known.get(f.account.name, FeedHealth(name=f.account.name)) for f in self._feeds}

    async def look(self) -> None:
        """Poll what is due."""
        health = await self.health()
        for feed in self._feeds:
            mine = health[feed.account.name]
            now = self._clock.now()
            if mine.polled and now - mine.polled < feed.poll:
                continue
            mine.first = mine.first or now
            mine.polled = now
            await self._poll(feed, mine, now)
            await self._meta.put(META, _dump(health))

    async def _poll(self, feed: Polled, mine: FeedHealth, now: float) -> None:
        today = day_of(now)
        mine.settled = [day for day in mine.settled if day >= today - LOOK_BACK]
        try:
            if feed.row.state is not None:
                await self._store.put(await feed.row.state(self._session, feed.account, today))
            for day in range(today - 1, today - LOOK_BACK - 1, -1):
                if day not in mine.settled:
                    await self._day(feed, mine, day, today)
        except PenstockError as error:
            _failed(mine, str(error), now, refused=isinstance(error, Refused))
        except Exception as error:  # an answer of a form that nobody foresaw must not silence the other feeds
            logger.exception("feed %s failed", mine.name)
            _failed(mine, f"internal error ({type(error).__name__})", now, refused=False)
        else:
            mine.failing_since, mine.problem, mine.refused = 0.0, "", False
        mine.unkept = feed.account.unkept[:300]

    async def _day(self, feed: Polled, mine: FeedHealth, day: int, today: int) -> None:
        found = await feed.row.fetch(self._session, feed.account, day)
        await self._store.put([await self._with_volume(feed, one) for one in found])
        if found:
            mine.newest_day = max(mine.newest_day, day)
            if day < today - feed.row.lag_days:
                mine.settled.append(day)

    async def _with_volume(self, feed: Polled, one: Observation) -> Observation:
        if one.metric not in feed.row.bare_rates or one.counted:
            return one
        total = await self._volumes(feed.row.provider, one.subject, one.day)
        if total <= 0:
            return one
        return replace(one, counted=total, interval=wilson(round(one.value * total), total))


def _failed(mine: FeedHealth, problem: str, now: float, *, refused: bool) -> None:
    mine.problem, mine.refused = problem[:300], refused
    mine.failing_since = mine.failing_since or now
    logger.warning("feed %s: %s", mine.name, problem[:300])


def is_stale(health: FeedHealth, now: float, *, stale_days: float) -> bool:
    """A refused key, or one that a restart would lose, at once; any other failure after a day; silence when the newest
    figures are too old."""
    if health.refused or health.unkept:
        return True
    if health.failing_since and now - health.failing_since >= 24 * HOUR:
        return True
    if not health.first:
        return False
    newest = (health.newest_day + 1) * 24 * HOUR if health.newest_day else health.first
    return now - newest >= stale_days * 24 * HOUR


def _dump(health: dict[str, FeedHealth]) -> str:
    return json.dumps({name: asdict(one) for name, one in sorted(health.items())}, ensure_ascii=False)


def _read(text: str | None) -> dict[str, FeedHealth]:
    if not text:
        return {}
    try:
        stored: Any = json.loads(text)
        return {str(name): FeedHealth(**row) for name, row in stored.items()}
    except (ValueError, TypeError, AttributeError) as error:
        logger.warning("stored states of feeds cannot be read (%s): beginning anew", error)
        return {}
