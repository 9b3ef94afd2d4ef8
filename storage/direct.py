"""A statement that goes to the driver as it is: for the few that run in every commit of a sender.

Contract: the statement is put into words once for each database; after that a call costs what the driver takes, while
SQLAlchemy takes a tenth of a millisecond of its own for each.  An `IN` with any number of names is one place in the
text, so that what the database has made ready for the statement serves again.  Errors are SQLAlchemy's, without
parameters.  Runs inside a transaction of `storage.database`; values are of the drivers' own types.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement


class _Cursor(Protocol):
    rowcount: int

    def execute(self, text: str, values: Mapping[str, object]) -> object: ...
    def executemany(self, text: str, values: Sequence[Mapping[str, object]]) -> object: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...
    def close(self) -> None: ...


class Direct:
    """See the module.  `names`: the parameter, of text, that stands in an expanding IN."""

    def __init__(self, statement: Executable, names: str = "") -> None:
        self._names = names
        self._texts: dict[str, tuple[str, dict[str, object]]] = {}
        places = {"sqlite": "IN (SELECT value FROM json_each(:{}))", "postgresql": "= ANY(%({})s)"}
        for dialect in (sqlite.dialect(paramstyle="named"), psycopg.dialect()):  # type: ignore[no-untyped-call]
            compiled = cast(ClauseElement, statement).compile(dialect=dialect)
            text = str(compiled).replace(f"IN (__[POSTCOMPILE_{names}])", places[dialect.name].format(names))
            constants = {name: value for name, value in compiled.params.items() if value is not None}
            self._texts[dialect.name] = text, constants

    def rows(self, connection: Connection, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """What a SELECT finds."""
        cursor = self._run(connection, values)
        try:
            return cursor.fetchall()
        finally:
            cursor.close()

    def run(self, connection: Connection, values: Mapping[str, object]) -> None:
        """Execute once."""
        self._run(connection, values).close()

    def run_each(self, connection: Connection, values: Iterable[Mapping[str, object]]) -> int:
        """Execute for each; how many rows it met in all."""
        dialect = connection.dialect.name
        text, constants = self._texts[dialect]
        cursor = _cursor(connection)
        try:
            cursor.executemany(text, [{**constants, **one} for one in values])
            return cursor.rowcount
        except Exception as error:
            raise _told(connection, text, error) from error
        finally:
            cursor.close()

    def _run(self, connection: Connection, values: Mapping[str, object]) -> _Cursor:
        dialect = connection.dialect.name
        text, constants = self._texts[dialect]
        given = {**constants, **values}
        if self._names and dialect == "sqlite":
            given[self._names] = json.dumps(given[self._names])
        cursor = _cursor(connection)
        try:
            cursor.execute(text, given)
        except Exception as error:
            cursor.close()
            raise _told(connection, text, error) from error
        return cursor


def _cursor(connection: Connection) -> _Cursor:
    return cast(_Cursor, connection.connection.cursor())


def _told(connection: Connection, text: str, error: Exception) -> BaseException:
    dialect = connection.dialect
    return DBAPIError.instance(text, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect)
