"""Claims: rows are leased and their allowances reserved in one transaction.

Contract: two claimers never get the same row (one writer on SQLite, SKIP LOCKED on PostgreSQL); a suppressed recipient
is never leased but ends as Dropped here, before any allowance is counted for it; what is granted never exceeds the
cap of any allowance.  A row that was given back unsent still holds its reservation and needs no second one of the same
day; one whose sender died does not, because its attempt may have been made.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, exists, or_, select, update

from core.events import Dropped, DropReason
from core.messages import Leased
from core.state import Claim
from core.tokens import MessageId
from storage.allowances import Allowance, reserve
from storage.direct import Direct
from storage.events import append_events
from storage.glance import Glance, plain
from storage.queue.groups import Group, find_group, key_of
from storage.queue.rows import RowState, remove_rows, submission_of
from storage.statements import CHUNK, chunks
from storage.tables import queue, suppressions

_PORTION = 100
_DROPS = 8  # portions of suppressed rows that one claim clears away; the next claim goes on
# a message without a topic has '' there, which is the scope of everything
_MATCHES = and_(
    suppressions.c.address == queue.c.normal,
    or_(suppressions.c.stream == "", suppressions.c.stream == queue.c.stream, suppressions.c.stream == queue.c.topic),
)
_Row = namedtuple(
    "_Row",
    (
        "message_id", "group_id", "body_id", "recipient", "stream", "sending_domain", "accepted_at", "not_before",
        "expiry", "priority", "campaign", "variables", "topic", "deadline", "pool", "list_source", "attempts",
        "first_sent_at", "reserved", "suppressed",
    ),
)  # fmt: skip
_FRONT = Direct(
    select(
        *(queue.c[name] for name in _Row._fields[:-1]),
        select(suppressions.c.reason).where(_MATCHES).limit(1).scalar_subquery(),
    )
    .where(
        queue.c.group_id == bindparam("group"),
        queue.c.state == bindparam("in_state"),
        queue.c.due_at <= bindparam("now"),
    )
    .order_by(queue.c.due_at)
    .limit(bindparam("rows"))
    .with_for_update(of=queue, skip_locked=True)
)
_LEASE = Direct(
    update(queue)
    .where(queue.c.message_id.in_(bindparam("ids", expanding=True)))
    .values(
        state=int(RowState.LEASED),
        source=bindparam("by_source"),
        reserved=bindparam("holding"),
        lease_node=bindparam("node"),
        lease_life=bindparam("life"),
        lease_until=bindparam("until"),
        leased_at=bindparam("now"),
        first_sent_at=case((queue.c.first_sent_at == 0, bindparam("now")), else_=queue.c.first_sent_at),
    ),
    names="ids",
)
_SENDABLE = select(queue.c.message_id).where(
    queue.c.message_id == bindparam("id"),
    queue.c.state == int(RowState.LEASED),
    queue.c.lease_node == bindparam("node"),
    queue.c.lease_until == bindparam("until"),
    ~exists().where(_MATCHES),
)

_SENDABLE_PLAIN = plain(_SENDABLE)


def claim_rows(connection: Connection, claim: Claim, life: str) -> list[Leased]:
    """Lease what may be sent: first attempts, then further ones."""
    group = find_group(connection, key_of(claim.group))
    if group is None:
        return []
    fresh = _take(connection, claim, group, RowState.FRESH, claim.fresh, claim.allowances, life)
    return fresh + _take(connection, claim, group, RowState.RETRY, claim.retries, claim.retry_allowances, life)


def is_sendable_at_a_glance(glance: Glance, lease: Leased, now: float) -> bool:
    """The same as `is_sendable`, by the same statement, without a transaction of its own."""
    return lease.lease_until > now and glance.first(_SENDABLE_PLAIN, _mark(lease)) is not None


def is_sendable(connection: Connection, lease: Leased, now: float) -> bool:
    """Whether the lease holds and the recipient may be mailed."""
    if lease.lease_until <= now:
        return False
    return connection.execute(_SENDABLE, _mark(lease)).first() is not None


def _mark(lease: Leased) -> dict[str, object]:
    return {"id": lease.submission.message_id, "node": lease.node, "until": lease.lease_until}


def _take(
    connection: Connection,
    claim: Claim,
    group: Group,
    state: RowState,
    wanted: int,
    allowances: Sequence[Allowance],
    life: str,
) -> list[Leased]:
    rows = _sendable_rows(connection, claim, group, state, min(wanted, CHUNK))
    holding = " ".join(sorted(f"{key}@{period}" for key, period, _ in allowances))
    needy = [row for row in rows if not holding or row.reserved != holding]
    granted = reserve(connection, allowances, len(needy)) if needy else 0
    refused = {row.message_id for row in needy[granted:]}
    taken = [row for row in rows if row.message_id not in refused]
    for ids in chunks([row.message_id for row in taken]):
        _LEASE.run(
            connection,
            {"ids": ids, "by_source": claim.lane.source, "holding": holding, "node": claim.node, "life": life,
             "until": claim.lease_until, "now": claim.now},
        )  # fmt: skip
    return [
        Leased(
            submission=submission_of(row, claim.group.provider, claim.group.site, group.waited), node=claim.node,
            source=claim.lane.source, lease_until=claim.lease_until, attempts=row.attempts,
            first_sent_at=row.first_sent_at or claim.now,
        )
        for row in taken
    ]  # fmt: skip


def _sendable_rows(connection: Connection, claim: Claim, group: Group, state: RowState, wanted: int) -> list[Any]:
    """The front of the line, after suppressed rows were dropped from it."""
    rows: list[Any] = []
    portion = wanted
    for _ in range(_DROPS if wanted > 0 else 0):
        parameters = {"group": group.id, "in_state": int(state), "now": claim.now, "rows": portion}
        rows = list(map(_Row._make, _FRONT.rows(connection, parameters)))
        suppressed = [row for row in rows if row.suppressed is not None]
        if not suppressed:
            break
        remove_rows(connection, suppressed)
        append_events(connection, [_dropped(row, claim.now) for row in suppressed])
        rows = [row for row in rows if row.suppressed is None]
        portion = max(wanted, _PORTION)  # where one is suppressed a whole list may be: a claim of one must get past it
    return rows[:wanted]


def _dropped(row: Any, now: float) -> Dropped:
    return Dropped(
        at=now, message_id=MessageId(row.message_id), recipient=row.recipient, stream=row.stream,
        campaign=row.campaign, reason=DropReason.SUPPRESSED, detail=row.suppressed,
    )  # fmt: skip
