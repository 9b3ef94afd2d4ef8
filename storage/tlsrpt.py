"""TLS sessions of each UTC day as RFC 8460 counts them, and what became of the reports about them.

Contract: sessions are added in the transaction that moves the log's cursor (storage.otherreports), so each counts
once, whatever restarts.  `settled` rows say what was done for (day, domain, address): each report goes out once.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    or_,
    select,
)

from core.reports import SentTlsReport, TlsCount, TlsReportState
from storage.database import Database
from storage.statements import upsert

metadata = MetaData()
sessions = Table(
    "tls_sessions",
    metadata,
    Column("day", Integer, nullable=False),
    Column("domain", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("failure", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("host_ip", Text, nullable=False),
    Column("source_ip", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "domain", "policy", "failure", "host", "host_ip", "source_ip", "reason"),
)
settled = Table(
    "tls_reports_sent",
    metadata,
    Column("day", Integer, nullable=False),
    Column("domain", Text, nullable=False),
    Column("address", Text, nullable=False),  # of rua; '' where there is none
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("detail", Text, nullable=False),
    PrimaryKeyConstraint("day", "domain", "address"),
)
_S, _D = sessions.c, settled.c
_ADD = upsert(sessions, "sessions = tls_sessions.sessions + excluded.sessions")
_NOTED = exists().where(_D.day == _S.day, _D.domain == _S.domain)
# a domain is open while nothing is noted of it, or a report of it is to be tried again
_OPEN = (
    select(_S.day, _S.domain)
    .where(
        _S.day >= bindparam("since"),
        _S.day < bindparam("until"),
        or_(~_NOTED, _NOTED.where(_D.state == "retry")),
    )
    .distinct()
    .order_by(_S.day, _S.domain)
)
_OF = (
    select(sessions)
    .where(_S.day == bindparam("of_day"), _S.domain == bindparam("of_domain"))
    .order_by(_S.policy, _S.sessions.desc(), _S.failure, _S.host, _S.host_ip, _S.source_ip, _S.reason)
    .limit(bindparam("rows"))
)
_PUT = upsert(settled, "state = excluded.state, tries = excluded.tries, at = excluded.at, detail = excluded.detail")
_DONE = select(settled).where(_D.day == bindparam("of_day"), _D.domain == bindparam("of_domain"))
_RECENT = select(settled).where(_D.state != "unwanted").order_by(_D.day.desc(), _D.domain, _D.address)
_FORGET = (
    delete(sessions).where(_S.day < bindparam("before")),
    delete(settled).where(_D.day < bindparam("before")),
)


def create_tlsrpt(connection: Connection) -> None:
    """The migration that brings the tables."""
    metadata.create_all(connection)


def add_sessions(connection: Connection, counts: Sequence[TlsCount]) -> None:
    """Count, inside the transaction that moves the cursor."""
    rows = [
        {
            "day": one.day, "domain": one.domain, "policy": one.policy, "failure": one.failure, "host": one.host,
            "host_ip": one.host_ip, "source_ip": one.source_ip, "reason": one.reason, "sessions": one.sessions,
        }
        for one in counts
        if one.domain
    ]  # fmt: skip
    if rows:
        connection.execute(_ADD, rows)


class SqlTlsSessions:
    """core.reports.TlsSessions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def open(self, since_day: int, until_day: int) -> list[tuple[int, str]]:
        days = {"since": since_day, "until": until_day}
        return await self._db.read(
            lambda connection: [(row.day, row.domain) for row in connection.execute(_OPEN, days)]
        )

    async def of(self, day: int, domain: str, limit: int) -> list[TlsCount]:
        wanted = {"of_day": day, "of_domain": domain, "rows": limit}
        return await self._db.read(
            lambda connection: [TlsCount(**row._mapping) for row in connection.execute(_OF, wanted)]
        )

    async def note(self, reports: Sequence[SentTlsReport]) -> None:
        rows = [
            {
                "day": one.day, "domain": one.domain, "address": one.address, "state": str(one.state),
                "tries": one.tries, "at": one.at, "detail": one.detail,
            }
            for one in reports
        ]  # fmt: skip
        if rows:
            await self._db.transact(lambda connection: connection.execute(_PUT, rows))

    async def noted(self, day: int, domain: str) -> list[SentTlsReport]:
        wanted = {"of_day": day, "of_domain": domain}
        return await self._db.read(lambda connection: [_sent(row) for row in connection.execute(_DONE, wanted)])

    async def recent(self, limit: int) -> list[SentTlsReport]:
        return await self._db.read(lambda connection: [_sent(row) for row in connection.execute(_RECENT.limit(limit))])

    async def forget(self, before_day: int) -> None:
        def write(connection: Connection) -> None:
            for statement in _FORGET:
                connection.execute(statement, {"before": before_day})

        await self._db.transact(write)


def _sent(row: Row[tuple[object, ...]]) -> SentTlsReport:
    return SentTlsReport(
        day=row.day, domain=row.domain, address=row.address, state=TlsReportState(row.state), tries=row.tries,
        at=row.at, detail=row.detail,
    )  # fmt: skip
