"""Outcomes are written together, and claims go with them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from core.clock import SystemClock
from core.errors import Unavailable
from core.messages import Leased
from core.ports import Queue
from core.state import Settlement
from sender.settler import FULL, MAX_WAITING, Settler
from tests.unit.sender.fakes import virtually


class Written:
    """The one call of the queue that a settler makes."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        self.batches.append(len(settlements))


def outcomes(settler: Settler, count: int) -> None:
    for _ in range(count):
        settler.put(cast(Settlement, object()))


class Away:
    """A queue whose storage is away for a number of calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.released: list[str] = []

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        self._call()

    async def release(self, leases: Sequence[str]) -> None:
        self._call()
        self.released += leases

    def _call(self) -> None:
        self.calls -= 1
        if self.calls >= 0:
            raise Unavailable("The database is away")


@pytest.mark.parametrize("calls", [0, 1, 2, 5])
def test_mail_that_was_not_sent_goes_back_as_soon_as_storage_can_take_it(calls: int) -> None:
    async def story() -> None:
        queue = Away(calls)
        settler = Settler(cast(Queue, queue), SystemClock())
        running = asyncio.ensure_future(settler.run())
        await settler.give_back(cast(Sequence[Leased], ["a", "b"]))
        await asyncio.sleep(60)
        running.cancel()
        assert queue.released == ["a", "b"]

    virtually(story)


def test_the_first_outcome_waits_for_nobody_and_those_after_it_share_a_write() -> None:
    async def story() -> None:
        queue = Written()
        settler = Settler(cast(Queue, queue), SystemClock())
        running = asyncio.ensure_future(settler.run())
        outcomes(settler, 1)
        await settler.drained()
        outcomes(settler, 2)
        await asyncio.sleep(0)
        outcomes(settler, 3)
        await settler.drained()
        running.cancel()
        assert queue.batches == [1, 5]

    virtually(story)


def test_a_claim_waits_while_outcomes_are_gathered_and_no_longer_than_until_there_are_enough() -> None:
    async def story() -> None:
        queue = Written()
        settler = Settler(cast(Queue, queue), SystemClock())
        running = asyncio.ensure_future(settler.run())
        await settler.beat()  # nothing is gathered: at once
        outcomes(settler, 1)
        await settler.drained()
        outcomes(settler, 1)
        await asyncio.sleep(0)
        waits = asyncio.ensure_future(settler.beat())
        await asyncio.sleep(0)
        assert not waits.done()
        outcomes(settler, FULL)
        await waits
        await settler.drained()
        running.cancel()
        assert queue.batches == [1, FULL + 1]

    virtually(story)


def test_who_is_in_a_hurry_ends_the_gathering() -> None:
    async def story() -> None:
        queue = Written()
        settler = Settler(cast(Queue, queue), SystemClock())
        running = asyncio.ensure_future(settler.run())
        settler.hurry()  # nothing is gathered
        outcomes(settler, 1)
        await settler.drained()
        outcomes(settler, 1)
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        settler.hurry()
        await settler.beat()
        await settler.drained()
        assert asyncio.get_running_loop().time() == began  # in virtual time: no timer was waited for
        running.cancel()

    virtually(story)


def test_an_outcome_whose_write_is_cut_off_is_written_by_the_next_run() -> None:
    class Slow(Written):
        async def settle(self, settlements: Sequence[Settlement]) -> None:
            await asyncio.sleep(5)
            await super().settle(settlements)

    async def story() -> None:
        queue = Slow()
        settler = Settler(cast(Queue, queue), SystemClock())
        running = asyncio.ensure_future(settler.run())
        outcomes(settler, 2)
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.sleep(1)
        running = asyncio.ensure_future(settler.run())
        await settler.drained()
        running.cancel()
        assert queue.batches == [2]

    virtually(story)


def test_nobody_sends_on_while_too_many_outcomes_are_unwritten() -> None:
    async def story() -> None:
        settler = Settler(cast(Queue, Written()), SystemClock())
        outcomes(settler, MAX_WAITING)
        waits = asyncio.ensure_future(settler.room())
        await asyncio.sleep(60)
        assert not waits.done()
        running = asyncio.ensure_future(settler.run())
        await waits
        running.cancel()

    virtually(story)
