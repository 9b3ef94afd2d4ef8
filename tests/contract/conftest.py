"""Every test runs twice: on a SQLite file and on a real PostgreSQL server (package `postgresql`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage.stores import Stores, open_stores
from tests.contract.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of this test session."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of this test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/penstock.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create()
    yield url
    server.drop(url)


@pytest.fixture
async def stores(url: str) -> AsyncIterator[Stores]:
    """One node's view of the database."""
    opened = await open_stores(url)
    yield opened
    await opened.close()


@pytest.fixture
async def other(url: str, stores: Stores) -> AsyncIterator[Stores]:
    """Another node on the same database."""
    opened = await open_stores(url)
    yield opened
    await opened.close()
