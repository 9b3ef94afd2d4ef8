"""DMARC aggregate reports (RFC 9990): whole, and summed by source address for the dashboard.

A report is known again by reporter, domain, id and period: receivers send the same one more than once.
"""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection, bindparam, func, insert, select

from core.state import DmarcReport
from storage.codec import DMARC, text_of
from storage.database import Database
from storage.statements import insert_or_ignore
from storage.tables import dmarc_reports, dmarc_sources

_R, _S = dmarc_reports.c, dmarc_sources.c
_ADD = insert_or_ignore(dmarc_reports)
_ID = select(_R.id).where(
    _R.reporter == bindparam("reporter"), _R.domain == bindparam("domain"), _R.report_id == bindparam("report_id"),
    _R.begin_at == bindparam("begin_at"), _R.end_at == bindparam("end_at"),
)  # fmt: skip
_ADD_SOURCES = insert(dmarc_sources)
_PAGE = select(_R.id, _R.body).order_by(_R.id.desc()).limit(bindparam("rows"))
_MESSAGES = func.sum(_S.messages)
_SOURCES = (
    select(_S.source_ip, _MESSAGES.label("messages"), func.sum(_S.aligned).label("aligned"))
    .where(_S.begin_at >= bindparam("since"))
    .group_by(_S.source_ip)
    .order_by(_MESSAGES.desc(), _S.source_ip)
)


class SqlDmarcReports:
    """core.ports.DmarcReports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def store(self, report: DmarcReport, received_from: str, now: float) -> bool:
        name = {
            "reporter": report.reporter, "domain": report.domain, "report_id": report.report_id,
            "begin_at": report.begin, "end_at": report.end,
        }  # fmt: skip
        row = {**name, "received_from": received_from, "received_at": now, "body": text_of(report)}

        def write(connection: Connection) -> bool:
            if connection.execute(_ADD, row).rowcount != 1:
                return False
            number = connection.execute(_ID, name).scalar_one()
            sources = _by_source(report)
            if sources:
                connection.execute(
                    _ADD_SOURCES,
                    [
                        {"report": number, "source_ip": ip, "begin_at": report.begin, "messages": n, "aligned": ok}
                        for ip, (n, ok) in sources.items()
                    ],
                )
            return True

        return await self._db.transact(write)

    async def page(self, limit: int = 50) -> list[tuple[int, DmarcReport]]:
        return await self._db.read(
            lambda connection: [
                (row.id, DMARC.validate_json(row.body)) for row in connection.execute(_PAGE, {"rows": limit})
            ]
        )

    async def sources(self, since: float) -> list[tuple[str, int, int]]:
        return await self._db.read(
            lambda connection: [
                (row.source_ip, int(row.messages), int(row.aligned))
                for row in connection.execute(_SOURCES, {"since": since})
            ]
        )


def _by_source(report: DmarcReport) -> dict[str, tuple[int, int]]:
    messages: Counter[str] = Counter()
    aligned: Counter[str] = Counter()
    for record in report.records:
        messages[record.source_ip] += record.count
        aligned[record.source_ip] += record.count if record.aligned else 0
    return {ip: (n, aligned[ip]) for ip, n in messages.items()}
