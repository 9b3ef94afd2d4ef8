"""On either database an urgent call is committed before what came in ahead of it."""

from __future__ import annotations

import asyncio
import threading

from sqlalchemy import Connection, event

from storage.stores import Stores


async def test_an_urgent_call_waits_for_no_other_that_came_before_it(stores: Stores) -> None:
    started, go, order = threading.Event(), threading.Event(), list[str]()
    event.listen(stores.db.engine, "commit", lambda _connection: order.append("commit"))

    def under_way(_connection: Connection) -> None:
        started.set()
        assert go.wait(30)
        order.append("under way")

    first = asyncio.ensure_future(stores.db.transact(under_way))
    await asyncio.get_running_loop().run_in_executor(None, started.wait, 30)
    others = [asyncio.ensure_future(stores.db.transact(lambda _: order.append("other"))) for _ in range(2)]
    urgent = asyncio.ensure_future(stores.db.transact(lambda _: order.append("urgent"), first=True))
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, urgent, *others)
    assert order[:4] == ["under way", "urgent", "commit", "other"]
