"""Feedback over time (core.feedback.FeedbackStore): soft bounces by address, counts by day, texts that nobody knows.

Contract: a batch and its place in the log are one transaction, or StorageConflict and nothing.  A suppression that is
lifted must still be a HARD_BOUNCE entry of every stream: an operator's or a person's own word is never undone here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    or_,
    select,
    update,
)

from core.classify import BounceClass
from core.errors import StorageConflict
from core.events import SuppressionReason, SuppressionRemoved
from core.feedback import FeedbackChanges, ReplyCluster, SoftRecord, Tally
from storage.database import Database
from storage.direct import Direct
from storage.events import append_events
from storage.statements import chunks, insert_or_ignore, upsert
from storage.suppressions import add_suppressions
from storage.tables import cursors, suppressions

CURSOR = "feedback"
metadata = MetaData()
soft_bounces = Table(
    "soft_bounces",
    metadata,
    Column("address", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("hits", Integer, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("last_id", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("delivered_at", Double, nullable=False),
    Column("delivered_id", Text, nullable=False),
    Column("asked_at", Double, nullable=False),
    PrimaryKeyConstraint("address", "kind"),
    Index("soft_bounces_asked", "kind", "asked_at"),
)
feedback_days = Table(
    "feedback_days",
    metadata,
    Column("tally", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("n", BigInteger, nullable=False),
    PrimaryKeyConstraint("tally", "name", "day"),
    Index("feedback_days_day", "tally", "day"),
)
reply_clusters = Table(
    "reply_clusters",
    metadata,
    Column("provider", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("sample", Text, nullable=False),
    PrimaryKeyConstraint("provider", "shape"),
    Index("reply_clusters_last", "last_at"),
)
MAX_CLUSTERS = 5000  # stored; the least recent go first

_S, _D, _R = soft_bounces.c, feedback_days.c, reply_clusters.c
_PUT = upsert(
    soft_bounces,
    "hits = excluded.hits, first_at = excluded.first_at, last_at = excluded.last_at, last_id = excluded.last_id, "
    "evidence = excluded.evidence, delivered_at = excluded.delivered_at, delivered_id = excluded.delivered_id, "
    "asked_at = excluded.asked_at",
)
_DROP = delete(soft_bounces).where(_S.address == bindparam("which"), _S.kind == bindparam("of"))
_FIND = Direct(select(soft_bounces).where(_S.address.in_(bindparam("addresses", expanding=True))), names="addresses")
_DUE = (
    select(soft_bounces)
    .where(_S.kind == bindparam("of"), _S.asked_at < bindparam("before"))
    .order_by(_S.asked_at)
    .limit(bindparam("rows"))
)
_ADD = upsert(feedback_days, "n = feedback_days.n + excluded.n")
_DAYS = select(feedback_days).where(
    _D.tally == bindparam("of"),
    _D.day >= bindparam("since"),
    or_(bindparam("any_name"), _D.name == bindparam("of_name")),
)
_SEE = upsert(
    reply_clusters, "seen = reply_clusters.seen + excluded.seen, last_at = excluded.last_at, sample = excluded.sample"
)
_CLUSTERS = (
    select(reply_clusters)
    .where(_R.last_at >= bindparam("since"))
    .order_by(_R.seen.desc(), _R.provider, _R.shape)
    .limit(bindparam("rows"))
)
_NTH = select(_R.last_at).order_by(_R.last_at.desc()).offset(MAX_CLUSTERS).limit(1)
_OLD_CLUSTERS = delete(reply_clusters).where(_R.last_at <= bindparam("before"))
_CURSOR = select(cursors.c.seq).where(cursors.c.name == CURSOR)
_BEGIN = insert_or_ignore(cursors)
_MOVE = (
    update(cursors).where(cursors.c.name == CURSOR, cursors.c.seq == bindparam("before")).values(seq=bindparam("after"))
)
_LIFT = delete(suppressions).where(
    suppressions.c.address == bindparam("which"),
    suppressions.c.stream == "",
    suppressions.c.reason == str(SuppressionReason.HARD_BOUNCE),
)
_FORGET_RECORDS = delete(soft_bounces).where(
    or_(
        _S.last_at < bindparam("records_before"),
        and_(_S.delivered_at > 0, _S.delivered_at < bindparam("delivered_before")),
    )
)
_FORGET_DAYS = delete(feedback_days).where(_D.day < bindparam("day_before"))


def create_feedback(connection: Connection) -> None:
    """The migration that brings the tables."""
    metadata.create_all(connection)


class SqlFeedback:
    """core.feedback.FeedbackStore."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def cursor(self) -> int:
        return await self._db.read(lambda connection: connection.execute(_CURSOR).scalar() or 0)

    async def records(self, addresses: Iterable[str]) -> list[SoftRecord]:
        wanted = sorted(set(addresses))

        def look(connection: Connection) -> list[SoftRecord]:
            parts = chunks(wanted)
            return [_record(row) for part in parts for row in _FIND.rows(connection, {"addresses": part})]

        return await self._db.read(look)

    async def due(self, kind: BounceClass, asked_before: float, limit: int = 200) -> list[SoftRecord]:
        asked = {"of": str(kind), "before": asked_before, "rows": limit}
        return await self._db.read(lambda connection: [_record(row) for row in connection.execute(_DUE, asked)])

    async def days(self, tally: Tally, since_day: int, name: str = "") -> dict[tuple[str, int], int]:
        asked = {"of": str(tally), "since": since_day, "any_name": not name, "of_name": name}
        return await self._db.read(
            lambda connection: {(row.name, row.day): row.n for row in connection.execute(_DAYS, asked)}
        )

    async def clusters(self, since: float, limit: int = 100) -> list[ReplyCluster]:
        asked = {"since": since, "rows": limit}
        return await self._db.read(lambda connection: [_cluster(row) for row in connection.execute(_CLUSTERS, asked)])

    async def commit(self, before: int, after: int, changes: FeedbackChanges, now: float) -> None:
        def write(connection: Connection) -> None:
            if before == 0:
                connection.execute(_BEGIN, {"name": CURSOR, "seq": 0})
            if connection.execute(_MOVE, {"before": before, "after": after}).rowcount != 1:
                raise StorageConflict(f"The cursor {CURSOR} is no longer {before}; read it again")
            _write_days(connection, changes)
            _write_records(connection, changes)
            if changes.clusters:
                connection.execute(_SEE, [_cluster_row(one) for one in changes.clusters])
            add_suppressions(connection, [e for e, _ in changes.suppress], [i for _, i in changes.suppress])
            append_events(connection, [*changes.events, *_lift(connection, changes.lift, now)])

        await self._db.transact(write)

    async def forget(self, *, records_before: float, delivered_before: float, day_before: int) -> None:
        def write(connection: Connection) -> None:
            connection.execute(
                _FORGET_RECORDS, {"records_before": records_before, "delivered_before": delivered_before}
            )
            connection.execute(_FORGET_DAYS, {"day_before": day_before})
            oldest = connection.execute(_NTH).scalar()
            connection.execute(_OLD_CLUSTERS, {"before": max(oldest or 0.0, day_before * 86400.0)})

        await self._db.transact(write)


def _write_days(connection: Connection, changes: FeedbackChanges) -> None:
    rows = [{"tally": str(t), "name": name, "day": day, "n": n} for (t, name, day), n in sorted(changes.days.items())]
    if rows:
        connection.execute(_ADD, rows)


def _write_records(connection: Connection, changes: FeedbackChanges) -> None:
    put, drop = [], []
    for (address, kind), record in sorted(changes.records.items()):
        if record is None:
            drop.append({"which": address, "of": str(kind)})
        else:
            put.append({**{name: getattr(record, name) for name in _FIELDS}, "kind": str(kind)})
    if put:
        connection.execute(_PUT, put)
    if drop:
        connection.execute(_DROP, drop)


def _lift(connection: Connection, lift: dict[str, str], now: float) -> Sequence[SuppressionRemoved]:
    return [
        SuppressionRemoved(at=now, address=address, stream="", by=by)
        for address, by in sorted(lift.items())
        if connection.execute(_LIFT, {"which": address}).rowcount > 0
    ]


_FIELDS = [column.name for column in soft_bounces.columns]


def _record(row: Iterable[Any]) -> SoftRecord:
    known = dict(zip(_FIELDS, row, strict=True))
    return SoftRecord(**{**known, "kind": BounceClass(known["kind"])})


def _cluster(row: Any) -> ReplyCluster:
    return ReplyCluster(
        provider=row.provider, shape=row.shape, count=row.seen, first_at=row.first_at, last_at=row.last_at,
        sample=row.sample,
    )  # fmt: skip


def _cluster_row(one: ReplyCluster) -> dict[str, object]:
    return {
        "provider": one.provider, "shape": one.shape, "seen": one.count, "first_at": one.first_at,
        "last_at": one.last_at, "sample": one.sample,
    }  # fmt: skip
