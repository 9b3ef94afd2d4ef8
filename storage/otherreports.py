"""TLS and failure reports, and the book of our own deliveries and TLS sessions that reports are compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, delete, insert, select, text
from sqlalchemy.engine import Row

from core.errors import StorageConflict
from core.reports import (
    FailureReport,
    OtherReports,
    Provenance,
    SentBook,
    SentCount,
    SentKey,
    Stored,
    StoredFailure,
    StoredTls,
    TlsCount,
    TlsReport,
    Trust,
)
from storage.codec import text_of
from storage.database import Database
from storage.reports_tables import failures, own_tls, sent, tls_reports
from storage.statements import insert_or_ignore, upsert
from storage.tables import cursors
from storage.tlsrpt import add_sessions

_TLS: TypeAdapter[TlsReport] = TypeAdapter(TlsReport)
_FAILURE: TypeAdapter[FailureReport] = TypeAdapter(FailureReport)
_CURSOR = "reports"
_ADD_SENT = upsert(
    sent, "delivered = sent_hours.delivered + excluded.delivered, refused = sent_hours.refused + excluded.refused"
)
_ADD_TLS = upsert(own_tls, "sessions = tls_days.sessions + excluded.sessions")
_BEGIN_CURSOR = insert_or_ignore(cursors)
_MOVE = text("UPDATE cursors SET seq = :after WHERE name = :name AND seq = :before")
_T, _F = tls_reports.c, failures.c
_TLS_KEY = select(_T.id, _T.digest, _T.trust).where(
    _T.reporter == bindparam("of_reporter"), _T.report_id == bindparam("of_id"), _T.begin_at == bindparam("begin"),
    _T.end_at == bindparam("end"),
)  # fmt: skip
_ADD_REPORT = insert(tls_reports)
_ADD_FAILURE = insert_or_ignore(failures)


class SqlSentBook(SentBook):
    """core.reports.SentBook."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def cursor(self) -> int:
        found = select(cursors.c.seq).where(cursors.c.name == _CURSOR)
        return await self._db.read(lambda connection: int(connection.execute(found).scalar() or 0))

    async def add(self, before: int, after: int, sent: Sequence[SentCount], tls: Sequence[TlsCount]) -> None:
        counts = [
            {
                "hour": one.key.hour, "source": one.key.source, "sending_domain": one.key.sending_domain,
                "provider": one.key.provider, "stream": one.key.stream, "delivered": one.delivered,
                "refused": one.refused,
            }
            for one in sorted(sent, key=lambda s: (s.key.hour, s.key.source, s.key.provider, s.key.stream))
        ]  # fmt: skip
        sessions = [
            {"day": one.day, "domain": one.domain, "host": one.host, "failure": one.failure, "sessions": one.sessions}
            for one in tls
        ]

        def write(connection: Connection) -> None:
            connection.execute(_BEGIN_CURSOR, {"name": _CURSOR, "seq": 0})
            if connection.execute(_MOVE, {"name": _CURSOR, "before": before, "after": after}).rowcount != 1:
                raise StorageConflict("another process counts deliveries")
            if counts:
                connection.execute(_ADD_SENT, counts)
            if sessions:
                connection.execute(_ADD_TLS, sessions)
                add_sessions(connection, tls)

        await self._db.transact(write)

    async def sent(self, since_hour: int, until_hour: int) -> list[SentCount]:
        wanted = select(sent).where(sent.c.hour >= since_hour, sent.c.hour < until_hour)
        return await self._db.read(
            lambda connection: [
                SentCount(
                    key=SentKey(
                        hour=row.hour, source=row.source, sending_domain=row.sending_domain, provider=row.provider,
                        stream=row.stream,
                    ),
                    delivered=row.delivered, refused=row.refused,
                )
                for row in connection.execute(wanted)
            ]
        )  # fmt: skip

    async def tls(self, since_day: int, until_day: int) -> list[TlsCount]:
        wanted = select(own_tls).where(own_tls.c.day >= since_day, own_tls.c.day < until_day)
        return await self._db.read(
            lambda connection: [
                TlsCount(day=row.day, domain=row.domain, host=row.host, failure=row.failure, sessions=row.sessions)
                for row in connection.execute(wanted)
            ]
        )


class SqlOtherReports(OtherReports):
    """core.reports.OtherReports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def store_tls(self, report: TlsReport, provenance: Provenance, now: float) -> Stored:
        body = text_of(report)
        digest = hashlib.sha256(body.encode()).hexdigest()
        name = provenance.domain or report.contact.rpartition("@")[2].lower() or report.organization.lower()
        reporter = name if provenance.counts else "?" + name
        row = {
            "reporter": reporter, "report_id": report.report_id, "begin_at": report.begin, "end_at": report.end,
            "digest": digest, "trust": str(provenance.trust), "why": provenance.why, "received_at": now, "body": body,
        }  # fmt: skip
        key = {"of_reporter": reporter, "of_id": report.report_id, "begin": report.begin, "end": report.end}

        def write(connection: Connection) -> Stored:
            known = connection.execute(_TLS_KEY, key).first()
            if known is not None:
                return Stored.REPEATED if known.digest == digest else Stored.CONFLICT
            same = connection.execute(select(_T.id, _T.trust).where(_T.digest == digest)).first()
            if same is not None and (same.trust != Trust.UNALIGNED or not provenance.counts):
                return Stored.REPEATED
            if same is not None:
                connection.execute(delete(tls_reports).where(_T.id == same.id))
            connection.execute(_ADD_REPORT, row)
            return Stored.NEW if same is None else Stored.PROVEN

        return await self._db.transact(write)

    async def tls(self, limit: int = 100, *, since: float = 0.0) -> list[StoredTls]:
        wanted = select(tls_reports).where(_T.end_at >= since).order_by(_T.id.desc()).limit(limit)
        return await self._db.read(
            lambda connection: [
                StoredTls(
                    number=row.id, report=_TLS.validate_json(row.body), provenance=_provenance(row),
                    received_at=row.received_at,
                )
                for row in connection.execute(wanted)
            ]
        )  # fmt: skip

    async def store_failure(self, report: FailureReport, provenance: Provenance, digest: str, now: float) -> Stored:
        row = {
            "digest": digest, "trust": str(provenance.trust), "why": provenance.why, "received_at": now,
            "reporter": provenance.domain or report.reporter, "body": text_of(report),
        }  # fmt: skip

        def write(connection: Connection) -> Stored:
            return Stored.NEW if connection.execute(_ADD_FAILURE, row).rowcount == 1 else Stored.REPEATED

        return await self._db.transact(write)

    async def failures(self, limit: int = 100) -> list[StoredFailure]:
        wanted = select(failures).order_by(_F.id.desc()).limit(limit)
        return await self._db.read(
            lambda connection: [
                StoredFailure(
                    number=row.id, report=_FAILURE.validate_json(row.body), provenance=_provenance(row),
                    received_at=row.received_at,
                )
                for row in connection.execute(wanted)
            ]
        )  # fmt: skip

    async def forget_failures(self, before: float) -> int:
        old = delete(failures).where(_F.received_at < before)
        return await self._db.transact(lambda connection: connection.execute(old).rowcount)


def _provenance(row: Row[Any]) -> Provenance:
    trust = Trust(row.trust)
    return Provenance(trust=trust, domain=row.reporter if trust is Trust.ALIGNED else "", why=row.why)
