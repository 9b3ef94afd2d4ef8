"""What is left of campaigns in the queue, and the end of their gates' records.

Contract: `waiting` names the campaigns of those asked for that still have mail, routed or not, leased or deferred.
`forget` deletes gates that are open and the canary's allowance of their scope; a gate that was closed meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, select

from core.events import GateState
from core.state import CANARY, Gate
from storage.database import Database
from storage.queue.rows import UNROUTED_ID
from storage.tables import allowances, gates, queue, queue_groups

_GROUPS = select(queue_groups.c.stream, queue_groups.c.campaign).where(
    queue_groups.c.queued > 0, queue_groups.c.campaign != ""
)
_UNROUTED = (
    select(queue.c.message_id)
    .where(
        queue.c.group_id == UNROUTED_ID, queue.c.stream == bindparam("of_stream"),
        queue.c.campaign == bindparam("of_campaign"),
    )
    .limit(1)
)  # fmt: skip
_FORGET = delete(gates).where(
    gates.c.scope == bindparam("of"), gates.c.rule == bindparam("under"), gates.c.state == str(GateState.OPEN)
)
_FORGET_SLICE = delete(allowances).where(allowances.c.key == bindparam("of_key"))


class SqlCampaigns:
    """See the module."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def waiting(self, asked: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of these (stream, campaign) those with mail in the queue."""
        wanted = sorted(set(asked))
        return await self._db.read(lambda connection: _waiting(connection, wanted)) if wanted else set()

    async def forget(self, found: Sequence[Gate]) -> int:
        """How many records went."""
        return await self._db.transact(lambda connection: sum(_forget(connection, gate) for gate in found))


def _waiting(connection: Connection, wanted: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    routed = {(row.stream, row.campaign) for row in connection.execute(_GROUPS)}
    return {
        (stream, campaign)
        for stream, campaign in wanted
        if (stream, campaign) in routed
        or connection.execute(_UNROUTED, {"of_stream": stream, "of_campaign": campaign}).first() is not None
    }


def _forget(connection: Connection, gate: Gate) -> int:
    gone: int = connection.execute(_FORGET, {"of": gate.scope.key, "under": gate.rule}).rowcount
    if gone and gate.rule == CANARY:
        connection.execute(_FORGET_SLICE, {"of_key": f"canary:{gate.scope.key}"})
    return gone
