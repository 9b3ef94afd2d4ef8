"""How far this machine's clock is from that of the database, which other nodes share.

Contract: `clock_skew` reads only.  0 for SQLite, whose file lies on this machine.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from storage.database import Database

_NOW = text("SELECT extract(epoch FROM clock_timestamp())")


async def clock_skew(db: Database, now: float) -> float:
    """Seconds by which `now` (epoch, real time) is ahead of the database; negative behind."""

    def read(connection: Connection) -> float:
        return now - float(connection.execute(_NOW).scalar_one())

    return await db.read(read) if db.is_postgresql else 0.0
