"""Message bodies.  Queue.accept stores them; the queue removes each with the last row that needs it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, select

from core.errors import Unavailable
from core.messages import Body, BodyId
from storage.database import Database
from storage.glance import plain
from storage.tables import bodies

_BODY = select(bodies.c.kind, bodies.c.content).where(bodies.c.body_id == bindparam("which"))
_BODY_PLAIN = plain(_BODY)


class SqlSpool:
    """core.ports.Spool.  Raises Unavailable for a body that is gone: its last row was settled meanwhile."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def body(self, body_id: BodyId) -> Body:
        # a sender asks before every message that came by itself
        row = self._db.glance.first(_BODY_PLAIN, {"which": body_id}) if self._db.glance else await self._read(body_id)
        if row is None:
            raise Unavailable(f"The body {body_id} is not stored (any more)")
        return Body(body_id=body_id, kind=row[0], content=bytes(row[1]))

    async def _read(self, body_id: BodyId) -> tuple[Any, ...] | None:
        def look(connection: Connection) -> tuple[Any, ...] | None:
            row = connection.execute(_BODY, {"which": body_id}).first()
            return None if row is None else tuple(row)

        return await self._db.read(look)
