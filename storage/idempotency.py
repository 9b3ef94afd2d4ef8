"""Answers given under a caller's key.  Queue.accept writes them; storage.queue.upkeep forgets them after a week."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from storage.database import Database
from storage.glance import plain
from storage.tables import idempotency as table

_GET = select(table.c.answer).where(table.c.key == bindparam("which"))
_GET_PLAIN = plain(_GET)


class SqlIdempotency:
    """core.ports.Idempotency."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, key: str) -> str | None:
        if self._db.glance is not None:
            row = self._db.glance.first(_GET_PLAIN, {"which": key})
            return None if row is None else str(row[0])
        return await self._db.read(lambda connection: connection.execute(_GET, {"which": key}).scalar())
