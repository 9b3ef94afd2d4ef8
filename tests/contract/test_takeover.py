"""Many callers hand over single messages at once: they share statements and commits, never each other's refusals."""

from __future__ import annotations

import asyncio

from sqlalchemy import event, text

from core.errors import OverFrequency, StorageConflict, Unavailable
from core.lane import day_of
from core.messages import Body, FrequencyCap, Submission
from storage.stores import Stores
from tests.contract.samples import NOW, accepted, submission


async def hand_over(stores: Stores, one: Submission, *, key: str = "", capped: bool = False) -> None:
    cap = FrequencyCap(
        stream="bulk", day=day_of(NOW), per_day=2, per_week=0, addresses=frozenset({one.recipient})
    )  # fmt: skip
    body = Body(body_id=one.body_id, kind="mime", content=b"hello")
    await stores.queue.accept(
        [body], [one], [accepted(one)], idempotency=(key, one.message_id) if key else None, cap=cap if capped else None
    )


async def rows(stores: Stores, table: str) -> int:
    return await stores.db.read(
        lambda connection: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() or 0
    )


async def test_a_key_is_taken_once_and_its_losers_harm_nobody(stores: Stores, other: Stores) -> None:
    calls = [(submission(body_id=f"b{n}"), f"k{n % 40}", other if n % 3 else stores) for n in range(120)]
    ends = await asyncio.gather(
        *(hand_over(node, one, key=key) for one, key, node in calls), return_exceptions=True
    )  # fmt: skip
    taken = [one for (one, _, _), end in zip(calls, ends, strict=True) if end is None]
    assert len(taken) == 40
    assert all(isinstance(end, StorageConflict) for end in ends if end is not None)
    answers = {await stores.idempotency.get(f"k{n}") for n in range(40)}
    assert answers == {one.message_id for one in taken}
    assert sum((await stores.queue.depth()).values()) == await rows(stores, "queue") == await rows(stores, "bodies")
    assert {row.event.message_id for row in await stores.log.read(0)} == answers  # type: ignore[union-attr]


async def test_a_share_is_given_once_and_who_asks_too_often_harms_nobody(stores: Stores) -> None:
    often = [submission("often@gmail.test") for _ in range(10)]
    others = [submission(f"r{n}@gmail.test") for n in range(30)]
    mixed = [one for n in range(10) for one in (*others[3 * n : 3 * n + 3], often[n])]
    ends = await asyncio.gather(*(hand_over(stores, one, capped=True) for one in mixed), return_exceptions=True)
    refused = [end for end in ends if end is not None]
    assert len(refused) == 8
    for end in refused:
        assert isinstance(end, OverFrequency)
        assert end.addresses == {"often@gmail.test"}
    assert await rows(stores, "queue") == 32
    assert sum((await stores.queue.depth()).values()) == 32


async def test_callers_that_wait_together_share_statements(stores: Stores) -> None:
    statements: list[str] = []
    event.listen(stores.db.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    await asyncio.gather(*(hand_over(stores, submission()) for _ in range(300)))
    assert sum("INTO queue " in one for one in statements) < 30
    assert await rows(stores, "queue") == 300


async def test_trouble_of_the_database_is_told_to_everybody_and_passes(stores: Stores) -> None:
    await hand_over(stores, submission())
    await stores.db.transact(lambda connection: connection.execute(text("ALTER TABLE bodies RENAME TO gone")))
    ends = await asyncio.gather(*(hand_over(stores, submission()) for _ in range(50)), return_exceptions=True)
    await stores.db.transact(lambda connection: connection.execute(text("ALTER TABLE gone RENAME TO bodies")))
    assert all(isinstance(end, Unavailable) for end in ends)
    await hand_over(stores, submission())
    assert await rows(stores, "queue") == 2
