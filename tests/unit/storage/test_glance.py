"""A glance sees what is committed, by whomever, at once; and says so when the database cannot answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, select

from core.errors import Unavailable
from storage.glance import Glance, plain

_TABLE = Table("t", MetaData(), Column("n", Integer), Column("kind", Integer))
_FIND = plain(select(_TABLE.c.n).where(_TABLE.c.n == bindparam("which"), _TABLE.c.kind == 7))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.db"


@pytest.fixture
def glance(path: Path) -> Iterator[Glance]:
    made = Glance(str(path))
    yield made
    made.close()


def test_what_another_connection_commits_is_seen_at_the_next_look(path: Path, glance: Glance) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (n, kind)")
    assert glance.first(_FIND, {"which": 1}) is None
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO t VALUES (1, 7)")
    assert glance.first(_FIND, {"which": 1}) is None, "not committed yet"
    writer.execute("COMMIT")
    assert glance.first(_FIND, {"which": 1}) == (1,)
    writer.close()


def test_a_constant_of_the_statement_is_kept(path: Path, glance: Glance) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("CREATE TABLE t (n, kind)")
    writer.execute("INSERT INTO t VALUES (1, 8)")
    writer.close()
    assert glance.first(_FIND, {"which": 1}) is None


def test_a_database_that_cannot_answer_is_unavailable(glance: Glance) -> None:
    with pytest.raises(Unavailable):
        glance.first(_FIND, {"which": 1})


def test_it_never_writes(path: Path, glance: Glance) -> None:
    sqlite3.connect(path).close()
    with pytest.raises(Unavailable):
        glance.first(type(_FIND)("CREATE TABLE other (n)", {}), {})


def test_several_questions_are_answered_in_their_order_and_let_go_of_the_moment(path: Path, glance: Glance) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (n, kind)")
    writer.execute("INSERT INTO t VALUES (1, 7), (3, 7)")
    asked = [{"which": n} for n in (1, 2, 3)]
    assert glance.each(_FIND, asked) == [(1,), None, (3,)]
    writer.execute("INSERT INTO t VALUES (2, 7)")
    assert glance.each(_FIND, asked) == [(1,), (2,), (3,)]
    writer.execute("DROP TABLE t")
    with pytest.raises(Unavailable):
        glance.each(_FIND, asked)
    writer.execute("CREATE TABLE t (n, kind)")
    assert glance.each(_FIND, asked) == [None, None, None]
    writer.close()
