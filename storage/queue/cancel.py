"""Queued mail is taken back: portions of a scope end as Dropped, each in a transaction of its own.

Contract: a row that a sender holds is left alone; it is sent, or given back and found by a later portion.  A portion
reads the fronts of the groups in the scope, so that its cost does not grow with the queue; rows that wait for a route
are read along their group, which is short but for a moment.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from core.cancellation import Portion
from core.events import Dropped, DropReason
from core.lane import Scope
from core.tokens import MessageId
from storage.database import Database
from storage.events import append_events
from storage.queue.rows import IS_LEASED, UNROUTED_ID, RowState, remove_rows
from storage.tables import queue, queue_groups

_G, _Q = queue_groups.c, queue.c
_GROUPS = select(_G.id, _G.sending_domain, _G.provider, _G.site, _G.stream, _G.campaign, _G.list_source).where(
    _G.queued > 0
)
_NAMED = ("sending_domain", "stream", "campaign", "list_source")
_IN_SCOPE = and_(
    *(or_(bindparam(f"of_{name}") == "", _Q[name] == bindparam(f"of_{name}")) for name in _NAMED),
    or_(_Q.stream == bindparam("of_stream"), _Q.stream.not_in(bindparam("spare", expanding=True))),
    _Q.accepted_at <= bindparam("before"),
)
_WAITING = (
    select(_Q.message_id, _Q.group_id, _Q.body_id, _Q.recipient, _Q.stream, _Q.campaign)
    .where(_Q.group_id == bindparam("group"), _Q.state == bindparam("in_state"), _IN_SCOPE)
    .order_by(_Q.due_at)
    .limit(bindparam("rows"))
    .with_for_update(skip_locked=True)
)
_HELD = (
    select(func.count())
    .select_from(queue)
    .where(IS_LEASED, _Q.group_id.in_(bindparam("groups", expanding=True)), _IN_SCOPE)
)


class SqlCancelling:
    """core.cancellation.Cancelling."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def portion(self, scope: Scope, *, before: float, now: float, detail: str, limit: int) -> Portion:
        return await self._db.transact(lambda c: _portion(c, scope, before, now, detail, limit), alone=True)


def _portion(connection: Connection, scope: Scope, before: float, now: float, detail: str, limit: int) -> Portion:
    named: dict[str, object] = {f"of_{name}": getattr(scope, name) for name in _NAMED}
    named |= {"spare": list(scope.spare), "before": before}
    groups = [group.id for group in connection.execute(_GROUPS) if _may_hold(scope, group)]
    gone: list[Any] = []
    for group in groups:
        for state in (RowState.FRESH, RowState.RETRY):
            if len(gone) < limit:
                given = {**named, "group": group, "in_state": int(state), "rows": limit - len(gone)}
                gone += connection.execute(_WAITING, given)
    append_events(connection, [_dropped(row, now, detail) for row in gone])
    remove_rows(connection, gone)
    held = 0 if len(gone) == limit or not groups else connection.execute(_HELD, {**named, "groups": groups}).scalar()
    return Portion(ended=len(gone), held=int(held or 0))


def _may_hold(scope: Scope, group: Any) -> bool:
    """Whether mail of the scope may lie in the group; the rows are asked for the rest."""
    if group.id == UNROUTED_ID:
        return not scope.provider and not scope.site
    named = (*_NAMED, "provider", "site")
    return all(getattr(scope, name) in ("", getattr(group, name)) for name in named)


def _dropped(row: Any, now: float, detail: str) -> Dropped:
    return Dropped(
        at=now, message_id=MessageId(row.message_id), recipient=row.recipient, stream=row.stream,
        campaign=row.campaign, reason=DropReason.CANCELLED, detail=detail,
    )  # fmt: skip
