"""Small named values of the service itself.  The last writer wins."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from storage.database import Database
from storage.statements import upsert
from storage.tables import meta as table

_GET = select(table.c.value).where(table.c.name == bindparam("which"))
_PUT = upsert(table, "value = excluded.value")


class SqlMeta:
    """core.ports.Meta."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, name: str) -> str | None:
        return await self._db.read(lambda connection: connection.execute(_GET, {"which": name}).scalar())

    async def put(self, name: str, value: str) -> None:
        await self._db.transact(lambda connection: connection.execute(_PUT, {"name": name, "value": value}))
