"""The server goes away in the middle: whoever asked learns it, nobody is told a lie, and work goes on afterwards."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, text

from core.errors import Unavailable
from storage.stores import Stores, open_stores
from tests.contract.postgres import Postgres


def _cut(connection: Connection) -> None:
    connection.execute(text("INSERT INTO meta VALUES ('half', 'x')"))
    connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def test_a_connection_cut_inside_a_call_stores_nothing_of_it(postgres: Postgres) -> None:
    url = postgres.create()
    stores = await open_stores(url)
    with pytest.raises(Unavailable):
        await stores.db.transact(_cut)
    assert await stores.meta.get("half") is None
    await stores.meta.put("after", "x")
    assert await stores.meta.get("after") == "x"
    await stores.close()
    postgres.drop(url)


async def test_a_connection_cut_by_one_call_of_a_group_spares_the_others(postgres: Postgres) -> None:
    url = postgres.create()
    stores = await open_stores(url)
    done = await asyncio.gather(
        *(stores.meta.put(f"n{n}", "x") for n in range(10)), stores.db.transact(_cut),
        *(stores.meta.put(f"m{n}", "x") for n in range(10)), return_exceptions=True,
    )  # fmt: skip
    assert [type(x) for x in done] == [type(None)] * 10 + [Unavailable] + [type(None)] * 10
    assert await _values(stores, [f"n{n}" for n in range(10)] + [f"m{n}" for n in range(10)]) == ["x"] * 20
    assert await stores.meta.get("half") is None
    await stores.close()
    postgres.drop(url)


async def test_connections_that_were_cut_while_idle_are_replaced(postgres: Postgres) -> None:
    url = postgres.create()
    stores = await open_stores(url)
    await stores.meta.put("a", "x")
    assert await _values(stores, ["a"]) == ["x"]
    stranger = await open_stores(url)
    await stranger.db.transact(
        lambda connection: connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    )
    await stranger.close()
    await stores.meta.put("a", "y")
    assert await _values(stores, ["a"]) == ["y"]
    await stores.close()
    postgres.drop(url)


async def _values(stores: Stores, names: list[str]) -> list[str | None]:
    return [await stores.meta.get(name) for name in names]
