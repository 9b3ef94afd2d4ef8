"""Message bodies.  Queue.accept stores them; the queue removes each with the last row that needs it."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from core.errors import Unavailable
from core.messages import Body, BodyId
from storage.database import Database
from storage.tables import bodies

_BODY = select(bodies).where(bodies.c.body_id == bindparam("which"))


class SqlSpool:
    """core.ports.Spool.  Raises Unavailable for a body that is gone: its last row was settled meanwhile."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def body(self, body_id: BodyId) -> Body:
        def look(connection: Connection) -> Body:
            row = connection.execute(_BODY, {"which": body_id}).first()
            if row is None:
                raise Unavailable(f"The body {body_id} is not stored (any more)")
            return Body(body_id=BodyId(row.body_id), kind=row.kind, content=bytes(row.content))

        return await self._db.read(look)
