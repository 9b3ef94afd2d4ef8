"""The migration that lets queued mail name a pool; a new database has the columns already.

The pool belongs to a group's key, because dispatch decides about a group at once.  SQLite cannot change a constraint:
there the small table of groups is made anew.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from storage.tables import queue_groups

_COLUMNS = "id, sending_domain, provider, site, stream, campaign, priority, queued, waited, created"
_KEY = "priority, sending_domain, provider, site, stream, campaign, pool"


def add_pools(connection: Connection) -> None:
    """Add the columns; queued mail names no pool."""
    if "pool" not in {column["name"] for column in inspect(connection).get_columns("queue")}:
        connection.execute(text("ALTER TABLE queue ADD COLUMN pool TEXT NOT NULL DEFAULT ''"))
    if "pool" in {column["name"] for column in inspect(connection).get_columns("queue_groups")}:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text("ALTER TABLE queue_groups ADD COLUMN pool TEXT NOT NULL DEFAULT ''"))
        connection.execute(text("ALTER TABLE queue_groups DROP CONSTRAINT queue_groups_key"))
        connection.execute(text(f"ALTER TABLE queue_groups ADD CONSTRAINT queue_groups_key UNIQUE ({_KEY})"))
        return
    connection.execute(text("ALTER TABLE queue_groups RENAME TO queue_groups_before"))
    queue_groups.create(connection)
    connection.execute(
        text(f"INSERT INTO queue_groups ({_COLUMNS}) SELECT {_COLUMNS} FROM queue_groups_before")  # noqa: S608  constants
    )
    connection.execute(text("DROP TABLE queue_groups_before"))
