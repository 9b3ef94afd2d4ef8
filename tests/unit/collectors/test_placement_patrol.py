"""Many mailboxes at once: each goes its own way, a crowd at one host waits its turn, a test rouses all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from collectors.placement.patrol import PER_HOST, Patrol
from collectors.placement.watch import SeedWatcher
from core.clock import FixedClock
from core.errors import Unavailable
from core.lane import Provider
from core.ports import MailboxSource
from core.state import FoundMail
from core.tokens import TokenSigner
from tests.unit.collectors.watch_fakes import MemoryLog
from tests.waiting import within


class Box:
    """A mailbox that counts looks; `gate` holds a look up."""

    def __init__(self, mailbox: str, gate: asyncio.Event | None = None, problem: str = "") -> None:
        self.mailbox = mailbox
        self.provider = Provider("gmail")
        self.looks = 0
        self.inside = 0
        self.gate = gate
        self.problem = problem
        self.asked: list[float] = []
        self.closed = False
        self.rests: asyncio.Queue[float] = asyncio.Queue()

    async def new_mail(self) -> AsyncIterator[FoundMail]:
        self.looks += 1
        self.inside += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.problem:
                raise Unavailable(self.problem)
        finally:
            self.inside -= 1
        for _ in ():
            yield _

    async def wait(self, seconds: float, roused: asyncio.Event) -> None:
        self.asked.append(seconds)
        self.rests.put_nowait(seconds)
        await roused.wait()


@asynccontextmanager
async def patrolling(*boxes: Box, busy: bool = False) -> AsyncIterator[Patrol]:
    watcher = SeedWatcher(
        sources=boxes, signer=TokenSigner({"a": b"0123456789abcdef"}), log=MemoryLog(), clock=FixedClock(1.0)
    )

    async def close(source: MailboxSource) -> None:
        assert isinstance(source, Box)
        source.closed = True

    patrol = Patrol(watcher, poll_seconds=5, quiet_seconds=50, busy=lambda: busy, close=close)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(patrol.run())
        yield patrol
        task.cancel()


async def rests(box: Box) -> None:
    """It looked once more and waits now."""
    await within(box.rests.get(), lambda: f"the rest of a mailbox after {box.looks} looks")


async def test_a_mailbox_that_hangs_or_fails_holds_nobody_else_up_and_all_are_closed_in_the_end() -> None:
    never = asyncio.Event()
    boxes = [Box("hangs@a.test", never), Box("fails@b.test", problem="dead"), Box("well@c.test")]
    async with patrolling(*boxes) as patrol:
        await rests(boxes[2])
        await rests(boxes[1])
        assert (boxes[0].looks, boxes[0].inside) == (1, 1)
        patrol.rouse()
        await rests(boxes[2])
    assert all(box.closed for box in boxes)


async def test_only_so_many_mailboxes_of_one_host_are_looked_into_at_once() -> None:
    gate = asyncio.Event()
    boxes = [Box(f"s{i}@crowd.test", gate) for i in range(PER_HOST + 4)]
    other = Box("alone@other.test")
    async with patrolling(*boxes, other):
        await rests(other)
        assert sum(box.inside for box in boxes) == PER_HOST
        gate.set()
        for box in boxes:
            await rests(box)


async def test_waits_are_short_while_a_test_is_under_way_and_long_otherwise() -> None:
    for busy, seconds in ((True, 5.0), (False, 50.0)):
        box = Box("s@a.test")
        async with patrolling(box, busy=busy):
            await rests(box)
        assert 0.9 * seconds <= box.asked[0] <= 1.1 * seconds
