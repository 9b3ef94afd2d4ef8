"""Readers: one row an address and stream, moved together with the cursor of their follower; and the census of the base.

Contract: `apply` stores the changed rows and moves the cursor in one transaction, or raises StorageConflict and stores
nothing when somebody else moved it.  `census` counts by the rule of core.audience.state_of, written here in SQL; rows
that were never mailed do not count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from operator import attrgetter
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
    case,
    func,
    literal,
    select,
)

from core.audience import Census, Engagement, Reader, Terms
from core.errors import StorageConflict
from core.lane import DAY
from storage.counters import move_cursor
from storage.database import Database
from storage.direct import Direct
from storage.statements import chunks, upsert

metadata = MetaData()
audience = Table(
    "audience",
    metadata,
    Column("address", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("list_source", Text, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("sign_at", Double, nullable=False),
    Column("mails", BigInteger, nullable=False),
    Column("unanswered", BigInteger, nullable=False),
    Column("week", Integer, nullable=False),
    Column("in_week", Integer, nullable=False),
    Column("in_last_week", Integer, nullable=False),
    Column("left_at", Double, nullable=False),
    PrimaryKeyConstraint("address", "stream"),
    Index("audience_last", "stream", "last_at"),
)
_C = audience.c
_NAMES = tuple(column.name for column in audience.columns)
_VALUES = attrgetter(*_NAMES)
_STORE = Direct(
    upsert(audience, ", ".join(f"{c.name} = excluded.{c.name}" for c in audience.columns if not c.primary_key))
)
_OF = Direct(select(audience).where(_C.address.in_(bindparam("addresses", expanding=True))), names="addresses")
_SINCE = case((_C.sign_at > 0, _C.sign_at), else_=_C.first_at)
_AGE = (bindparam("now", type_=Double) - _SINCE) / DAY
_STATE = case(
    (and_(_C.sign_at == 0, bindparam("new_days", type_=Double) >= _AGE), Engagement.NEW.value),
    (and_(_C.sign_at > 0, bindparam("active_days", type_=Double) >= _AGE), Engagement.ACTIVE.value),
    (bindparam("sleeping_days", type_=Double) >= _AGE, Engagement.SLEEPING.value),
    (bindparam("risk_days", type_=Double) >= _AGE, Engagement.AT_RISK.value),
    (_C.unanswered < bindparam("gone_mails"), Engagement.AT_RISK.value),
    else_=Engagement.GONE.value,
)
_LEFT = case((_C.left_at > 0, 1), else_=0)
_CENSUS = (
    select(_C.stream, _C.list_source, _STATE.label("state"), _LEFT.label("gone"), func.count().label("n"))
    .where(_C.mails > 0)
    .group_by(_C.stream, _C.list_source, "state", "gone")
)
_GONE = (
    select(audience)
    .where(
        _C.stream == bindparam("of_stream"), _C.left_at == 0, _C.mails > 0, literal(Engagement.GONE.value) == _STATE,
        _C.address > bindparam("after"),
    )
    .order_by(_C.address)
    .limit(bindparam("rows"))
)  # fmt: skip
_FULL = bindparam("full", type_=Integer)
_WEEK = case(
    (_C.week == bindparam("full", type_=Integer) + 1, _C.in_last_week),
    (_C.week == bindparam("full", type_=Integer), _C.in_week),
    else_=0,
)
_OFTEN = (
    select(
        _C.stream,
        func.count().filter(_WEEK > 0).label("mailed"),
        func.count().filter(bindparam("most", type_=Integer) < _WEEK).label("often"),
    )
    .where(_C.week >= _FULL)
    .group_by(_C.stream)
)


def create_audience(connection: Connection) -> None:
    """The migration that brings the table."""
    metadata.create_all(connection)


class SqlAudience:
    """See the module."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def readers(self, addresses: Collection[str]) -> dict[tuple[str, str], Reader]:
        """Everything known about these addresses (normal form)."""

        def look(connection: Connection) -> list[Reader]:
            parts = chunks(sorted(addresses))
            return [_reader(row) for part in parts for row in _OF.rows(connection, {"addresses": part})]

        return {(reader.address, reader.stream): reader for reader in await self._db.read(look)}

    async def apply(self, cursor: str, before: int, after: int, changed: Sequence[Reader]) -> None:
        """Store and move on."""

        def write(connection: Connection) -> None:
            if not move_cursor(connection, cursor, before, after):
                raise StorageConflict(f"The cursor {cursor} is no longer {before}; read it again")
            if changed:
                _STORE.run_each(connection, [dict(zip(_NAMES, _VALUES(reader), strict=True)) for reader in changed])

        await self._db.transact(write)

    async def census(self, terms: Terms, now: float) -> list[Census]:
        """The base by stream and list source."""
        rows = await self._db.read(lambda c: c.execute(_CENSUS, _terms(terms, now)).all())
        sums: dict[tuple[str, str], tuple[dict[Engagement, int], int]] = {}
        for row in rows:
            counts, left = sums.get((row.stream, row.list_source), ({}, 0))
            if row.gone:
                left += row.n
            else:
                counts[Engagement(row.state)] = counts.get(Engagement(row.state), 0) + row.n
            sums[row.stream, row.list_source] = (counts, left)
        return [
            Census(stream=stream, list_source=source, counts=counts, left=left)
            for (stream, source), (counts, left) in sorted(sums.items())
        ]

    async def gone(self, stream: str, terms: Terms, now: float, *, after: str = "", limit: int = 1000) -> list[Reader]:
        """Readers of a stream that are gone, by address, from the one after `after`."""
        given = {**_terms(terms, now), "of_stream": stream, "after": after, "rows": limit}
        return [_reader(row) for row in await self._db.read(lambda c: c.execute(_GONE, given).all())]

    async def often(self, full_week: int, most: int) -> dict[str, tuple[int, int]]:
        """Stream → (recipients mailed more than `most` times in that whole week, recipients mailed at all)."""
        rows = await self._db.read(lambda c: c.execute(_OFTEN, {"full": full_week, "most": most}).all())
        return {row.stream: (row.often, row.mailed) for row in rows}


def _terms(terms: Terms, now: float) -> dict[str, Any]:
    return {**asdict(terms), "now": now}


def _reader(row: Iterable[Any]) -> Reader:
    return Reader(**dict(zip(_NAMES, row, strict=True)))
