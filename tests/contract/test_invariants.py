"""Whatever is done in whatever order: every accepted recipient is in exactly one place, and every figure is true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from core.events import Accepted, Bounced, Delivered, Dropped, SuppressionAdded
from core.lane import day_of
from core.messages import Leased, Node, Submission
from core.tokens import MessageId
from storage.queue import SqlQueue
from storage.stores import Stores, open_stores
from tests.contract.postgres import Postgres
from tests.contract.samples import (
    GMAIL,
    GMAIL_SITE,
    NOW,
    bounced,
    deferred,
    delivered,
    group_of,
    submission,
    suppression,
    take_in,
    wish,
)

CAP = 6
CAMPAIGNS = ("a", "b")
DOMAINS = ("x.test", "y.test")
_SMALL = st.integers(0, 3)
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["accept", "accept_unrouted", "route", "put_off", "claim", "claim", "claim", "deliver", "bounce", "defer",
             "release", "crash", "recover", "expire", "extend", "suppress", "pass_time", "settle_lost"]
        ),
        _SMALL,
        _SMALL,
    ),
    min_size=12,
    max_size=50,
)  # fmt: skip


@dataclass
class World:
    """What the test knows besides the database."""

    stores: Stores
    queue: SqlQueue
    now: float = NOW
    accepted: list[Submission] = field(default_factory=list)
    held: list[Leased] = field(default_factory=list)
    lost: list[Leased] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)  # suppressed addresses

    async def accept(self, a: int, b: int, *, routed: bool = True) -> None:
        rows = [
            submission(
                f"U{len(self.accepted) + n}@{DOMAINS[b % 2]}", routed=routed, campaign=CAMPAIGNS[a % 2], at=self.now,
                body_id=f"body{len(self.accepted)}", lives=4000.0, priority=b % 2,
            )
            for n in range(a + 1)
        ]  # fmt: skip
        self.accepted += await take_in(self.stores, rows)

    async def accept_unrouted(self, a: int, b: int) -> None:
        await self.accept(a, b, routed=False)

    async def route(self, a: int, b: int) -> None:
        for domain in await self.queue.unrouted(a + 1):
            await self.queue.route(domain, GMAIL, GMAIL_SITE)

    async def put_off(self, a: int, b: int) -> None:
        await self.queue.fail_domain(DOMAINS[a % 2], self.now + 600 * b)

    async def claim(self, a: int, b: int) -> None:
        caps = (("lane:x", day_of(self.now), CAP),)
        sample = submission(campaign=CAMPAIGNS[a % 2], priority=b % 2)
        got = await self.queue.claim(wish(sample, fresh=a, retries=b, now=self.now, allowances=caps, holds=900))
        assert len(got) <= a + b
        assert not {x.submission.message_id for x in got} & {x.submission.message_id for x in self.held}
        assert not {x.submission.recipient.lower() for x in got} & self.refused
        self.held += got

    async def deliver(self, a: int, b: int) -> None:
        await self._settle(delivered, a)

    async def bounce(self, a: int, b: int) -> None:
        await self._settle(bounced, a)

    async def defer(self, a: int, b: int) -> None:
        await self._settle(deferred, a)

    async def release(self, a: int, b: int) -> None:
        await self.queue.release(self.held[: a + 1], retry_at=self.now + 400 * b if b else 0.0)
        del self.held[: a + 1]

    async def crash(self, a: int, b: int) -> None:
        self.lost, self.held = self.held, []
        self.queue = SqlQueue(self.stores.db)
        await self.recover(a, b)

    async def recover(self, a: int, b: int) -> None:
        gone = [x for x in self.held if x.lease_until <= self.now]
        await self.queue.recover(wish(submission()).node, self.now)
        self.held = [x for x in self.held if x not in gone]
        self.lost += gone

    async def expire(self, a: int, b: int) -> None:
        await self.queue.expire(self.now, a + 1)

    async def extend(self, a: int, b: int) -> None:
        count = await self.queue.extend(group_of(submission(campaign=CAMPAIGNS[a % 2], priority=b % 2)), 300.0 * a)
        assert count <= len(self.accepted)

    async def suppress(self, a: int, b: int) -> None:
        if self.accepted:
            address = self.accepted[(a * 7 + b) % len(self.accepted)].recipient.lower()
            await self.stores.suppressions.add([suppression(address, at=self.now)])
            self.refused.add(address)

    async def pass_time(self, a: int, b: int) -> None:
        self.now += (60.0, 600.0, 3000.0, 86400.0)[a]

    async def settle_lost(self, a: int, b: int) -> None:
        for lease in self.lost[: a + 1]:
            await self.queue.settle([(delivered, bounced, deferred)[b % 3](lease, self.now)])
            if b % 3 == 1:
                await self._note_bounces()
        gone = [x.submission.message_id for x in self.lost[: a + 1]]
        del self.lost[: a + 1]
        # who holds such a row now has lost it, if the outcome was an end
        self.held = [
            x for x in self.held if x.submission.message_id not in gone or await self.queue.still_sendable(x, 0.0)
        ]

    async def _settle(self, outcome: Callable[[Leased, float], object], a: int) -> None:
        done = self.held[: a + 1]
        await self.queue.settle([outcome(lease, self.now) for lease in done])  # type: ignore[misc]
        del self.held[: a + 1]
        await self._note_bounces()

    async def _note_bounces(self) -> None:
        for logged in await self.stores.log.recent(["SuppressionAdded"], 500):
            if isinstance(logged.event, SuppressionAdded):
                self.refused.add(logged.event.address)

    async def check(self) -> None:
        """The invariants."""
        ends: dict[MessageId, int] = {row.message_id: 0 for row in self.accepted}
        events = await self.stores.log.read(0, 100_000)
        for logged in events:
            if isinstance(logged.event, Delivered | Bounced | Dropped):
                ends[logged.event.message_id] += 1
        rows, groups, bodies = await self.stores.db.read(_picture)
        assert {m: n + (m in rows) for m, n in ends.items()} == dict.fromkeys(ends, 1)
        assert sum(isinstance(x.event, Accepted) for x in events) == len(ends)
        assert set(rows) <= set(ends)
        for group, queued in groups.items():
            assert queued == sum(g == group for g, _ in rows.values())
        assert {g for g, _ in rows.values()} <= set(groups)
        assert bodies == {body for _, body in rows.values()}
        used = await self.stores.allowances.used(["lane:x"], day_of(self.now))
        assert used.get("lane:x", 0) <= CAP


def _picture(connection: Connection) -> tuple[dict[MessageId, tuple[int, str]], dict[int, int], set[str]]:
    rows = connection.execute(text("SELECT message_id, group_id, body_id FROM queue"))
    groups = connection.execute(text("SELECT id, queued FROM queue_groups"))
    bodies = connection.execute(text("SELECT body_id FROM bodies"))
    return (
        {MessageId(m): (g, b) for m, g, b in rows},
        {row.id: row.queued for row in groups},
        {body for (body,) in bodies},
    )


async def _play(url: str, inline: bool, operations: list[tuple[str, int, int]]) -> None:
    stores = await open_stores(url, inline=inline)
    try:
        world = World(stores=stores, queue=stores.queue)
        for name, a, b in operations:
            act: Callable[[int, int], Awaitable[None]] = getattr(world, name)
            await act(a, b)
            await world.check()
        await _finish(world)
    finally:
        await stores.close()


async def _finish(world: World) -> None:
    """Time runs out: nothing may be left behind."""
    world.now += 10_000_000.0
    await world.queue.recover(Node("nobody"), world.now)
    while await world.queue.expire(world.now):
        pass
    await world.check()
    assert await world.queue.depth() == {}


@settings(max_examples=60)
@given(OPERATIONS)
def test_in_one_place_on_sqlite(operations: list[tuple[str, int, int]]) -> None:
    asyncio.run(_play("sqlite://", True, operations))


@settings(max_examples=8)
@given(operations=OPERATIONS)
def test_in_one_place_on_postgresql(postgres: Postgres, operations: list[tuple[str, int, int]]) -> None:
    url = postgres.create()
    asyncio.run(_play(url, False, operations))
    postgres.drop(url)
