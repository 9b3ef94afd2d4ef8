"""Mail comes in: bodies, rows, events and the caller's key in one transaction; later its domain's route is known.

A domain is routed once for all its rows that wait.  They move to their groups in portions, each a transaction of its
own, so that half a million rows of one domain do not keep everybody else from writing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, bindparam, delete, func, insert, literal_column, select, text, update

from core.events import Event
from core.lane import UNROUTED, Provider, Site
from core.messages import Body, FrequencyCap, Submission
from core.notices import NoticeOrder
from storage.codec import EncodedEvent, event_row
from storage.events import append_events
from storage.frequency import take_shares
from storage.glance import Glance, plain
from storage.notices import add_notices
from storage.pending import pending
from storage.queue.groups import GroupKey, ensure_groups
from storage.queue.rows import UNROUTED_ID, new_row
from storage.statements import Rows, chunks, upsert
from storage.tables import bodies, idempotency, queue, route_waits

_BEFORE_ALL = -(1 << 31)  # below every priority
PORTION = 500  # rows that are routed in one transaction: other writers wait for it
_ADD_KEY = insert(idempotency)
_BODIES = Rows(bodies, or_ignore=True)
_ROWS = Rows(queue)
_IS_UNROUTED = queue.c.group_id == literal_column(str(UNROUTED_ID))
_NEXT_PRIORITY = select(func.min(queue.c.priority)).where(_IS_UNROUTED, queue.c.priority > bindparam("after"))
_NEXT_PRIORITY_PLAIN = plain(_NEXT_PRIORITY)
# every domain once, without reading its rows: each step asks the index for the next greater one
_DOMAINS = text(
    "WITH RECURSIVE step(domain) AS ("
    " SELECT (SELECT min(domain) FROM queue WHERE group_id = 0 AND priority = :priority)"
    " UNION ALL"
    " SELECT (SELECT min(q.domain) FROM queue q WHERE q.group_id = 0 AND q.priority = :priority"
    " AND q.domain > step.domain) FROM step WHERE step.domain IS NOT NULL)"
    " SELECT step.domain FROM step WHERE step.domain IS NOT NULL"
    " AND coalesce((SELECT w.retry_at FROM route_waits w WHERE w.domain = step.domain), 0) <= :now LIMIT :rows"
)
_WAITING = (
    select(
        queue.c.message_id, queue.c.sending_domain, queue.c.stream, queue.c.campaign, queue.c.priority,
        queue.c.accepted_at, queue.c.pool, queue.c.list_source,
    )
    .where(_IS_UNROUTED, queue.c.priority == bindparam("which"), queue.c.domain == bindparam("of"))
    .limit(PORTION)
    .with_for_update(skip_locked=True)
)  # fmt: skip
_WAITING_OF_STREAM = _WAITING.where(queue.c.stream == bindparam("of_stream"))
_MOVE = (
    update(queue)
    .where(queue.c.message_id.in_(bindparam("ids", expanding=True)))
    .values(group_id=bindparam("to"), expiry=queue.c.expiry - bindparam("waited"))
)
_PUT_OFF = upsert(route_waits, "retry_at = excluded.retry_at")
_NO_WAIT = delete(route_waits).where(route_waits.c.domain == bindparam("of"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is taken over, made ready outside of the transaction: a commit keeps other writers waiting."""

    at: float
    bodies: Sequence[Body]
    rows: Sequence[tuple[GroupKey | None, dict[str, object]]]  # None: to be routed
    events: Sequence[EncodedEvent]


def loaded(new_bodies: Sequence[Body], submissions: Sequence[Submission], events: Sequence[Event]) -> Load:
    """Make ready."""
    return Load(
        at=max((s.accepted_at for s in submissions), default=events[0].at if events else 0.0), bodies=new_bodies,
        rows=[(None if s.provider == UNROUTED else _key(s), new_row(s, UNROUTED_ID)) for s in submissions],
        events=[event_row(event) for event in events],
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One call of Queue.accept."""

    load: Load
    remember: tuple[str, str] | None = None
    cap: FrequencyCap | None = None
    notices: NoticeOrder | None = None


def accept(connection: Connection, wishes: Sequence[Wish]) -> None:
    """Take over all of them or none.  IntegrityError when a key or a message id is known already; OverFrequency."""
    keys = [
        {"key": wish.remember[0], "answer": wish.remember[1], "at": wish.load.at} for wish in wishes if wish.remember
    ]
    if keys:
        connection.execute(_ADD_KEY, keys)
    for wish in wishes:
        if wish.cap is not None and wish.cap.addresses:
            take_shares(connection, wish.cap)
    _BODIES.add(
        connection,
        [{"body_id": b.body_id, "kind": b.kind, "content": b.content} for wish in wishes for b in wish.load.bodies],
    )
    _add_rows(connection, wishes)
    for wish in wishes:
        if wish.notices is not None:
            add_notices(connection, wish.notices)
        append_events(connection, wish.load.events)


def _add_rows(connection: Connection, wishes: Sequence[Wish]) -> None:
    keys = {key for wish in wishes for key, _ in wish.load.rows if key is not None}
    groups = ensure_groups(connection, keys, max((wish.load.at for wish in wishes), default=0.0))
    notes = pending(connection)
    rows: list[dict[str, object]] = []
    for key, row in (pair for wish in wishes for pair in wish.load.rows):
        if key is None:
            notes.count(UNROUTED_ID, 1)
            rows.append(row)
        else:
            group = groups[key]
            notes.count(group.id, 1)
            # a transaction may run twice: what was made ready stays as it is
            rows.append(row | {"group_id": group.id, "expiry": cast(float, row["expiry"]) - group.waited})
    _ROWS.add(connection, rows)


def any_unrouted_at_a_glance(glance: Glance) -> bool:
    """Whether any mail waits for its domain's route."""
    row = glance.first(_NEXT_PRIORITY_PLAIN, {"after": _BEFORE_ALL})
    return row is not None and row[0] is not None


def unrouted_domains(connection: Connection, limit: int, now: float) -> list[str]:
    """Domains to be routed, those of urgent mail first."""
    found: dict[str, None] = {}
    for priority in _priorities(connection):
        parameters = {"priority": priority, "now": now, "rows": limit - len(found)}
        found.update((row.domain, None) for row in connection.execute(_DOMAINS, parameters))
        if len(found) >= limit:
            break
    return list(found)


def route_portion(connection: Connection, domain: str, provider: Provider, site: Site, stream: str = "") -> bool:
    """Move one portion of a domain's rows (of one stream, or all) to their groups.  True when more may be left."""
    waiting = _WAITING_OF_STREAM if stream else _WAITING
    of_stream = {"of_stream": stream} if stream else {}
    for priority in _priorities(connection):
        rows = connection.execute(waiting, {"which": priority, "of": domain, **of_stream}).all()
        if not rows:
            continue
        by_key: defaultdict[GroupKey, list[str]] = defaultdict(list)
        for row in rows:
            key = (
                row.sending_domain,
                str(provider),
                str(site),
                row.stream,
                row.campaign,
                row.priority,
                row.pool,
                row.list_source,
            )
            by_key[key].append(row.message_id)
        groups = ensure_groups(connection, by_key, max(row.accepted_at for row in rows))
        notes = pending(connection)
        for key, members in by_key.items():
            group = groups[key]
            for ids in chunks(members):
                connection.execute(_MOVE, {"ids": ids, "to": group.id, "waited": group.waited})
            notes.count(UNROUTED_ID, -len(members))
            notes.count(group.id, len(members))
        return True
    if not stream:  # else the rest of the domain still waits
        connection.execute(_NO_WAIT, {"of": domain})
    return False


def put_off(connection: Connection, domain: str, retry_at: float) -> None:
    """Ask for the domain's route again at `retry_at`."""
    connection.execute(_PUT_OFF, {"domain": domain, "retry_at": retry_at})


def _key(s: Submission) -> GroupKey:
    return (
        str(s.sending_domain),
        str(s.provider),
        str(s.site),
        str(s.stream),
        str(s.campaign),
        s.priority,
        str(s.pool),
        s.list_source,
    )


def _priorities(connection: Connection) -> list[int]:
    """Priorities of unrouted mail, first to last."""
    found: list[int] = []
    after = _BEFORE_ALL
    while (priority := connection.execute(_NEXT_PRIORITY, {"after": after}).scalar()) is not None:
        found.append(priority)
        after = priority
    return found
