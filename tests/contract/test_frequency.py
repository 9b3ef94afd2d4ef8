"""Frequency caps on both databases: exact under concurrency, nothing counted that was not accepted."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import OverFrequency, StorageConflict
from core.lane import DAY, day_of
from core.messages import FrequencyCap
from storage.stores import Stores
from tests.contract.samples import NOW, submission, take_in

TODAY = day_of(NOW)


def cap(*addresses: str, day: int = TODAY, per_day: int = 2, per_week: int = 3, stream: str = "bulk") -> FrequencyCap:
    return FrequencyCap(stream=stream, day=day, per_day=per_day, per_week=per_week, addresses=frozenset(addresses))


async def mail(stores: Stores, wanted: FrequencyCap, key: str = "") -> frozenset[str]:
    """Who was refused."""
    submissions = [submission(address) for address in sorted(wanted.addresses)]
    try:
        await stores.queue.accept([], submissions, [], idempotency=(key, "answer") if key else None, cap=wanted)
    except OverFrequency as error:
        return error.addresses
    return frozenset()


async def queued(stores: Stores) -> int:
    return sum((await stores.queue.depth()).values())


async def test_a_day_and_a_week_have_their_caps(stores: Stores) -> None:
    assert not await mail(stores, cap("ann@x.test", "bob@x.test"))
    assert not await mail(stores, cap("ann@x.test"))
    assert await mail(stores, cap("ann@x.test")) == {"ann@x.test"}
    assert not await mail(stores, cap("ann@x.test", day=TODAY + 1))
    assert await mail(stores, cap("ann@x.test", day=TODAY + 6)) == {"ann@x.test"}
    assert not await mail(stores, cap("ann@x.test", day=TODAY + 8))
    assert not await mail(stores, cap("ann@x.test", stream="triggered"))


async def test_a_week_is_full_before_and_behind_a_booked_day(stores: Stores) -> None:
    for day in (TODAY + 3, TODAY + 4, TODAY + 5):
        assert not await mail(stores, cap("ann@x.test", day=day))
    assert await mail(stores, cap("ann@x.test")) == {"ann@x.test"}


async def test_zero_is_no_cap(stores: Stores) -> None:
    for _ in range(4):
        assert not await mail(stores, cap("ann@x.test", per_day=0, per_week=0))
    assert await mail(stores, cap("ann@x.test", per_day=0, per_week=4)) == {"ann@x.test"}
    assert await mail(stores, cap("ann@x.test", per_day=4, per_week=0)) == {"ann@x.test"}


async def test_one_address_over_its_cap_undoes_the_whole_transaction(stores: Stores) -> None:
    await mail(stores, cap("ann@x.test", per_day=1))
    assert await mail(stores, cap("ann@x.test", "bob@x.test", per_day=1)) == {"ann@x.test"}
    assert await queued(stores) == 1
    assert await stores.queue.over_frequency(cap("ann@x.test", "bob@x.test", per_day=1)) == {"ann@x.test"}


async def test_a_known_key_counts_nothing(stores: Stores) -> None:
    await mail(stores, cap("ann@x.test", per_day=2), key="k")
    with pytest.raises(StorageConflict):
        await mail(stores, cap("ann@x.test", per_day=2), key="k")
    assert await stores.queue.over_frequency(cap("ann@x.test", per_day=2)) == frozenset()


async def test_the_look_agrees_with_the_count(stores: Stores) -> None:
    await take_in(stores, [submission()])
    await mail(stores, cap("ann@x.test"))
    for day in range(TODAY - 8, TODAY + 9):
        for per_day, per_week in ((1, 0), (0, 1), (1, 2), (2, 1)):
            wanted = cap("ann@x.test", "zoe@x.test", day=day, per_day=per_day, per_week=per_week)
            over = await stores.queue.over_frequency(wanted)
            assert over == (frozenset({"ann@x.test"}) if (per_week == 1 and abs(day - TODAY) < 7) or
                            (per_day == 1 and day == TODAY) else frozenset())  # fmt: skip


async def test_two_nodes_at_once_never_go_above_a_cap(stores: Stores, other: Stores) -> None:
    names = [f"u{n}@x.test" for n in range(40)]

    async def give(node: Stores, turn: int) -> int:
        rest = frozenset(names[turn % 7 :])
        total = len(rest)
        while rest:
            refused = await mail(node, cap(*rest))
            if not refused:
                break
            rest -= refused
        return len(rest) if rest else total - total

    taken = await asyncio.gather(*(give((stores, other)[n % 2], n) for n in range(12)))
    # every address was asked for more often than its cap allows, so each has exactly its share
    assert sum(taken) == 2 * len(names) == await queued(stores)


async def test_single_mails_of_two_nodes_at_once_never_go_above_a_cap(stores: Stores, other: Stores) -> None:
    refused = await asyncio.gather(
        *(mail((stores, other)[n % 2], cap(f"u{n % 5}@x.test", per_day=3, per_week=3)) for n in range(50))
    )
    assert sum(not one for one in refused) == 15 == await queued(stores)


async def test_what_no_cap_looks_at_is_forgotten(stores: Stores) -> None:
    await mail(stores, cap("ann@x.test", day=day_of(NOW - 8 * DAY)))
    await mail(stores, cap("ann@x.test", day=day_of(NOW - 6 * DAY)))
    assert await stores.frequency.prune(TODAY) == 1
    assert await stores.queue.over_frequency(cap("ann@x.test", per_week=1)) == {"ann@x.test"}
    assert await stores.queue.over_frequency(cap("ann@x.test", day=TODAY + 1, per_week=1)) == frozenset()


async def test_a_large_batch_is_one_statement(stores: Stores) -> None:
    names = [f"u{n}@x.test" for n in range(10_000)]
    wanted = cap(*names, per_day=1)
    await stores.queue.accept([], [], [], cap=wanted)
    assert await stores.queue.over_frequency(wanted) == set(names)
