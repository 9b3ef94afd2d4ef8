"""The watchdog's hands: every row of the queue in portions, and back into the line with those that nobody comes for.

Contract: a portion reads along the primary key, so that a look at a million rows is many short ones.  A row is put back
only while it is as it was seen.  Like `release`, putting back costs no attempt.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, delete, func, select, update

from core.events import PutBack
from core.progress import Resident, Stray
from core.tokens import MessageId
from storage.database import Database
from storage.events import append_events
from storage.pending import pending
from storage.queue.rows import IS_LEASED, IS_WAITING, UNLEASED_STATE, UNROUTED_ID, RowState
from storage.tables import queue, queue_groups, route_waits

_C = queue.c
_PORTION = (
    select(
        _C.message_id, _C.recipient, _C.domain, _C.group_id, _C.state, _C.due_at, _C.not_before, _C.attempts,
        _C.lease_until, queue_groups.c.id.label("known"), queue_groups.c.queued, route_waits.c.retry_at,
    )
    .select_from(queue)
    .outerjoin(queue_groups, queue_groups.c.id == _C.group_id)
    .outerjoin(route_waits, and_(_C.group_id == UNROUTED_ID, route_waits.c.domain == _C.domain))
    .where(_C.message_id > bindparam("after"))
    .order_by(_C.message_id)
    .limit(bindparam("rows"))
)  # fmt: skip
_IS = _C.message_id == bindparam("id")
_FREE = (
    update(queue)
    .where(_IS, IS_LEASED, _C.lease_until == bindparam("seen"))
    .values(state=UNLEASED_STATE, reserved="", lease_node="", lease_life="", lease_until=0.0, due_at=bindparam("now"))
)
_MAKE_DUE = update(queue).where(_IS, IS_WAITING, _C.due_at == bindparam("seen")).values(due_at=bindparam("due"))
_UNROUTE = update(queue).where(_IS, IS_WAITING, _C.group_id == bindparam("seen")).values(group_id=UNROUTED_ID)
_IN_GROUP = select(func.count()).select_from(queue).where(_C.group_id == bindparam("of"))
_COUNT = update(queue_groups).where(queue_groups.c.id == bindparam("of")).values(queued=bindparam("rows"))
_ASK = delete(route_waits).where(route_waits.c.domain == bindparam("of"), route_waits.c.retry_at == bindparam("seen"))


class SqlResidents:
    """core.progress.Residents."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def portion(self, after: str, limit: int) -> list[Resident]:
        return await self._db.read(lambda connection: _portion(connection, after, limit))

    async def put_back(self, found: Sequence[tuple[Resident, Stray]], now: float) -> int:
        if not found:
            return 0
        return await self._db.transact(lambda connection: _put_back(connection, found, now), alone=True)


def _portion(connection: Connection, after: str, limit: int) -> list[Resident]:
    return [
        Resident(
            message_id=MessageId(row.message_id), recipient=row.recipient, group=row.group_id,
            is_leased=row.state == RowState.LEASED, due_at=row.due_at, not_before=row.not_before,
            attempts=row.attempts, lease_until=row.lease_until, group_known=row.known is not None,
            group_queued=row.queued or 0, route_at=row.retry_at or 0.0,
        )
        for row in connection.execute(_PORTION, {"after": after, "rows": limit})
    ]  # fmt: skip


def _put_back(connection: Connection, found: Sequence[tuple[Resident, Stray]], now: float) -> int:
    done: list[PutBack] = []
    counted: set[int] = set()
    for resident, stray in found:
        if _repair(connection, resident, stray, now, counted):
            done.append(PutBack(
                at=now, message_id=resident.message_id, recipient=resident.recipient, reason=str(stray),
                detail=_detail(resident, stray),
            ))  # fmt: skip
            if stray is Stray.GROUP_LOST:
                pending(connection).count(UNROUTED_ID, 1)
    append_events(connection, done)
    return len(done)


def _repair(connection: Connection, resident: Resident, stray: Stray, now: float, counted: set[int]) -> bool:
    identity: dict[str, object] = {"id": resident.message_id}
    match stray:
        case Stray.LEASE_TOO_LONG | Stray.LEASE_LEFT:
            change = connection.execute(_FREE, {**identity, "seen": resident.lease_until, "now": now})
        case Stray.DUE_TOO_LATE | Stray.SEND_AT_MISSED:
            due = max(now, resident.not_before) if not resident.attempts else now
            change = connection.execute(_MAKE_DUE, {**identity, "seen": resident.due_at, "due": due})
        case Stray.GROUP_LOST:
            change = connection.execute(_UNROUTE, {**identity, "seen": resident.group})
        case Stray.GROUP_UNCOUNTED:
            if resident.group in counted:  # told once for all of its rows
                return False
            counted.add(resident.group)
            rows = connection.execute(_IN_GROUP, {"of": resident.group}).scalar() or 0
            return connection.execute(_COUNT, {"of": resident.group, "rows": rows}).rowcount == 1
        case Stray.ROUTE_TOO_LATE:
            domain = resident.recipient.rpartition("@")[2]
            return connection.execute(_ASK, {"of": domain, "seen": resident.route_at}).rowcount == 1
    return change.rowcount == 1


def _detail(resident: Resident, stray: Stray) -> str:
    match stray:
        case Stray.LEASE_TOO_LONG | Stray.LEASE_LEFT:
            return f"leased until {resident.lease_until:.0f}"
        case Stray.DUE_TOO_LATE | Stray.SEND_AT_MISSED:
            return f"due at {resident.due_at:.0f}"
        case Stray.ROUTE_TOO_LATE:
            return f"route asked for at {resident.route_at:.0f}"
        case Stray.GROUP_LOST | Stray.GROUP_UNCOUNTED:
            return f"group {resident.group}"
