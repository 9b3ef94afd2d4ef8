"""How often an address is mailed: counts by address, stream and day, and the cap that they hold.

Contract: one conditional statement counts a whole batch inside the transaction that takes it over, so an address is
never counted for mail that was not accepted, and on one database no number of processes goes above a cap.  The cap of
seven days looks at the six days on either side of the mail's own, so mail that is scheduled ahead is counted as well
(two nodes that book *different* days of one address in the same instant are the one exception, by one mail).
Raises OverFrequency, and the transaction is undone, when an address of the batch has had its share.
"""

from __future__ import annotations

import json

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TextClause,
    bindparam,
    func,
    select,
    text,
)

from core.errors import OverFrequency
from core.messages import FrequencyCap
from storage.database import Database
from storage.statements import chunks

WEEK = 7
_PORTION = 5000  # rows that one transaction forgets
_NO_CAP = 1 << 30

metadata = MetaData()
frequency = Table(
    "frequency",
    metadata,
    Column("normal", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    PrimaryKeyConstraint("normal", "stream", "day"),
    Index("frequency_day", "day"),
)

_SUM = (
    "coalesce((SELECT sum(f.used) FROM frequency f WHERE f.normal = {who} AND f.stream = :stream"
    " AND f.day BETWEEN :first AND :last{but}), 0)"
)


def _take(source: str, order: str) -> TextClause:
    """Count every address of a JSON list that has not had its share; gives those that were counted."""
    return text(
        "INSERT INTO frequency (normal, stream, day, used)"  # noqa: S608 -- our own names
        f" SELECT w.value, :stream, :day, 1 FROM {source}"
        f" WHERE {_SUM.format(who='w.value', but='')} < :per_week{order}"
        " ON CONFLICT (normal, stream, day) DO UPDATE SET used = frequency.used + 1"
        " WHERE frequency.used < :per_day AND frequency.used + "
        f"{_SUM.format(who='excluded.normal', but=' AND f.day <> :day')} < :per_week"
        " RETURNING normal"
    )


# in one order on every node, so that two batches cannot wait for each other in a circle
_TAKE = {
    "sqlite": _take("json_each(:normals) AS w", ""),
    "postgresql": _take("json_array_elements_text(CAST(:normals AS json)) AS w(value)", " ORDER BY w.value"),
}
_C = frequency.c
_HAD = (
    select(
        _C.normal,
        func.sum(_C.used).label("week"),
        func.sum(_C.used).filter(_C.day == bindparam("on_day")).label("today"),
    )
    .where(
        _C.normal.in_(bindparam("normals", expanding=True)),
        _C.stream == bindparam("of_stream"),
        _C.day.between(bindparam("first"), bindparam("last")),
    )
    .group_by(_C.normal)
)
_FORGET = text(
    "DELETE FROM frequency WHERE (normal, stream, day) IN"
    " (SELECT normal, stream, day FROM frequency WHERE day < :before LIMIT :rows)"
)


def create_frequency(connection: Connection) -> None:
    """The migration that brings the table."""
    metadata.create_all(connection)


def take_shares(connection: Connection, cap: FrequencyCap) -> None:
    """Count one mail to each address.  Raises OverFrequency naming those that have had their share."""
    parameters = {
        "normals": json.dumps(sorted(cap.addresses)), "stream": cap.stream, "day": cap.day,
        "first": cap.day - WEEK + 1, "last": cap.day + WEEK - 1, "per_day": cap.per_day or _NO_CAP,
        "per_week": cap.per_week or _NO_CAP,
    }  # fmt: skip
    counted = set(connection.execute(_TAKE[connection.dialect.name], parameters).scalars())
    if len(counted) < len(cap.addresses):
        raise OverFrequency(cap.addresses - counted)


def addresses_over(connection: Connection, cap: FrequencyCap) -> frozenset[str]:
    """Addresses that have had their share."""
    over: set[str] = set()
    for part in chunks(sorted(cap.addresses)):
        parameters = {
            "normals": part, "of_stream": cap.stream, "on_day": cap.day, "first": cap.day - WEEK + 1,
            "last": cap.day + WEEK - 1,
        }  # fmt: skip
        for row in connection.execute(_HAD, parameters):
            if (row.today or 0) >= (cap.per_day or _NO_CAP) or row.week >= (cap.per_week or _NO_CAP):
                over.add(row.normal)
    return frozenset(over)


class SqlFrequency:
    """Upkeep of the counts; they are taken by Queue.accept."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def prune(self, day: int) -> int:
        """Forget what no cap looks at any more on `day` (days since the epoch).  How many rows."""
        gone = 0
        parameters = {"before": day - WEEK, "rows": _PORTION}
        while True:
            portion = await self._db.transact(lambda connection: connection.execute(_FORGET, parameters).rowcount)
            gone += portion
            if portion < _PORTION:
                return gone
