"""Figures of postmaster feeds: one for each feed, subject, metric and day; a later one for the same day replaces it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    bindparam,
    or_,
    select,
)

from core.state import Observation
from storage.database import Database
from storage.statements import upsert

metadata = MetaData()
observations = Table(
    "observations",
    metadata,
    Column("feed", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("value", Double, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("low", Double),
    Column("high", Double),
    Column("word", Text, nullable=False),
    PrimaryKeyConstraint("feed", "subject", "metric", "day"),
    Index("observations_day", "day"),
)

_C = observations.c
_PUT = upsert(
    observations,
    "value = excluded.value, counted = excluded.counted, low = excluded.low, high = excluded.high, "
    "word = excluded.word",
)
_PAGE = (
    select(observations)
    .where(
        or_(bindparam("any_feed"), _C.feed == bindparam("of_feed")),
        or_(bindparam("any_subject"), _C.subject == bindparam("of_subject")),
        or_(bindparam("any_metric"), _C.metric == bindparam("of_metric")),
        _C.day >= bindparam("since"),
    )
    .order_by(_C.day.desc(), _C.feed, _C.subject, _C.metric)
    .limit(bindparam("rows"))
)


def create_observations(connection: Connection) -> None:
    """The migration that brings the table."""
    metadata.create_all(connection)


class SqlObservations:
    """core.ports.Observations."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, found: Sequence[Observation]) -> None:
        rows = [
            {
                "feed": one.feed, "subject": one.subject, "metric": one.metric, "day": one.day, "value": one.value,
                "counted": one.counted, "low": one.interval[0] if one.interval else None,
                "high": one.interval[1] if one.interval else None, "word": one.text,
            }
            for one in found
        ]  # fmt: skip
        if rows:
            await self._db.transact(lambda connection: connection.execute(_PUT, rows))

    async def page(
        self, *, feed: str = "", subject: str = "", metric: str = "", since_day: int = 0, limit: int = 500
    ) -> list[Observation]:
        wanted = {
            "any_feed": not feed, "of_feed": feed, "any_subject": not subject, "of_subject": subject,
            "any_metric": not metric, "of_metric": metric, "since": since_day, "rows": limit,
        }  # fmt: skip
        return await self._db.read(lambda connection: [_one(row) for row in connection.execute(_PAGE, wanted)])


def _one(row: Row[tuple[object, ...]]) -> Observation:
    known = row._mapping
    low, high = known["low"], known["high"]
    return Observation(
        feed=known["feed"], subject=known["subject"], metric=known["metric"], day=known["day"], value=known["value"],
        counted=known["counted"], interval=None if low is None else (low, high), text=known["word"],
    )  # fmt: skip
