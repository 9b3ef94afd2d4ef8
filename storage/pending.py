"""What a transaction leaves for its last moment: events, and the figures of queue groups.

Contract: code inside a transaction only notes (`pending(connection)`); `flush` writes it all right before the commit,
under one lock.  So the log's order is the commit order (a reader that follows `seq` never skips an event that commits
late), the figures of hot groups are locked for the blink of a commit, and since this lock is always the last one that
a transaction takes, no two nodes can wait for each other in a circle over it.
Raises Overtaken when a queue group was removed since the transaction looked it up: run the transaction again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, text, update

from core.events import Event
from storage.codec import EncodedEvent, event_row
from storage.direct import Direct
from storage.statements import Rows
from storage.tables import events, queue_groups

_LOG_LOCK = 0x50454E53
_TAKE_LOG_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
_EVENTS = Rows(events)
_ADD = Direct(
    update(queue_groups)
    .where(queue_groups.c.id == bindparam("group"))
    .values(queued=queue_groups.c.queued + bindparam("rows"), waited=queue_groups.c.waited + bindparam("seconds"))
)


class Overtaken(Exception):
    """Another node changed what this transaction had read; it can simply run again."""


@dataclass(slots=True)
class Pending:
    """Notes of one transaction, or of one call in it."""

    events: list[Event | EncodedEvent] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)  # queue group → rows more (or less)
    waits: dict[int, float] = field(default_factory=dict)  # queue group → seconds of waiting more

    def append(self, new: Sequence[Event | EncodedEvent]) -> None:
        """Events to be written.  Those of a large batch come encoded: a commit keeps other writers waiting."""
        self.events.extend(new)

    def count(self, group: int, rows: int) -> None:
        """Rows that came into a queue group (or left it)."""
        self.rows[group] = self.rows.get(group, 0) + rows

    def wait(self, group: int, seconds: float) -> None:
        """Waiting that every row of a queue group is granted."""
        self.waits[group] = self.waits.get(group, 0.0) + seconds

    def merge(self, other: Pending) -> None:
        """Take over the notes of a call that went well."""
        self.append(other.events)
        for group, rows in other.rows.items():
            self.count(group, rows)
        for group, seconds in other.waits.items():
            self.wait(group, seconds)


def begin(connection: Connection) -> None:
    """Start with empty notes."""
    connection.info["pending"] = Pending()


def pending(connection: Connection) -> Pending:
    """The notes of the running call."""
    notes = connection.info["pending"]
    assert isinstance(notes, Pending)
    return notes


@contextmanager
def apart(connection: Connection) -> Iterator[None]:
    """Notes of a part of the running call: kept when it goes well, forgotten when it raises."""
    before = pending(connection)
    begin(connection)
    try:
        yield
        before.merge(pending(connection))
    finally:
        connection.info["pending"] = before


def flush(connection: Connection, notes: Pending) -> None:
    """Write the notes.  The transaction must commit next."""
    groups = sorted({g for g, n in notes.rows.items() if n} | {g for g, s in notes.waits.items() if s})
    if not notes.events and not groups:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(_TAKE_LOG_LOCK, {"lock": _LOG_LOCK})
    figures = [
        {"group": group, "rows": notes.rows.get(group, 0), "seconds": notes.waits.get(group, 0.0)} for group in groups
    ]
    if figures and _ADD.run_each(connection, figures) != len(figures):
        raise Overtaken("a queue group is gone")
    if notes.events:
        _EVENTS.add(connection, [event if isinstance(event, dict) else event_row(event) for event in notes.events])
