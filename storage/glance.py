"""Looks at committed data without a thread between: for what a sender asks before every message and at every look.

Contract: SQLite in a file only.  One statement at a time on a connection of its own, in the caller's thread, outside
any transaction: each look sees all that was committed before it, by whatever process.  A look is a few index steps in
the page cache (20 µs to a few hundred), less than the way to a reading thread and back costs while the caller's loop is
busy: there each step of a reading thread waits for the GIL.  It never writes.  Unavailable when
the database cannot answer within BUSY_SECONDS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select
from sqlalchemy.dialects import sqlite

from core.errors import Unavailable

BUSY_SECONDS = 1.0  # a reader waits for nobody in WAL mode, but for the recovery after a crash
_DIALECT = sqlite.dialect(paramstyle="named")


class Plain(NamedTuple):
    """A statement's text with named places, and what stands in those that are constant."""

    text: str
    constants: dict[str, object]


def plain(statement: Select[Any]) -> Plain:
    """The statement as `Glance.first` takes it."""
    compiled = statement.compile(dialect=_DIALECT)
    return Plain(str(compiled), {name: value for name, value in compiled.params.items() if value is not None})


class Glance:
    """See the module.  Connects at the first look."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def first(self, statement: Plain, parameters: Mapping[str, object]) -> tuple[Any, ...] | None:
        """The first row, None when there is none."""
        try:
            row: tuple[Any, ...] | None = self._look(statement, parameters).fetchone()
        except sqlite3.Error as error:
            raise Unavailable(f"The database cannot answer: {error}") from error
        return row

    def rows(self, statement: Plain, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Every row, of a statement that is known to read few."""
        try:
            return self._look(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"The database cannot answer: {error}") from error

    def _look(self, statement: Plain, parameters: Mapping[str, object]) -> sqlite3.Cursor:
        if self._connection is None:
            self._connection = self._open()
        return self._connection.execute(statement.text, {**statement.constants, **parameters})

    def each(self, statement: Plain, questions: Sequence[Mapping[str, object]]) -> list[tuple[Any, ...] | None]:
        """The first row for each of several questions, all of one moment: a tenth of the cost of single looks while
        others write, since what is in the page cache holds good to the end."""
        if len(questions) == 1:
            return [self.first(statement, questions[0])]
        self._tell("BEGIN")
        try:
            return [self.first(statement, question) for question in questions]
        finally:
            self._tell("COMMIT")

    def _tell(self, word: str) -> None:
        try:
            if self._connection is None:
                self._connection = self._open()
            self._connection.execute(word)
        except sqlite3.Error as error:
            raise Unavailable(f"The database cannot answer: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA query_only=1")
        connection.execute("PRAGMA cache_size=-8000")
        return connection
