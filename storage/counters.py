"""Counters of the monitor and its place in the log: always moved together.

Contract: counters += deltas, gates with their events, cursor `before` → `after` in one transaction, or StorageConflict
and nothing.  Folding the log from zero gives the same counters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from core.errors import StorageConflict
from core.events import Event
from core.lane import Attribution, Campaign, Lane, Provider, SendingDomain, Source, Stream, Traffic
from core.state import CounterKey, Gate
from storage.controls import put_move
from storage.database import Database
from storage.events import append_events
from storage.statements import insert_or_ignore, upsert
from storage.tables import counters as table
from storage.tables import cursors

_LOAD = select(table).where(table.c.cohort >= bindparam("since"))
_CURSOR = select(cursors.c.seq).where(cursors.c.name == bindparam("which"))
_BEGIN = insert_or_ignore(cursors)
_MOVE = (
    update(cursors)
    .where(cursors.c.name == bindparam("which"), cursors.c.seq == bindparam("before"))
    .values(seq=bindparam("after"))
)
_ADD = upsert(table, "value = counters.value + excluded.value")


class SqlCounters:
    """core.ports.Counters."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def load(self, since_cohort: int) -> dict[CounterKey, int]:
        return await self._db.read(
            lambda connection: {_key(row): row.value for row in connection.execute(_LOAD, {"since": since_cohort})}
        )

    async def cursor(self, name: str) -> int:
        return await self._db.read(lambda connection: connection.execute(_CURSOR, {"which": name}).scalar() or 0)

    async def commit(
        self,
        name: str,
        before: int,
        after: int,
        deltas: dict[CounterKey, int],
        gates: Sequence[tuple[Gate, Event]],
        events: Sequence[Event] = (),
    ) -> None:
        def write(connection: Connection) -> None:
            if not move_cursor(connection, name, before, after):
                raise StorageConflict(f"The cursor {name} is no longer {before}; read it again")
            rows = [_row(key, n) for key, n in deltas.items() if n]
            if rows:
                connection.execute(_ADD, rows)
            for gate, event in gates:
                put_move(connection, gate, event)
            if events:
                append_events(connection, events)

        await self._db.transact(write)


def move_cursor(connection: Connection, name: str, before: int, after: int) -> bool:
    """Inside a transaction of the caller's.  False when it was no longer `before`."""
    if before == 0:
        connection.execute(_BEGIN, {"name": name, "seq": 0})
    return connection.execute(_MOVE, {"which": name, "before": before, "after": after}).rowcount == 1


def _row(key: CounterKey, n: int) -> dict[str, object]:
    traffic = key.attribution.traffic
    return {
        "source": traffic.lane.source, "sending_domain": traffic.lane.sending_domain,
        "provider": traffic.lane.provider, "stream": traffic.stream, "campaign": traffic.campaign,
        "cohort": key.attribution.cohort, "metric": str(key.metric), "value": n,
        "list_source": traffic.list_source,
    }  # fmt: skip


def _key(row: Any) -> CounterKey:
    lane = Lane(
        source=Source(row.source), sending_domain=SendingDomain(row.sending_domain), provider=Provider(row.provider)
    )
    traffic = Traffic(
        lane=lane, stream=Stream(row.stream), campaign=Campaign(row.campaign), list_source=row.list_source
    )
    return CounterKey(attribution=Attribution(traffic=traffic, cohort=row.cohort), metric=row.metric)
