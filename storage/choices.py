"""How often recipients want mail of a stream, where they chose: at most one message in so many days.

Contract: a message is counted by one conditional UPDATE of the recipient's own row, so two nodes cannot both count one
for the same span.  Recipients who chose nothing have no row and cost one look at an index.  A message that was counted
and then not accepted is given back; a crash between the two costs the recipient one mail, never brings one too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    bindparam,
    delete,
    select,
    update,
)

from storage.database import Database
from storage.statements import chunks, upsert

_DAY = 86400.0
metadata = MetaData()
choices = Table(
    "frequency_choices",
    metadata,
    Column("address", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("days", Integer, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("before_at", Double, nullable=False),  # last_at before the last count, for giving it back
    PrimaryKeyConstraint("address", "stream"),
)
_C = choices.c
_OF = select(_C.stream, _C.days).where(_C.address == bindparam("of"))
_PUT = upsert(choices, "days = excluded.days")
_REMOVE = delete(choices).where(_C.address == bindparam("of"), _C.stream == bindparam("of_stream"))
_WHO = select(_C.address, _C.days).where(
    _C.address.in_(bindparam("addresses", expanding=True)), _C.stream == bindparam("of_stream")
)
_TAKE = (
    update(choices)
    .where(
        _C.address == bindparam("of"),
        _C.stream == bindparam("of_stream"),
        _C.last_at <= bindparam("now") - _C.days * _DAY,
    )
    .values(before_at=_C.last_at, last_at=bindparam("now"))
)
_GIVE_BACK = (
    update(choices)
    .where(_C.address == bindparam("of"), _C.stream == bindparam("of_stream"), _C.last_at == bindparam("now"))
    .values(last_at=_C.before_at)
)


def create_choices(connection: Connection) -> None:
    """The migration that brings the table."""
    metadata.create_all(connection)


class SqlFrequencies:
    """core.ports.Frequencies."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def choices(self, address: str) -> dict[str, int]:
        return await self._db.read(
            lambda connection: {row.stream: row.days for row in connection.execute(_OF, {"of": address})}
        )

    async def choose(self, address: str, days: Mapping[str, int]) -> None:
        def write(connection: Connection) -> None:
            for stream, wanted in sorted(days.items()):
                if wanted > 0:
                    row = {"address": address, "stream": stream, "days": wanted, "last_at": 0.0, "before_at": 0.0}
                    connection.execute(_PUT, row)
                else:
                    connection.execute(_REMOVE, {"of": address, "of_stream": stream})

        await self._db.transact(write)

    async def take(self, addresses: Iterable[str], stream: str, now: float) -> dict[str, int]:
        wanted = sorted(set(addresses))
        known = await self._db.read(lambda connection: _chosen(connection, wanted, stream))
        if not known:  # the usual case: nobody here chose, nothing is written
            return {}
        return await self._db.transact(lambda connection: _take(connection, known, stream, now))

    async def give_back(self, addresses: Iterable[str], stream: str, now: float) -> None:
        rows = [{"of": address, "of_stream": stream, "now": now} for address in sorted(set(addresses))]
        if rows:
            await self._db.transact(lambda connection: connection.execute(_GIVE_BACK, rows))


def _chosen(connection: Connection, addresses: list[str], stream: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in chunks(addresses):
        for row in connection.execute(_WHO, {"addresses": part, "of_stream": stream}):
            found[row.address] = row.days
    return found


def _take(connection: Connection, known: dict[str, int], stream: str, now: float) -> dict[str, int]:
    """In the order of addresses on every node, so that two batches cannot wait for each other in a circle."""
    refused: dict[str, int] = {}
    for address, days in sorted(known.items()):
        if connection.execute(_TAKE, {"of": address, "of_stream": stream, "now": now}).rowcount == 0:
            refused[address] = days
    return refused
