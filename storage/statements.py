"""Statements that both databases write alike and SQLAlchemy's common dialect lacks: INSERT … ON CONFLICT; and portions.

Built once, as module constants, from the tables' own names: nothing from outside enters their text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Table, TextClause, text

CHUNK = 500  # names in one IN (...): SQLite takes 32,766 parameters, a planner rather fewer


def chunks(values: Sequence[str]) -> Iterator[list[str]]:
    """Parts that fit one statement."""
    for start in range(0, len(values), CHUNK):
        yield list(values[start : start + CHUNK])


def insert_or_ignore(table: Table) -> TextClause:
    """Insert a row by the names of its columns, unless one with the same key is there (rowcount 0 then)."""
    return text(f"{_insert(table)} ON CONFLICT DO NOTHING")


def upsert(table: Table, changes: str, *, only_if: str = "") -> TextClause:
    """Insert a row, or apply `changes` to the one with the same primary key (if `only_if` holds for it).

    In both, `excluded.x` is the new value and `<table>.x` the stored one."""
    key = ", ".join(column.name for column in table.primary_key)
    condition = f" WHERE {only_if}" if only_if else ""
    return text(f"{_insert(table)} ON CONFLICT ({key}) DO UPDATE SET {changes}{condition}")


def _insert(table: Table) -> str:
    names = [column.name for column in table.columns if not (column.primary_key and column.autoincrement is True)]
    places = ", ".join(f":{name}" for name in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"  # noqa: S608 -- our own names
