"""Named leases of whole tasks: at most one process runs each.

Contract: `acquire` succeeds when nobody holds the name, its holder's time ran out, or the caller holds it already (then
it is extended).  Instants are the caller's; on many nodes their clocks must agree within the lease's margin.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete

from core.messages import Node
from storage.database import Database
from storage.statements import upsert
from storage.tables import leases as table

_ACQUIRE = upsert(
    table,
    "node = excluded.node, until = excluded.until",
    only_if="leases.node = excluded.node OR leases.until <= :now",
)
_RELEASE = delete(table).where(table.c.name == bindparam("which"), table.c.node == bindparam("by"))


class SqlLeases:
    """core.ports.Leases."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def acquire(self, name: str, node: Node, now: float, until: float) -> bool:
        lease = {"name": name, "node": node, "until": until, "now": now}
        return await self._db.transact(lambda connection: connection.execute(_ACQUIRE, lease).rowcount == 1)

    async def release(self, name: str, node: Node) -> None:
        await self._db.transact(lambda connection: connection.execute(_RELEASE, {"which": name, "by": node}))
