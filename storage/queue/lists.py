"""The migration that lets queued mail and counters name the list that an address came from.

The list source belongs to a group's key, because a gate may close one list and dispatch decides about a group at once;
and to the counters' key, so that each list is judged for itself.  SQLite cannot change a constraint: there both tables
are made anew, which takes seconds for a million counters.  What was counted before names no list.
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, inspect, text

from storage.tables import counters, queue_groups

_GROUPS = "id, sending_domain, provider, site, stream, campaign, priority, queued, waited, created, pool"
_GROUP_KEY = "priority, sending_domain, provider, site, stream, campaign, pool, list_source"
_COUNTS = "source, sending_domain, provider, stream, campaign, cohort, metric, value"
_COUNT_KEY = "cohort, source, sending_domain, provider, stream, campaign, metric, list_source"


def add_list_sources(connection: Connection) -> None:
    """Add the columns."""
    if not _knows(connection, "queue"):
        connection.execute(text("ALTER TABLE queue ADD COLUMN list_source TEXT NOT NULL DEFAULT ''"))
    if not _knows(connection, "queue_groups"):
        if connection.dialect.name == "postgresql":
            _widen(connection, "queue_groups", f"queue_groups_key UNIQUE ({_GROUP_KEY})", "queue_groups_key")
        else:
            _anew(connection, queue_groups, _GROUPS)
    if not _knows(connection, "counters"):
        if connection.dialect.name == "postgresql":
            key = inspect(connection).get_pk_constraint("counters")["name"]
            _widen(connection, "counters", f"counters_key PRIMARY KEY ({_COUNT_KEY})", str(key))
        else:
            _anew(connection, counters, _COUNTS)


def _knows(connection: Connection, table: str) -> bool:
    return "list_source" in {column["name"] for column in inspect(connection).get_columns(table)}


def _widen(connection: Connection, table: str, constraint: str, before: str) -> None:
    connection.execute(text(f"ALTER TABLE {table} ADD COLUMN list_source TEXT NOT NULL DEFAULT ''"))
    connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {before}"))
    connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT {constraint}"))


def _anew(connection: Connection, table: Table, columns: str) -> None:
    before = f"{table.name}_before"
    connection.execute(text(f"ALTER TABLE {table.name} RENAME TO {before}"))
    table.create(connection)
    copy = f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {before}"  # noqa: S608  constants
    connection.execute(text(copy))
    connection.execute(text(f"DROP TABLE {before}"))
