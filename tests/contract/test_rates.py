"""Rates that all senders share: never above the rate in any span, whoever asks; both databases."""

from __future__ import annotations

import asyncio

from core.gcra import Rate
from storage.stores import Stores, open_stores
from tests.contract.samples import NOW

TEN = Rate(count=10, seconds=1.0, burst=10)
ONE = Rate(count=1, seconds=60.0, burst=1)


async def test_units_come_from_all_buckets_or_none(stores: Stores) -> None:
    both = [("b", TEN), ("a", ONE)]
    granted, tats = await stores.rates.take(both, 20, NOW)
    assert granted == 1, "as much as the fullest allows"
    assert tats["a"] == NOW + 60
    assert (await stores.rates.take(both, 20, NOW))[0] == 0
    assert (await stores.rates.take([("b", TEN)], 20, NOW))[0] == 9, "nothing was taken from the other meanwhile"


async def test_what_was_not_used_comes_back(stores: Stores) -> None:
    assert (await stores.rates.take([("a", TEN)], 10, NOW))[0] == 10
    await stores.rates.give_back([("a", TEN)], 4)
    assert (await stores.rates.take([("a", TEN)], 10, NOW))[0] == 4


async def test_two_nodes_never_get_more_than_the_rate(stores: Stores, url: str) -> None:
    other = await open_stores(url)
    try:
        granted = 0
        for tick in range(20):
            answers = await asyncio.gather(
                *(node.rates.take([("x", TEN), ("y", TEN)], 3, NOW + tick * 0.1) for node in (stores, other) * 3)
            )
            granted += sum(units for units, _ in answers)
            assert granted <= 10 + tick + 1
        assert granted >= 10 + 18
    finally:
        await other.close()


async def test_buckets_outlive_a_restart_and_go_when_they_owe_nothing(stores: Stores, url: str) -> None:
    await stores.rates.take([("a", ONE)], 1, NOW)
    again = await open_stores(url)
    try:
        assert await again.rates.look() == {"a": NOW + 60}
        assert (await again.rates.take([("a", ONE)], 1, NOW + 30))[0] == 0
        assert await again.rates.prune(NOW + 60) == 0
        assert await again.rates.prune(NOW + 61) == 1
    finally:
        await again.close()
