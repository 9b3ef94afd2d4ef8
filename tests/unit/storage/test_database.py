"""One writer, shared commits, readers that see committed data only, and no threads under virtual time."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, select, text

from core.clock import VirtualClock, VirtualTimeLoop
from core.errors import StorageConflict, Unavailable
from storage.database import Database
from storage.migrations import MIGRATIONS, migrate
from storage.stores import open_stores
from storage.tables import meta
from storage.turn import Turn


def put(name: str, value: str = "x") -> object:
    return lambda connection: connection.execute(insert(meta), {"name": name, "value": value})


def names(connection: Connection) -> set[str]:
    return set(connection.execute(select(meta.c.name)).scalars())


async def test_calls_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    stores = await open_stores(f"sqlite:///{tmp_path}/deep/er/p.db")
    commits: list[object] = []
    event.listen(stores.db.engine, "commit", commits.append)
    await asyncio.gather(*(stores.meta.put(f"n{n}", "x") for n in range(100)))
    assert len(commits) < 50
    assert await stores.db.read(names) == {f"n{n}" for n in range(100)}
    await stores.close()


async def test_one_failure_in_a_shared_commit_undoes_only_itself(tmp_path: Path) -> None:
    stores = await open_stores(f"sqlite:///{tmp_path}/p.db")

    def half(connection: Connection) -> None:
        connection.execute(insert(meta), {"name": "half", "value": "x"})
        raise LookupError("the caller's own")

    def twice(connection: Connection) -> None:
        connection.execute(insert(meta), {"name": "secret-value", "value": "x"})
        connection.execute(insert(meta), {"name": "secret-value", "value": "x"})

    def broken(connection: Connection) -> None:
        connection.execute(text("SELECT * FROM nowhere"))

    results = await asyncio.gather(
        stores.meta.put("a", "x"), stores.db.transact(half), stores.meta.put("b", "x"), stores.db.transact(twice),
        stores.db.transact(broken), stores.meta.put("c", "x"), return_exceptions=True,
    )  # fmt: skip
    assert [type(r) for r in results] == [type(None), LookupError, type(None), StorageConflict, Unavailable, type(None)]
    assert "secret-value" not in str(results[3])
    assert await stores.db.read(names) == {"a", "b", "c"}
    await stores.close()


async def test_a_reader_sees_nothing_of_a_running_transaction(tmp_path: Path) -> None:
    stores = await open_stores(f"sqlite:///{tmp_path}/p.db")
    written, looked = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        connection.execute(insert(meta), {"name": "a", "value": "x"})
        written.set()
        assert looked.wait(30)

    writing = asyncio.gather(stores.db.transact(slow))
    await asyncio.get_running_loop().run_in_executor(None, written.wait, 30)
    assert await stores.db.read(names) == set()
    looked.set()
    await writing
    assert await stores.db.read(names) == {"a"}
    await stores.close()


async def test_closing_finishes_what_was_asked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/p.db"
    stores = await open_stores(url)
    puts = asyncio.gather(*(stores.meta.put(f"n{n}", "x") for n in range(20)))
    await asyncio.sleep(0)
    await stores.close()
    await puts
    again = await open_stores(url)
    assert len(await again.db.read(names)) == 20
    await again.close()


def test_under_virtual_time_no_thread_is_started() -> None:
    before = threading.active_count()

    async def weeks() -> float:
        stores = await open_stores("sqlite://", inline=True)
        clock = VirtualClock(0.0)
        woken = asyncio.gather(stores.log.changed(10 * 86400), stores.log.changed(20 * 86400))
        for day in range(42):
            await clock.sleep(86400)
            await stores.meta.put("day", str(day))
        await woken
        assert await stores.meta.get("day") == "41"
        assert threading.active_count() == before
        await stores.close()
        return clock.now()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(weeks()) == 42 * 86400


async def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="folder"):
        await open_stores(f"sqlite:///{tmp_path}/file/p.db")
    (tmp_path / "garbage.db").write_bytes(b"no database " * 1000)
    with pytest.raises(Unavailable, match=r"garbage\.db cannot be prepared: file is not a database. Check"):
        await open_stores(f"sqlite:///{tmp_path}/garbage.db")


async def test_a_server_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="database x on this machine cannot be prepared"):
        await open_stores(f"postgresql+psycopg://nobody@/x?host={tmp_path}")


def test_a_database_in_memory_has_to_be_inline() -> None:
    with pytest.raises(ValueError, match="inline"):
        Database("sqlite://")


async def test_a_newer_schema_is_refused_and_an_old_one_is_not_made_twice(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/p.db"
    stores = await open_stores(url)
    assert migrate(stores.db.engine) == len(MIGRATIONS)
    await stores.db.transact(lambda connection: connection.execute(text("INSERT INTO schema_version VALUES (99)")))
    await stores.close()
    with pytest.raises(Unavailable, match="schema 99"):
        await open_stores(url)


async def test_an_urgent_call_goes_before_one_that_already_waits_for_its_turn(tmp_path: Path) -> None:
    stores = await open_stores(f"sqlite:///{tmp_path}/p.db")
    order: list[str] = []
    event.listen(stores.db.engine, "commit", lambda _connection: order.append("commit"))
    with Turn(f"{tmp_path}/p.db"):
        waits = asyncio.ensure_future(stores.db.transact(lambda _: order.append("patient")))
        await asyncio.get_running_loop().run_in_executor(None, _until_somebody_waits, tmp_path / "p.db-gate")
        urgent = asyncio.ensure_future(stores.db.transact(lambda _: order.append("urgent"), first=True))
        await asyncio.sleep(0)
    await asyncio.gather(waits, urgent)
    assert order == ["urgent", "commit", "patient", "commit"]
    await stores.close()


def _until_somebody_waits(gate: Path) -> None:
    with gate.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(file, fcntl.LOCK_UN)
