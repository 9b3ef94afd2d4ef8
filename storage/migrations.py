"""Numbered migrations: each runs once, in order, inside one transaction, on either database.

Never edit one that was released; add the next number.  Raises Unavailable when the database was written by a
newer version, or cannot be opened.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, func, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from core.errors import Unavailable
from storage import tables
from storage.audience import create_audience
from storage.choices import create_choices
from storage.database import public_text
from storage.engagements import create_engagements
from storage.feedback import create_feedback
from storage.frequency import create_frequency
from storage.lore import create_lore
from storage.notices import create_notices
from storage.observations import create_observations
from storage.optins import create_optins
from storage.queue.lists import add_list_sources
from storage.queue.pools import add_pools
from storage.queue.upkeep import add_deadlines
from storage.rates import create_rates
from storage.refused import create_refused
from storage.report_writing import take_over
from storage.suppressions import give_ends
from storage.tlsrpt import create_tlsrpt

_version = Table("schema_version", MetaData(), Column("number", Integer, primary_key=True))
_MIGRATION_LOCK = 0x50454E54
# where rows lie until their domain is routed
UNROUTED_GROUP = {
    "id": 0, "sending_domain": "", "provider": "", "site": "", "stream": "", "campaign": "", "priority": -1,
    "queued": 0, "waited": 0.0, "created": 0.0,
}  # fmt: skip


def _first(connection: Connection) -> None:
    tables.metadata.create_all(connection)
    connection.execute(insert(tables.queue_groups).values(UNROUTED_GROUP))


def _recipients(connection: Connection) -> None:
    """Topics of queued mail, opens and clicks, consents, chosen frequencies."""
    if "topic" not in {column["name"] for column in inspect(connection).get_columns("queue")}:
        connection.execute(text("ALTER TABLE queue ADD COLUMN topic TEXT NOT NULL DEFAULT ''"))
    create_engagements(connection)
    create_optins(connection)
    create_choices(connection)


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _first,
    create_observations,
    create_frequency,
    create_feedback,
    _recipients,
    give_ends,
    take_over,
    add_deadlines,
    create_notices,
    add_pools,
    create_rates,
    create_tlsrpt,
    create_lore,
    create_audience,
    add_list_sources,
    create_refused,
)


def migrate(engine: Engine) -> int:
    """Bring the schema to this version's number, which is returned."""
    try:
        return _migrate(engine)
    except DBAPIError as error:
        url = engine.url
        where = (
            url.database if url.get_backend_name() == "sqlite" else f"{url.database} on {url.host or 'this machine'}"
        )
        raise Unavailable(
            f"The database {where} cannot be prepared: {public_text(error)}. "
            "Check storage.url, and that its file (SQLite) or server is there and may be written"
        ) from error


def _migrate(engine: Engine) -> int:
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # two nodes that start together must not migrate together
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        _version.create(connection, checkfirst=True)
        current = connection.execute(select(func.max(_version.c.number))).scalar() or 0
        if current > len(MIGRATIONS):
            known = len(MIGRATIONS)
            raise Unavailable(f"The database has schema {current}, this version knows {known}: upgrade Penstock")
        for number, step in enumerate(MIGRATIONS[current:], start=current + 1):
            step(connection)
            connection.execute(insert(_version).values(number=number))
    return len(MIGRATIONS)
