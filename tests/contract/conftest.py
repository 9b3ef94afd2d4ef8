"""Every test runs twice: on a SQLite file and on a real PostgreSQL server (package `postgresql`)."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.migrations import migrate
from storage.stores import Stores, open_stores
from tests.contract.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of this test session."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated SQLite file."""
    path = tmp_path_factory.mktemp("model") / "penstock.db"
    engine = Database(f"sqlite:///{path}").engine
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, model: Path) -> Iterator[str]:
    """An empty, migrated database of this test's own."""
    if request.param == "sqlite":
        shutil.copyfile(model, tmp_path / "penstock.db")
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
