"""Groups of the queue: what dispatch decides about at once, each with a number.

Contract: a group's row exists as long as a queue row names it; `queued` and `waited` change only through
storage.pending.  `due_groups` looks at the front of each group's index and counts at most `COUNTED` rows there: a
million queued rows cost it no more than a thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, ScalarSelect, and_, bindparam, delete, func, literal_column, select

from core.lane import HOUR, Campaign, Pool, Provider, SendingDomain, Site, Stream
from core.messages import QueueGroup
from storage.direct import Direct
from storage.glance import Glance, plain
from storage.pending import Overtaken
from storage.queue.rows import UNROUTED_ID, RowState
from storage.statements import insert_or_ignore
from storage.tables import queue, queue_groups

COUNTED = 1000  # due rows that are counted; a longer line is told as so many
GLANCED, GLANCED_ROWS = 100, 20_000  # groups, and rows counted in them, of a look without a thread
_T = queue_groups.c
GroupKey: TypeAlias = tuple[str, str, str, str, str, int, str, str]
_KEY = (_T.sending_domain, _T.provider, _T.site, _T.stream, _T.campaign, _T.priority, _T.pool, _T.list_source)
_FIND = Direct(
    select(_T.id, _T.waited, _T.queued).where(and_(*(column == bindparam(f"k_{column.name}") for column in _KEY)))
)
_ADD = insert_or_ignore(queue_groups)
_DEPTH = select(_T.provider, func.sum(_T.queued)).where(_T.queued > 0).group_by(_T.provider)
_IS_ROUTED = _T.id != literal_column(str(UNROUTED_ID))
# younger ones stay: a group that is filled and emptied all day need not be made anew each time
_DELETE_EMPTY = delete(queue_groups).where(_T.queued == 0, _IS_ROUTED, _T.created < bindparam("before"))


class Group(NamedTuple):
    """A group's number and figures."""

    id: int
    waited: float
    queued: int


def _count(state: RowState) -> ScalarSelect[Any]:
    front = (
        select(literal_column("1").label("one"))
        .select_from(queue)
        .where(queue.c.group_id == _T.id, queue.c.state == int(state), queue.c.due_at <= bindparam("now"))
        .limit(COUNTED)
        .correlate(queue_groups)
        .subquery()
    )
    return select(func.count()).select_from(front).scalar_subquery()


def _oldest(state: RowState) -> ScalarSelect[Any]:
    return (
        select(func.min(queue.c.due_at))
        .where(queue.c.group_id == _T.id, queue.c.state == int(state))
        .correlate(queue_groups)
        .scalar_subquery()
    )


_DUE = select(
    *_KEY,
    _count(RowState.FRESH).label("fresh"),
    _count(RowState.RETRY).label("retries"),
    _oldest(RowState.FRESH).label("oldest_fresh"),
    _oldest(RowState.RETRY).label("oldest_retry"),
).where(_T.queued > 0, _IS_ROUTED)
_DUE_PLAIN = plain(_DUE)


def key_of(group: QueueGroup) -> GroupKey:
    """The columns that name a group."""
    return (
        group.sending_domain,
        group.provider,
        group.site,
        group.stream,
        group.campaign,
        group.priority,
        group.pool,
        group.list_source,
    )


def find_group(connection: Connection, key: GroupKey) -> Group | None:
    """A group by its key."""
    rows = _FIND.rows(connection, _parameters(key, "k_"))
    return Group._make(rows[0]) if rows else None


def ensure_groups(connection: Connection, keys: Iterable[GroupKey], now: float) -> dict[GroupKey, Group]:
    """Groups by key; those that are missing are made."""
    found: dict[GroupKey, Group] = {}
    for key in sorted(set(keys)):  # in one order on every node: two that make the same groups cannot block each other
        group = find_group(connection, key)
        if group is None:
            connection.execute(_ADD, {**_parameters(key, ""), "queued": 0, "waited": 0.0, "created": now})
            group = find_group(connection, key)
        if group is None:
            raise Overtaken(f"queue group {key}")
        found[key] = group
    return found


def due_groups(connection: Connection, now: float) -> list[QueueGroup]:
    """Groups with due rows that nobody holds: by priority, oldest first."""
    return _in_turn(connection.execute(_DUE, {"now": now}))


def due_groups_at_a_glance(glance: Glance, now: float) -> list[QueueGroup]:
    """The same, by the same statement, without a thread."""
    return _in_turn(glance.rows(_DUE_PLAIN, {"now": now}))


def are_few(groups: Sequence[QueueGroup]) -> bool:
    """Whether a look like the one that gave these may be a glance: it takes a few milliseconds at most."""
    return len(groups) <= GLANCED and sum(group.fresh + group.retries for group in groups) <= GLANCED_ROWS


def _in_turn(rows: Iterable[Any]) -> list[QueueGroup]:
    groups = [
        QueueGroup(
            sending_domain=SendingDomain(domain), provider=Provider(provider), site=Site(site), stream=Stream(stream),
            campaign=Campaign(campaign), priority=priority, pool=Pool(pool), list_source=list_source, fresh=fresh,
            retries=retries, oldest=min(at for at in oldest if at is not None),
        )
        for domain, provider, site, stream, campaign, priority, pool, list_source, fresh, retries, *oldest in rows
        if fresh or retries
    ]  # fmt: skip
    return sorted(groups, key=lambda group: (group.priority, group.oldest))


def depth(connection: Connection) -> dict[str, int]:
    """Queued rows by provider ('' unrouted)."""
    return {provider: int(queued) for provider, queued in connection.execute(_DEPTH)}


def remove_empty_groups(connection: Connection, now: float) -> None:
    """Forget groups that are long empty."""
    connection.execute(_DELETE_EMPTY, {"before": now - HOUR})


def _parameters(key: GroupKey, prefix: str) -> dict[str, object]:
    return {prefix + column.name: value for column, value in zip(_KEY, key, strict=True)}
