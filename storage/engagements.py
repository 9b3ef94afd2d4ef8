"""What was opened and followed already: one mark for each kind of open or click of a message.

Contract: the mark is written in the transaction that appends its event, so on any number of nodes each kind leaves one
event a message (clicks: one a link and kind of actor), and a thousand fetches of one pixel cost the log one row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Executable,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    bindparam,
    delete,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from core.events import Clicked, Event, Opened
from storage.database import Database
from storage.events import append_events

metadata = MetaData()
engagements = Table(
    "engagements",
    metadata,
    Column("message_id", Text, nullable=False),
    Column("mark", Text, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("message_id", "mark"),
    Index("engagements_at", "at"),
)
_INSERT: dict[str, Executable] = {
    "sqlite": sqlite_insert(engagements)
    .on_conflict_do_nothing()
    .returning(engagements.c.message_id, engagements.c.mark),
    "postgresql": postgresql_insert(engagements)
    .on_conflict_do_nothing()
    .returning(engagements.c.message_id, engagements.c.mark),
}
_FORGET = delete(engagements).where(engagements.c.at < bindparam("before"))


def create_engagements(connection: Connection) -> None:
    """The migration that brings the table."""
    metadata.create_all(connection)


def _mark(event: Opened | Clicked) -> str:
    if isinstance(event, Opened):
        return f"open:{event.actor}"
    link = hashlib.blake2b(event.target.encode("utf-8", "replace"), digest_size=9).hexdigest()
    return f"click:{event.actor}:{link}"


class SqlEngagements:
    """core.ports.Engagements."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def record(self, found: Sequence[Opened | Clicked]) -> int:
        if not found:
            return 0
        return await self._db.transact(lambda connection: _record(connection, found))

    async def forget(self, before: float) -> int:
        return await self._db.transact(lambda connection: connection.execute(_FORGET, {"before": before}).rowcount)


def _record(connection: Connection, found: Sequence[Opened | Clicked]) -> int:
    first: dict[tuple[str, str], Opened | Clicked] = {}
    for event in found:
        first.setdefault((event.message_id, _mark(event)), event)
    # the mark of "any link" tells which click of a message is its first
    marks = {key: event.at for key, event in first.items()}
    for event in first.values():
        if isinstance(event, Clicked):
            marks.setdefault((event.message_id, f"click:{event.actor}"), event.at)
    # in one order on every node: two that see the same mail opened cannot wait for each other in a circle
    rows = [{"message_id": message_id, "mark": mark, "at": at} for (message_id, mark), at in sorted(marks.items())]
    new = {(row.message_id, row.mark) for row in connection.execute(_INSERT[connection.dialect.name], rows)}
    events: list[Event] = []
    for key, event in first.items():
        if key not in new:
            continue
        if isinstance(event, Clicked):
            any_link = (event.message_id, f"click:{event.actor}")
            event = replace(event, first=any_link in new)
            new.discard(any_link)
        events.append(event)
    append_events(connection, events)
    return len(events)
