"""Readers on both databases: the cursor and the rows move together, and SQL counts states as core.audience does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.audience import Census, Engagement, Reader, Terms, state_of
from core.errors import StorageConflict
from core.lane import DAY
from storage.stores import Stores, open_stores
from tests.unit.monitor.world import NOON

TERMS = Terms()
ONE = Reader(address="a@x.example", stream="bulk", list_source="shop", first_at=NOON - 50 * DAY, last_at=NOON, mails=3)


async def test_rows_and_cursor_move_together_or_not_at_all(stores: Stores, other: Stores) -> None:
    await stores.audience.apply("audience", 0, 7, [ONE])
    with pytest.raises(StorageConflict):
        await other.audience.apply("audience", 0, 9, [replace(ONE, mails=99)])
    assert await other.audience.readers(["a@x.example", "b@x.example"]) == {("a@x.example", "bulk"): ONE}
    changed = replace(ONE, sign_at=NOON, unanswered=0, left_at=NOON, week=5, in_week=2, in_last_week=1)
    await other.audience.apply("audience", 7, 9, [changed])
    assert list((await stores.audience.readers(["a@x.example"])).values()) == [changed]
    assert await stores.counters.cursor("audience") == 9


async def test_the_census_leaves_out_who_left_and_who_was_never_mailed(stores: Stores) -> None:
    rows = [
        ONE, replace(ONE, address="b@x.example", left_at=1.0), replace(ONE, address="c@x.example", mails=0),
        replace(ONE, address="d@x.example", sign_at=NOON), replace(ONE, address="e@x.example", list_source=""),
    ]  # fmt: skip
    await stores.audience.apply("audience", 0, 1, rows)
    assert await stores.audience.census(TERMS, NOON) == [
        Census(stream="bulk", list_source="", counts={Engagement.SLEEPING: 1}),
        Census(stream="bulk", list_source="shop", counts={Engagement.SLEEPING: 1, Engagement.ACTIVE: 1}, left=1),
    ]


async def test_those_who_are_gone_are_paged_by_address(stores: Stores) -> None:
    gone = [
        replace(ONE, address=f"{i}@x.example", first_at=NOON - 300 * DAY, unanswered=9) for i in range(5)
    ]  # fmt: skip
    await stores.audience.apply("audience", 0, 1, [*gone, ONE, replace(gone[0], address="z@x.example", unanswered=2)])
    page = await stores.audience.gone("bulk", TERMS, NOON, limit=3)
    assert page == gone[:3]
    assert await stores.audience.gone("bulk", TERMS, NOON, after=page[-1].address) == gone[3:]
    assert await stores.audience.gone("other", TERMS, NOON) == []


async def test_who_was_mailed_too_often_is_counted_over_a_whole_week(stores: Stores) -> None:
    rows = [
        replace(ONE, address="now", week=11, in_week=9, in_last_week=6),
        replace(ONE, address="then", week=10, in_week=5), replace(ONE, address="rare", week=10, in_week=4),
        replace(ONE, address="new", week=11, in_week=9), replace(ONE, address="old", week=9, in_week=9),
    ]  # fmt: skip
    await stores.audience.apply("audience", 0, 1, rows)
    assert await stores.audience.often(10, 4) == {"bulk": (2, 3)}


reader = st.builds(
    Reader, address=st.uuids().map(str), stream=st.just("bulk"),
    first_at=st.integers(0, 400).map(lambda d: NOON - d * DAY),
    sign_at=st.one_of(st.just(0.0), st.integers(0, 400).map(lambda d: NOON - d * DAY)),
    mails=st.just(9), unanswered=st.integers(0, 9),
)  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(reader, max_size=40))
async def test_sql_and_the_rule_agree(readers: list[Reader]) -> None:
    stores = await open_stores("sqlite:///:memory:", inline=True)
    try:
        await stores.audience.apply("audience", 0, 1, readers)
        counts = Counter(state_of(r, TERMS, NOON) for r in readers)
        assert [one.counts for one in await stores.audience.census(TERMS, NOON)] == ([dict(counts)] if readers else [])
    finally:
        await stores.close()


async def test_both_databases_know_every_edge_of_the_states(stores: Stores) -> None:
    ages = (0, 29, 30, 31, 89, 90, 91, 179, 180, 181, 400)
    rows = [
        replace(
            ONE,
            address=f"{days}-{sign}-{n}",
            first_at=NOON - days * DAY,
            sign_at=sign and NOON - days * DAY,
            unanswered=n,
        )
        for days in ages
        for sign in (0, 1)
        for n in (0, 5)
    ]
    await stores.audience.apply("audience", 0, 1, rows)
    (census,) = await stores.audience.census(TERMS, NOON)
    assert census.counts == Counter(state_of(r, TERMS, NOON) for r in rows)
