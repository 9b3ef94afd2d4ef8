"""Mails and files in which a report was refused, as they came: for somebody to look at, and for another try.

Contract: bounded in number, bytes and age, so that a flood of rubbish costs a known amount of space: what is no report
at all goes first, then the oldest.  The same content is kept once.  An original above `MAX_ONE` bytes is not kept.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from core.lane import DAY
from core.reports import Original
from storage.database import Database

MAX_KEPT = 500
MAX_BYTES = 50_000_000  # of all
MAX_ONE = 10_000_000
MAX_AGE = 30 * DAY  # seconds
_PROBLEM = 500  # characters
metadata = MetaData()
refused = Table(
    "refused_reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("dull", Integer, nullable=False),  # 1: no report at all, as far as anybody can tell
    Column("is_mail", Integer, nullable=False),
    Column("sender", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
_C = refused.c
_HEADS = select(*(column for column in _C if column.name != "content"))
_SAME = select(_C.id).where(_C.digest == bindparam("of_digest"))
_ADD = insert(refused)
_AGAIN = update(refused).where(_C.id == bindparam("which")).values(
    at=bindparam("new_at"), problem=bindparam("new_problem"), dull=bindparam("new_dull")
)  # fmt: skip
_DROP = delete(refused).where(_C.id == bindparam("which"))
_OLD = delete(refused).where(_C.at < bindparam("before"))
_BY_WORTH = select(_C.id, _C.size).order_by(_C.dull, _C.at.desc(), _C.id.desc())


def create_refused(connection: Connection) -> None:
    """The migration that brings the table."""
    metadata.create_all(connection)


class SqlRefusedReports:
    """core.reports.RefusedReports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def keep(self, one: Original, content: bytes, *, dull: bool) -> None:
        if 0 < len(content) <= MAX_ONE:
            await self._db.transact(lambda connection: _keep(connection, one, content, dull))

    async def kept(self) -> list[Original]:
        newest = _HEADS.order_by(_C.at.desc(), _C.id.desc())
        return await self._db.read(
            lambda connection: [
                Original(
                    number=row.id, at=row.at, is_mail=bool(row.is_mail), sender=row.sender, peer=row.peer,
                    name=row.name, problem=row.problem, size=row.size,
                )
                for row in connection.execute(newest)
            ]
        )  # fmt: skip

    async def content(self, number: int) -> bytes | None:
        wanted = select(_C.content).where(_C.id == number)
        found = await self._db.read(lambda connection: connection.execute(wanted).scalar())
        return None if found is None else bytes(found)

    async def drop(self, number: int) -> None:
        await self._db.transact(lambda connection: connection.execute(_DROP, {"which": number}))

    async def forget(self, now: float) -> None:
        await self._db.transact(lambda connection: connection.execute(_OLD, {"before": now - MAX_AGE}))


def _keep(connection: Connection, one: Original, content: bytes, dull: bool) -> None:
    digest = hashlib.sha256(content).hexdigest()
    problem = _line(one.problem, _PROBLEM)
    known = connection.execute(_SAME, {"of_digest": digest}).scalar()
    if known is not None:
        again = {"which": known, "new_at": one.at, "new_problem": problem, "new_dull": int(dull)}
        connection.execute(_AGAIN, again)
        return
    row = {
        "at": one.at, "digest": digest, "dull": int(dull), "is_mail": int(one.is_mail), "peer": one.peer[:64],
        "sender": _line(one.sender, 320), "name": _line(one.name, 400), "problem": problem, "size": len(content),
        "content": content,
    }  # fmt: skip
    connection.execute(_ADD, row)
    connection.execute(_OLD, {"before": one.at - MAX_AGE})
    total = 0
    for place, (number, size) in enumerate(connection.execute(_BY_WORTH).all()):
        total += size
        if place >= MAX_KEPT or total > MAX_BYTES:
            connection.execute(_DROP, {"which": number})
            total -= size


def _line(text: str, limit: int) -> str:
    """For columns and terminals: what strangers chose holds no control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:limit])
