"""Long work comes a little in each round of the loop, so that other work is never far from its turn."""

from __future__ import annotations

import asyncio

from sender.evenly import PER_ROUND, Evenly
from tests.unit.sender.fakes import virtually


def test_only_a_few_go_on_in_each_round_and_in_the_order_in_which_they_came() -> None:
    async def story() -> None:
        evenly, order = Evenly(), list[str]()

        async def line(name: str) -> None:
            await evenly.turn()
            order.append(name)

        async def rounds() -> None:
            for _ in range(20):
                order.append("|")
                await asyncio.sleep(0)

        await asyncio.gather(*(line(str(n)) for n in range(10)), rounds())
        between = "".join(order).split("|")
        assert "".join(between) == "0123456789"
        assert max(map(len, between)) == PER_ROUND

    virtually(story)


def test_who_is_cancelled_keeps_nobody_waiting() -> None:
    async def story() -> None:
        evenly = Evenly()
        tasks = [asyncio.ensure_future(evenly.turn()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in tasks[:4]:
            task.cancel()
        await asyncio.wait_for(tasks[4], 1)
        await evenly.turn()

    virtually(story)
