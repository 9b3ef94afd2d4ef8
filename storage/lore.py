"""What senders learned from replies (core.reaction.Lore): reactions in force, rests of pairs, counts by process.

Contract: `tell` is one transaction.  A reaction is begun only where none of its key is in force (a probe, after
`until`, may be begun anew), so of two processes that act at once one is kept and one event is written.  A rest of a
later trouble replaces an earlier one; of one trouble the width only grows and the strikes only fall, whatever the
order in which processes tell.  Counts are absolute by process and slice: told twice is told once.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
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

from core.reaction import Count, Learned, Lessons, PairRested, Reaction, Rest
from storage.codec import text_of
from storage.database import Database
from storage.events import append_events
from storage.statements import upsert

metadata = MetaData()
reactions = Table(
    "reactions",
    metadata,
    Column("key", Text, primary_key=True),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("ended", Double, nullable=False),  # 0: in force
    Column("changed", Double, nullable=False),
    Column("body", Text, nullable=False),
    Index("reactions_changed", "changed"),
)
lane_rests = Table(
    "lane_rests",
    metadata,
    Column("source", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("troubled", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("strikes", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("changed", Double, nullable=False),
    PrimaryKeyConstraint("source", "site"),
    Index("lane_rests_changed", "changed"),
)
reply_counts = Table(
    "reply_counts",
    metadata,
    Column("writer", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("slot", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("changed", Double, nullable=False),
    PrimaryKeyConstraint("series", "slot", "writer"),
    Index("reply_counts_changed", "changed"),
)
_KNOWN_REACTIONS = 5000
_KNOWN_RESTS = 50_000
_KNOWN_COUNTS = 500_000
_WINDOW = 86_400.0  # no window of a rule is longer
_REMEMBERED = 14 * 86_400.0  # over so long a reaction's strikes may still count

_R, _L, _C = reactions.c, lane_rests.c, reply_counts.c
_REACTION: TypeAdapter[Reaction] = TypeAdapter(Reaction)
_BEGIN = upsert(
    reactions,
    "since = excluded.since, until = excluded.until, passed = 0, ended = 0, changed = excluded.changed, "
    "body = excluded.body",
    only_if="reactions.ended > 0 OR reactions.until <= excluded.since",
)
_OF_EPISODE = and_(_R.key == bindparam("which"), _R.since == bindparam("begun"), _R.ended == 0)
_PASS = update(reactions).where(_OF_EPISODE).values(passed=_R.passed + bindparam("more"), changed=bindparam("at"))
_END = update(reactions).where(_OF_EPISODE).values(ended=bindparam("over"), changed=bindparam("at"))
_RESTING_UNTIL = select(_L.until).where(_L.source == bindparam("of"), _L.site == bindparam("where"))
_NEWER = "WHEN excluded.troubled > lane_rests.troubled THEN excluded"
_REST = upsert(
    lane_rests,
    f"troubled = excluded.troubled, until = CASE {_NEWER}.until ELSE lane_rests.until END, "
    f"strikes = CASE {_NEWER}.strikes WHEN excluded.strikes < lane_rests.strikes THEN excluded.strikes "
    "ELSE lane_rests.strikes END, "
    f"width = CASE {_NEWER}.width WHEN excluded.width > lane_rests.width THEN excluded.width "
    "ELSE lane_rests.width END, changed = excluded.changed",
    only_if="excluded.troubled >= lane_rests.troubled",
)
_COUNT = upsert(reply_counts, "n = excluded.n, changed = excluded.changed")
_REACTIONS = (
    select(reactions)
    .where(or_(_R.changed >= bindparam("since"), and_(bindparam("also_open"), _R.ended == 0)))
    .order_by(_R.changed.desc())
    .limit(_KNOWN_REACTIONS)
)
_OPEN = select(reactions).where(_R.ended == 0).order_by(_R.since.desc()).limit(_KNOWN_REACTIONS)
_RESTS = (
    select(lane_rests).where(_L.changed >= bindparam("since")).order_by(_L.changed.desc()).limit(_KNOWN_RESTS)
)  # fmt: skip
_RESTING = (
    select(lane_rests).where(_L.until > bindparam("now")).order_by(_L.until.desc()).limit(bindparam("rows"))
)  # fmt: skip
_COUNTS = (
    select(reply_counts)
    .where(_C.changed >= bindparam("since"), _C.writer != bindparam("mine"))
    .order_by(_C.changed.desc())
    .limit(_KNOWN_COUNTS)
)
_FORGET = (
    delete(reply_counts).where(_C.changed < bindparam("before")),
    delete(lane_rests).where(_L.changed < bindparam("before"), _L.until < bindparam("before")),
    delete(reactions).where(_R.ended > 0, _R.changed < bindparam("before") - (_REMEMBERED - _WINDOW)),
)


def create_lore(connection: Connection) -> None:
    """The migration that brings the tables."""
    metadata.create_all(connection)


class SqlLore:
    """core.reaction.Lore."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def tell(self, lessons: Lessons, now: float) -> None:
        begun, ended = list(lessons.begun), list(lessons.ended)
        passed, rests, counts = dict(lessons.passed), list(lessons.rests), list(lessons.counts)

        def write(connection: Connection) -> None:
            # in one order everywhere, so that two nodes never wait for each other in a circle
            for reaction, event in sorted(begun, key=lambda pair: pair[0].key):
                if connection.execute(_BEGIN, _reaction_row(reaction, now)).rowcount == 1:
                    append_events(connection, [event])
            for (key, since), n in sorted(passed.items()):
                connection.execute(_PASS, {"which": key, "begun": since, "more": n, "at": now})
            for reaction, over in sorted(ended, key=lambda pair: pair[0].key):
                change = {"which": reaction.key, "begun": reaction.since, "over": over.at, "at": now}
                if connection.execute(_END, change).rowcount == 1:
                    append_events(connection, [over])
            for rest, rested in sorted(rests, key=lambda pair: (pair[0].source, pair[0].site)):
                _write_rest(connection, rest, rested, now)
            if counts:
                rows = [
                    {"writer": one.writer, "series": one.series, "slot": one.slot, "n": one.n, "changed": now}
                    for one in sorted(counts, key=lambda one: (one.series, one.slot))
                ]
                connection.execute(_COUNT, rows)

        await self._db.transact(write)

    async def news(self, since: float, *, writer: str = "") -> Learned:
        return await self._db.read(lambda connection: _learned(connection, since, since, since, writer))

    async def everything(self, now: float, *, writer: str) -> Learned:
        def read(connection: Connection) -> Learned:
            # its own earlier counts too: '' is no process's name
            return _learned(connection, now - _REMEMBERED, now - _WINDOW, now - _WINDOW, "", also_open=True)

        return await self._db.read(read)

    async def in_force(self) -> list[Reaction]:
        return await self._db.read(lambda connection: [_reaction(row) for row in connection.execute(_OPEN)])

    async def resting(self, now: float, limit: int = 200) -> list[Rest]:
        asked = {"now": now, "rows": limit}
        return await self._db.read(lambda connection: [_rest(row) for row in connection.execute(_RESTING, asked)])

    async def forget(self, before: float) -> None:
        def write(connection: Connection) -> None:
            for statement in _FORGET:
                connection.execute(statement, {"before": before})

        await self._db.transact(write)


def _write_rest(connection: Connection, rest: Rest, event: PairRested | None, now: float) -> None:
    known = connection.execute(_RESTING_UNTIL, {"of": rest.source, "where": rest.site}).scalar()
    row = {
        "source": rest.source, "site": rest.site, "troubled": rest.troubled, "until": rest.until,
        "strikes": rest.strikes, "width": rest.width, "changed": now,
    }  # fmt: skip
    done = connection.execute(_REST, row).rowcount == 1
    if event is not None and done and (known is None or known <= rest.troubled):
        append_events(connection, [event])  # else another process told of this rest


def _learned(
    connection: Connection, reactions_since: float, rests_since: float, counts_since: float, writer: str,
    *, also_open: bool = False,
) -> Learned:  # fmt: skip
    asked = {"since": reactions_since, "also_open": also_open}
    return Learned(
        reactions=tuple(_reaction(row) for row in connection.execute(_REACTIONS, asked)),
        rests=tuple(_rest(row) for row in connection.execute(_RESTS, {"since": rests_since})),
        counts=tuple(
            Count(writer=row.writer, series=row.series, slot=row.slot, n=row.n)
            for row in connection.execute(_COUNTS, {"since": counts_since, "mine": writer})
        ),
    )


def _reaction_row(reaction: Reaction, now: float) -> dict[str, object]:
    return {
        "key": reaction.key, "since": reaction.since, "until": reaction.until, "passed": 0, "ended": 0.0,
        "changed": now, "body": text_of(reaction),
    }  # fmt: skip


def _reaction(row: Any) -> Reaction:
    known = _REACTION.validate_json(row.body)
    return Reaction(**{
        **{name: getattr(known, name) for name in Reaction.__slots__}, "passed": row.passed, "ended": row.ended,
        "since": row.since, "until": row.until,
    })  # fmt: skip


def _rest(row: Any) -> Rest:
    return Rest(
        source=row.source, site=row.site, troubled=row.troubled, until=row.until, strikes=row.strikes, width=row.width
    )
