"""Statements that both databases write alike and SQLAlchemy's common dialect lacks: INSERT … ON CONFLICT; and portions.

Built once, as module constants, from the tables' own names: nothing from outside enters their text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

from sqlalchemy import Connection, Table, TextClause, text

CHUNK = 500  # names in one IN (...): SQLite takes 32,766 parameters, a planner rather fewer


def chunks(values: Sequence[str]) -> Iterator[list[str]]:
    """Parts that fit one statement."""
    for start in range(0, len(values), CHUNK):
        yield list(values[start : start + CHUNK])


def insert_or_ignore(table: Table) -> TextClause:
    """Insert a row by the names of its columns, unless one with the same key is there (rowcount 0 then)."""
    return text(f"{_insert(table)} ON CONFLICT DO NOTHING")


class Rows:
    """Adds rows, each with a value for every column (but a number that the database gives itself).

    They go to the driver as tuples: to bind each row by name takes SQLAlchemy as long as the database to store it.
    `or_ignore`: a row whose key is there already is left out."""

    def __init__(self, table: Table, *, or_ignore: bool = False) -> None:
        names = _names(table)
        self._values = itemgetter(*names)
        head = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES "  # noqa: S608 -- our own names
        tail = " ON CONFLICT DO NOTHING" if or_ignore else ""
        self._texts = {
            "sqlite": f"{head}({', '.join('?' * len(names))}){tail}",
            "postgresql": f"{head}({', '.join(['%s'] * len(names))}){tail}",
        }

    def add(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert them.  IntegrityError when one is there already; KeyError for a column without a value."""
        if rows:
            connection.exec_driver_sql(self._texts[connection.dialect.name], [self._values(row) for row in rows])


def upsert(table: Table, changes: str, *, only_if: str = "") -> TextClause:
    """Insert a row, or apply `changes` to the one with the same primary key (if `only_if` holds for it).

    In both, `excluded.x` is the new value and `<table>.x` the stored one."""
    key = ", ".join(column.name for column in table.primary_key)
    condition = f" WHERE {only_if}" if only_if else ""
    return text(f"{_insert(table)} ON CONFLICT ({key}) DO UPDATE SET {changes}{condition}")


def _insert(table: Table) -> str:
    names = _names(table)
    places = ", ".join(f":{name}" for name in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 -- our own names


def _names(table: Table) -> list[str]:
    return [column.name for column in table.columns if not (column.primary_key and column.autoincrement is True)]
