"""Leases end: an outcome is written, or the row is given back unsent.

Contract: a terminal event leaves in the same transaction in which its row leaves the queue; a deferral keeps the row.
An outcome whose lease was lost meanwhile is still the truth about the message as long as no other outcome is stored: a
terminal one always ends a row that is still queued (sending again what was delivered is the worse error); a deferral
counts only while nobody else holds the row and no later attempt was counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection, bindparam, case, select, update

from core.events import Bounced, Deferred, Delivered, Dropped, SuppressionReason
from core.messages import Leased
from core.state import Settlement, Suppression
from core.tokens import MessageId
from storage.codec import text_of
from storage.direct import Direct
from storage.events import append_events
from storage.queue.rows import FIRST_IF_TRIED, IS_LEASED, UNLEASED_STATE, RowState, address_of, remove_rows
from storage.statements import chunks
from storage.suppressions import add_suppressions
from storage.tables import queue

Outcome: TypeAlias = Delivered | Deferred | Bounced | Dropped
_HELD = Direct(
    select(
        queue.c.message_id, queue.c.group_id, queue.c.body_id, queue.c.state, queue.c.attempts, queue.c.lease_node,
        queue.c.lease_until,
    )
    .where(queue.c.message_id.in_(bindparam("ids", expanding=True)))
    .order_by(queue.c.message_id)
    .with_for_update(),
    names="ids",
)  # fmt: skip


class _Held(NamedTuple):
    message_id: str
    group_id: int
    body_id: str
    state: int
    attempts: int
    lease_node: str
    lease_until: float


_NO_LEASE = {"lease_node": "", "lease_life": "", "lease_until": 0.0}
_DEFER = (
    update(queue)
    .where(queue.c.message_id == bindparam("id"))
    .values(
        state=int(RowState.RETRY),
        attempts=bindparam("made"),
        due_at=bindparam("retry_at"),
        first_sent_at=bindparam("first"),
        last_reply=bindparam("reply"),
        source=bindparam("by_source"),
        reserved="",
        **_NO_LEASE,
    )
)
# the age is extended by the whole time from the claim: none of it went into an attempt
_RELEASE = (
    update(queue)
    .where(
        queue.c.message_id == bindparam("id"),
        IS_LEASED,
        queue.c.lease_node == bindparam("node"),
        queue.c.lease_until == bindparam("until"),
    )
    .values(
        state=UNLEASED_STATE,
        due_at=case((bindparam("retry_at") > queue.c.due_at, bindparam("retry_at")), else_=queue.c.due_at),
        expiry=queue.c.expiry
        + case((bindparam("retry_at") > queue.c.leased_at, bindparam("retry_at") - queue.c.leased_at), else_=0.0),
        first_sent_at=FIRST_IF_TRIED,
        **_NO_LEASE,
    )
)


def settle_rows(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Write outcomes.  Raises ValueError for an event that is no outcome of its lease's message."""
    held: dict[str, _Held] = {}
    for ids in chunks(sorted({s.lease.submission.message_id for s in settlements})):
        held.update((row[0], _Held._make(row)) for row in _HELD.rows(connection, {"ids": ids}))
    ended: list[_Held] = []
    deferrals: list[dict[str, object]] = []
    outcomes: list[Outcome] = []
    suppress: list[tuple[Suppression, MessageId | None]] = []
    for settlement in settlements:
        outcome = _outcome(settlement)
        row = held.get(outcome.message_id)
        if row is None:
            continue
        if isinstance(outcome, Deferred):
            if not _counts(settlement.lease, row):
                continue
            deferrals.append(_deferral(settlement.lease, outcome))
        else:
            ended.append(row)
        del held[outcome.message_id]
        outcomes.append(outcome)
        if settlement.suppress is not None:
            suppress.append((_suppression(outcome, settlement.suppress), outcome.message_id))
    if deferrals:
        connection.execute(_DEFER, deferrals)
    remove_rows(connection, ended)
    append_events(connection, outcomes)
    add_suppressions(connection, [entry for entry, _ in suppress], [message_id for _, message_id in suppress])


def release_rows(connection: Connection, leases: Sequence[Leased], retry_at: float) -> None:
    """Give rows back that are still held under these leases."""
    rows = [
        {"id": lease.submission.message_id, "node": lease.node, "until": lease.lease_until, "retry_at": retry_at}
        for lease in sorted(leases, key=lambda lease: lease.submission.message_id)
    ]
    if rows:
        connection.execute(_RELEASE, rows)


def _outcome(settlement: Settlement) -> Outcome:
    event, message_id = settlement.event, settlement.lease.submission.message_id
    if not isinstance(event, Outcome) or event.message_id != message_id:
        raise ValueError(f"{type(event).__name__} is no outcome of message {message_id}")
    return event


def _counts(lease: Leased, row: _Held) -> bool:
    """Whether a deferral under this lease still says something new about its row."""
    if row.state == RowState.LEASED:
        return row.lease_node == lease.node and row.lease_until == lease.lease_until
    return row.attempts == lease.attempts


def _deferral(lease: Leased, event: Deferred) -> dict[str, object]:
    return {
        "id": event.message_id, "made": event.attempt, "retry_at": event.retry_at, "first": lease.first_sent_at,
        "reply": text_of(event.reply), "by_source": lease.source,
    }  # fmt: skip


def _suppression(event: Outcome, reason: SuppressionReason) -> Suppression:
    evidence = event.detail if isinstance(event, Dropped) else str(event.reply)
    return Suppression(
        address=address_of(event.recipient).normal, stream="", reason=reason, at=event.at, evidence=evidence
    )
