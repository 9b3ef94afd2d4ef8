"""What keeps the queue whole over time: leases of the dead come back, mail that is too old ends, remains go."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, inspect, or_, select, text, update

from core.classify import BounceClass
from core.events import Bounced
from core.lane import DAY, Attribution, Campaign, Lane, Provider, SendingDomain, Source, Stream, Traffic, cohort_of
from core.messages import Node, Submission
from core.reply import Reply
from core.tokens import MessageId
from storage.codec import REPLY
from storage.events import append_events
from storage.queue.groups import remove_empty_groups
from storage.queue.rows import FIRST_IF_TRIED, IS_LEASED, IS_WAITING, UNLEASED_STATE, remove_rows, submission_of
from storage.tables import idempotency, queue, queue_groups, route_waits

KEYS_LIVE = 7 * DAY  # how long an idempotency key is remembered
_MAX_GROUPS = 200  # with expired mail, looked at in one call
_RECOVER = (
    update(queue)
    .where(
        IS_LEASED,
        or_(
            queue.c.lease_until <= bindparam("now"),
            (queue.c.lease_node == bindparam("of_node")) & (queue.c.lease_life != bindparam("life")),
        ),
    )
    # the attempt may have been made before its sender died: what it had reserved is spent
    .values(
        state=UNLEASED_STATE,
        first_sent_at=FIRST_IF_TRIED,
        reserved="",
        lease_node="",
        lease_life="",
        lease_until=0.0,
    )
)
_WITH_EXPIRED = (
    select(queue_groups.c.id, queue_groups.c.provider, queue_groups.c.waited)
    .where(
        queue_groups.c.queued > 0,
        select(func.min(queue.c.expiry))
        .where(queue.c.group_id == queue_groups.c.id)
        .correlate(queue_groups)
        .scalar_subquery()
        <= bindparam("now") - queue_groups.c.waited,
    )
    .limit(_MAX_GROUPS)
)
_EXPIRED = (
    select(queue)
    .where(queue.c.group_id == bindparam("group"), queue.c.expiry <= bindparam("before"), IS_WAITING)
    .order_by(queue.c.expiry)
    .limit(bindparam("rows"))
    .with_for_update(skip_locked=True)
)
_OVERDUE = (
    select(queue, queue_groups.c.provider)
    .join(queue_groups, queue_groups.c.id == queue.c.group_id)
    .where(queue.c.deadline > 0, queue.c.deadline <= bindparam("now"), IS_WAITING)
    .limit(bindparam("rows"))
    .with_for_update(of=queue, skip_locked=True)
)
_FIND = (
    select(queue, queue_groups.c.provider, queue_groups.c.site, queue_groups.c.waited)
    .join(queue_groups, queue_groups.c.id == queue.c.group_id)
    .where(queue.c.message_id == bindparam("id"))
)
_OLD_KEYS = delete(idempotency).where(idempotency.c.at < bindparam("before"))
_OLD_WAITS = delete(route_waits).where(route_waits.c.retry_at < bindparam("before"))
_NEVER_TRIED = Reply(code=0, text="expired before the first attempt")


def recover_rows(connection: Connection, node: Node, life: str, now: float) -> int:
    """Return rows whose lease ran out, and those of another life of `node`."""
    return connection.execute(_RECOVER, {"now": now, "of_node": node, "life": life}).rowcount


def groups_with_expired(connection: Connection, now: float) -> list[Any]:
    """Groups (id, provider, waited) in which something is too old."""
    return list(connection.execute(_WITH_EXPIRED, {"now": now}))


def expire_rows(connection: Connection, groups: list[Any], now: float, limit: int) -> int:
    """End rows of these groups that are too old and that nobody holds.  How many."""
    gone: list[Any] = []
    for group in groups:
        if len(gone) >= limit:
            break
        parameters = {"group": group.id, "before": now - group.waited, "rows": limit - len(gone)}
        rows = list(connection.execute(_EXPIRED, parameters))
        append_events(connection, [_expired(row, group.provider, now) for row in rows])
        gone += rows
    remove_rows(connection, gone)
    return len(gone)


def any_overdue(connection: Connection, now: float) -> bool:
    """Whether something waits beyond its deadline."""
    return connection.execute(_OVERDUE, {"now": now, "rows": 1}).first() is not None


def end_overdue(connection: Connection, now: float, limit: int) -> int:
    """End rows that nobody holds and that their callers do not want sent any more.  How many."""
    rows = list(connection.execute(_OVERDUE, {"now": now, "rows": limit}))
    append_events(connection, [_expired(row, row.provider, now) for row in rows])
    remove_rows(connection, rows)
    return len(rows)


def add_deadlines(connection: Connection) -> None:
    """The migration that lets mail have a deadline; a new database has the column already."""
    if "deadline" not in {column["name"] for column in inspect(connection).get_columns(queue.name)}:
        connection.execute(text("ALTER TABLE queue ADD COLUMN deadline DOUBLE PRECISION NOT NULL DEFAULT 0"))
        connection.execute(text("CREATE INDEX queue_deadline ON queue (deadline) WHERE deadline > 0"))


def remove_remains(connection: Connection, now: float) -> None:
    """Forget old keys, waits of domains and empty groups."""
    connection.execute(_OLD_KEYS, {"before": now - KEYS_LIVE})
    connection.execute(_OLD_WAITS, {"before": now - DAY})
    remove_empty_groups(connection, now)


def find_row(connection: Connection, message_id: MessageId) -> Submission | None:
    """The row while it is queued."""
    row = connection.execute(_FIND, {"id": message_id}).first()
    return None if row is None else submission_of(row, row.provider, row.site, row.waited)


def _expired(row: Any, provider: str, now: float) -> Bounced:
    lane = Lane(
        source=Source(row.source), sending_domain=SendingDomain(row.sending_domain), provider=Provider(provider)
    )
    traffic = Traffic(
        lane=lane, stream=Stream(row.stream), campaign=Campaign(row.campaign), list_source=row.list_source
    )
    return Bounced(
        at=now, message_id=MessageId(row.message_id), recipient=row.recipient,
        attribution=Attribution(traffic=traffic, cohort=cohort_of(row.first_sent_at or now)), site="", remote="",
        reply=REPLY.validate_json(row.last_reply) if row.last_reply else _NEVER_TRIED,
        bounce_class=BounceClass.EXPIRED, attempt=row.attempts,
    )  # fmt: skip
