"""Rows of the queue: their states, and the way between them and the words of core.messages.

A row is FRESH until its first attempt ended, then RETRY; LEASED while a sender holds it.  It leaves the table in the
transaction that writes its terminal event, and its body goes with the last row that needs it.  The numbers stand in
partial indexes of the schema: never renumber them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, exists, literal_column, select

from core.address import Address
from core.lane import Campaign, Pool, Provider, SendingDomain, Site, Stream
from core.messages import BodyId, Submission
from core.recipient import topic_scope
from core.tokens import MessageId
from storage.direct import Direct
from storage.pending import pending
from storage.statements import chunks
from storage.tables import bodies, queue

UNROUTED_ID = 0


class RowState(IntEnum):
    """Where a row is.  Exclusive."""

    FRESH = 0
    RETRY = 1
    LEASED = 2


# a literal, not a parameter: only so do planners see that the partial index answers
IS_LEASED = queue.c.state == literal_column("2")
IS_WAITING = queue.c.state != literal_column("2")
# what a row is once nobody holds it
UNLEASED_STATE = case((queue.c.attempts == 0, int(RowState.FRESH)), else_=int(RowState.RETRY))
# an attempt that ended nothing gives no cohort: the next one begins it
FIRST_IF_TRIED = case((queue.c.attempts == 0, 0.0), else_=queue.c.first_sent_at)

_DELETE_ROWS = Direct(delete(queue).where(queue.c.message_id.in_(bindparam("ids", expanding=True))), names="ids")
_LOCK_BODIES = (
    select(bodies.c.body_id)
    .where(bodies.c.body_id.in_(bindparam("ids", expanding=True)))
    .order_by(bodies.c.body_id)
    .with_for_update()
)
_DELETE_BODIES = Direct(
    delete(bodies).where(
        bodies.c.body_id.in_(bindparam("ids", expanding=True)), ~exists().where(queue.c.body_id == bodies.c.body_id)
    ),
    names="ids",
)


def address_of(recipient: str) -> Address:
    """A validated recipient's parts."""
    local, _, domain = recipient.rpartition("@")
    return Address(local, domain)


def new_row(s: Submission, group: int) -> dict[str, object]:
    """The columns of a submission that was accepted into a group that has not waited yet."""
    address = address_of(s.recipient)
    return {
        "message_id": s.message_id, "group_id": group, "state": int(RowState.FRESH), "due_at": s.not_before - s.ahead,
        "expiry": s.expires_at, "recipient": s.recipient, "normal": address.normal, "domain": address.domain,
        "stream": s.stream, "campaign": s.campaign, "sending_domain": s.sending_domain, "body_id": s.body_id,
        "accepted_at": s.accepted_at, "not_before": s.not_before, "priority": s.priority,
        "variables": json.dumps(s.variables) if s.variables else "", "attempts": 0, "first_sent_at": 0.0, "source": "",
        "topic": topic_scope(s.stream, s.topic), "deadline": s.deadline, "pool": s.pool, "list_source": s.list_source,
        "reserved": "", "last_reply": "", "lease_node": "", "lease_life": "", "lease_until": 0.0, "leased_at": 0.0,
    }  # fmt: skip


def submission_of(row: Any, provider: Provider, site: Site, waited: float) -> Submission:
    """The submission of a row whose group goes to `provider` and `site`; its age is extended by what was waited."""
    return Submission(
        message_id=MessageId(row.message_id), recipient=row.recipient, stream=Stream(row.stream),
        sending_domain=SendingDomain(row.sending_domain), body_id=BodyId(row.body_id), accepted_at=row.accepted_at,
        not_before=row.not_before, expires_at=row.expiry + waited, priority=row.priority,
        campaign=Campaign(row.campaign), provider=provider, site=site,
        variables=json.loads(row.variables) if row.variables else {}, topic=row.topic.partition("/")[2],
        deadline=row.deadline, pool=Pool(row.pool), list_source=row.list_source,
    )  # fmt: skip


def remove_rows(connection: Connection, rows: Iterable[Any]) -> None:
    """Take rows (message_id, group_id, body_id) out of the queue, and bodies that no row needs any more."""
    gone = list(rows)
    for ids in chunks([row.message_id for row in gone]):
        _DELETE_ROWS.run(connection, {"ids": ids})
    notes = pending(connection)
    for row in gone:
        notes.count(row.group_id, -1)
    for ids in chunks(sorted({row.body_id for row in gone})):
        if connection.dialect.name == "postgresql":
            # the second of two nodes that each remove one of the last two rows must see the first one's removal
            connection.execute(_LOCK_BODIES, {"ids": ids})
        _DELETE_BODIES.run(connection, {"ids": ids})
