"""The append-only event log.

Contract: `seq` rises in commit order, so that whoever reads on from the last `seq` misses nothing (storage.pending
holds the lock that makes it so); gaps are allowed.  Changes of state append through `append_events` in their own
transaction.  A second terminal event of a message is refused with StorageConflict, whoever writes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, func, select

from core.events import Accepted, Event, Logged
from core.tokens import MessageId
from storage.codec import EncodedEvent, logged
from storage.database import Database
from storage.direct import Direct
from storage.pending import pending
from storage.statements import chunks
from storage.tables import events
from storage.tail import Tail

_COLUMNS = (events.c.seq, events.c.kind, events.c.body)
_READ = Direct(
    select(*_COLUMNS).where(events.c.seq > bindparam("after")).order_by(events.c.seq).limit(bindparam("rows"))
)
_HEAD = select(func.max(events.c.seq))
_OF_MESSAGE = select(*_COLUMNS).where(events.c.message_id == bindparam("id")).order_by(events.c.seq)
_ACCEPTED = select(*_COLUMNS).where(
    events.c.message_id.in_(bindparam("ids", expanding=True)), events.c.kind == "Accepted"
)
_OF_PAUSE = select(*_COLUMNS).where(events.c.pause_id == bindparam("id")).order_by(events.c.seq)
_RECENT = (
    select(*_COLUMNS)
    .where(events.c.kind == bindparam("kind"), events.c.seq < bindparam("before"))
    .order_by(events.c.seq.desc())
    .limit(bindparam("rows"))
)
_END = 1 << 62
_GATHER = 0.01  # real seconds


def append_events(connection: Connection, new: Sequence[Event | EncodedEvent]) -> None:
    """Append inside a transaction of the caller's; written with its commit."""
    pending(connection).append(new)


class SqlEventLog:
    """core.ports.EventLog."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: set[asyncio.Future[None]] = set()
        self._tail = Tail()  # several parts follow the log: each event is read once for all of them
        db.on_append(self._wake)

    async def append(self, events: Sequence[Event]) -> None:
        await self._db.transact(lambda connection: append_events(connection, events))

    async def read(self, after: int, limit: int = 2000) -> list[Logged]:
        known = self._tail.after(after, limit)
        if known is not None and len(known) == limit:
            return known
        begin, rows = (after, limit) if known is None else (self._tail.end, limit - len(known))

        def look(connection: Connection) -> list[Logged]:
            return [logged(*row) for row in _READ.rows(connection, {"after": begin, "rows": rows})]

        found = await self._db.read(look)
        self._tail.extend(begin, found)
        return found if known is None else known + found

    async def head(self) -> int:
        return await self._db.read(lambda connection: connection.execute(_HEAD).scalar() or 0)

    async def of_message(self, message_id: MessageId) -> list[Logged]:
        return await self._rows(_OF_MESSAGE, {"id": message_id})

    async def accepted(self, ids: Collection[MessageId]) -> dict[MessageId, Accepted]:
        """How these messages came in, as far as the log goes back."""
        found: dict[MessageId, Accepted] = {}
        for part in chunks(sorted(ids)):
            for row in await self._rows(_ACCEPTED, {"ids": part}):
                if isinstance(row.event, Accepted):
                    found[row.event.message_id] = row.event
        return found

    async def recent(self, kinds: Sequence[str], limit: int, *, before: int = 0) -> list[Logged]:
        # one look a kind, each at the end of its own index: the log may hold millions of the others
        found: list[Logged] = []
        for kind in set(kinds):
            found += await self._rows(_RECENT, {"kind": kind, "rows": limit, "before": before or _END})
        return sorted(found, key=lambda logged: logged.seq, reverse=True)[:limit]

    async def of_pause(self, pause_id: str) -> list[Logged]:
        return await self._rows(_OF_PAUSE, {"id": pause_id})

    async def changed(self, timeout: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            # not wait_for: until Python 3.12 it may swallow a cancellation that comes with the answer
            async with asyncio.timeout(timeout):
                await future
            if not self._db.is_inline:
                await asyncio.sleep(_GATHER)  # what the next commits bring is read by the same look
        except TimeoutError:
            return  # the caller looks anyway
        finally:
            self._waiting.discard(future)

    def _wake(self) -> None:
        # runs on the writing thread
        for future in list(self._waiting):
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish, future)

    async def _rows(self, statement: object, parameters: dict[str, object]) -> list[Logged]:
        def read(connection: Connection) -> list[Logged]:
            rows = connection.execute(statement, parameters)  # type: ignore[call-overload]
            return [logged(row.seq, row.kind, row.body) for row in rows]

        return await self._db.read(read)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
