"""DMARC aggregate reports: every record a row, so that sums by any part need no report to be read again.

Reports that do not count are kept under a key of their own ('?' and the claimed name): a forgery can never stand in the
way of the true report; when the same content comes again with proof, the kept one begins to count.  How they are
written, and known again: storage.report_writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, text
from sqlalchemy.engine import Row, RowMapping

from core.reports import (
    AggregateReports,
    Dim,
    Naming,
    Provenance,
    ReportHead,
    SourceKind,
    SourceName,
    Stored,
    Tally,
    Trust,
    no_names,
)
from core.state import DmarcRecord, DmarcReport
from storage.codec import DMARC
from storage.database import Database
from storage.report_leftovers import leftovers_step
from storage.report_writing import UNFINISHED, UNPROVEN, digest_of, name_row, store_step
from storage.reports_tables import reports, rows, sources
from storage.statements import chunks, upsert

_R, _W, _S = reports.c, rows.c, sources.c
_RENAME = upsert(
    sources,
    "kind = excluded.kind, strength = excluded.strength, name = excluded.name, evidence = excluded.evidence, "
    "ptr = excluded.ptr, asked_at = excluded.asked_at",
)
_WHOLE = _R.trust != UNFINISHED
_HEADS = select(reports).order_by(_R.id.desc()).limit(bindparam("most")).where(_R.id < bindparam("before"), _WHOLE)
_RECORDS = select(rows).where(_W.report == bindparam("number")).order_by(_W.number)
_GOOD = "(dkim = 'pass' OR spf = 'pass')"
_SUMS = (
    func.sum(_W.messages).label("total"),
    func.sum(case((text(_GOOD), _W.messages), else_=0)).label("aligned"),
    func.sum(case((_W.dkim == "pass", _W.messages), else_=0)).label("dkim_sum"),
    func.sum(case((_W.spf == "pass", _W.messages), else_=0)).label("spf_sum"),
    func.sum(case((_W.disposition == "quarantine", _W.messages), else_=0)).label("quarantined"),
    func.sum(case((_W.disposition == "reject", _W.messages), else_=0)).label("rejected"),
    func.min(_W.day).label("first_day"),
    func.max(_W.day).label("last_day"),
)
_UNASKED = (
    select(sources)
    .join(rows, _W.source_ip == _S.source_ip)
    .where(_S.asked_at == 0, _W.counts == 1, _W.day >= bindparam("since"))
    .group_by(*sources.c)
    .order_by(func.sum(_W.messages).desc())
    .limit(bindparam("most"))
)


class SqlAggregateReports(AggregateReports):
    """core.reports.AggregateReports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def store(self, report: DmarcReport, provenance: Provenance, now: float, naming: Naming = no_names) -> Stored:
        # a long report would hold up the caller's loop
        digest = await self._db.aside(lambda: digest_of(report)) if len(report.records) > 500 else digest_of(report)
        while True:
            outcome = await self._db.transact(
                lambda connection: store_step(connection, report, provenance, now, naming, digest)
            )
            if outcome is not None:
                return outcome

    async def refuse_leftovers(self, before: float, now: float) -> list[str]:
        told: list[str] = []
        while True:
            done = await self._db.transact(lambda connection: leftovers_step(connection, before, now))
            if done is None:
                return told
            told += [done] if done else []

    async def heads(self, limit: int = 50, *, before: int = 0, counting: bool | None = None) -> list[ReportHead]:
        statement = _HEADS
        if counting is not None:
            apart = _R.trust == str(Trust.UNALIGNED)
            statement = statement.where(~apart if counting else apart)
        wanted = {"most": limit, "before": before or 1 << 62}
        return await self._db.read(lambda connection: [_head(row) for row in connection.execute(statement, wanted)])

    async def count(self) -> int:
        wanted = select(func.count()).select_from(reports).where(_R.trust.not_in((str(Trust.UNALIGNED), UNFINISHED)))
        return await self._db.read(lambda connection: int(connection.execute(wanted).scalar_one()))

    async def whole(self, number: int) -> tuple[ReportHead, DmarcReport] | None:
        def read(connection: Connection) -> tuple[ReportHead, DmarcReport] | None:
            row = connection.execute(select(reports).where(_R.id == number, _WHOLE)).first()
            if row is None:
                return None
            found = tuple(_record(one._mapping) for one in connection.execute(_RECORDS, {"number": number}))
            return _head(row), replace(DMARC.validate_json(row.body), records=found)

        return await self._db.read(read)

    async def tally(
        self,
        by: Sequence[Dim],
        *,
        since_day: int = 0,
        until_day: int = 1_000_000,
        where: Sequence[tuple[Dim, str]] = (),
        limit: int = 1000,
    ) -> list[Tally]:
        columns = [rows.c[str(dim)] for dim in by]
        statement = select(*columns, *_SUMS).where(_W.counts == 1, _W.day >= since_day, _W.day <= until_day)
        for dim, value in where:
            statement = statement.where(rows.c[str(dim)] == (int(value) if dim is Dim.DAY else value))
        if columns:
            statement = statement.group_by(*columns)
        statement = statement.order_by(func.sum(_W.messages).desc(), *columns).limit(limit)
        return await self._db.read(
            lambda connection: [
                _tally(row, len(by)) for row in connection.execute(statement) if row._mapping["total"] is not None
            ]
        )

    async def names(self, ips: Sequence[str]) -> dict[str, SourceName]:
        def read(connection: Connection) -> dict[str, SourceName]:
            found = {}
            for part in chunks(ips):
                for row in connection.execute(select(sources).where(_S.source_ip.in_(part))):
                    found[row.source_ip] = _named(row)
            return found

        return await self._db.read(read)

    async def put_names(self, names: Sequence[SourceName], now: float) -> None:
        given = [name_row(one, now, now) for one in names]
        if given:
            await self._db.transact(lambda connection: connection.execute(_RENAME, given))

    async def unasked(self, since_day: int, limit: int) -> list[SourceName]:
        return await self._db.read(
            lambda connection: [
                _named(row) for row in connection.execute(_UNASKED, {"since": since_day, "most": limit})
            ]
        )


def _named(row: Row[Any]) -> SourceName:
    return SourceName(ip=row.source_ip, kind=SourceKind(row.kind), name=row.name, evidence=row.evidence, ptr=row.ptr)


def _head(row: Row[Any]) -> ReportHead:
    report = DMARC.validate_json(row.body)
    trust = Trust(row.trust)
    return ReportHead(
        number=row.id, reporter=row.reporter.removeprefix(UNPROVEN), org=report.reporter, email=report.email,
        domain=row.domain, report_id=row.report_id, begin=row.begin_at, end=row.end_at, received_at=row.received_at,
        provenance=Provenance(trust=trust, domain=row.reporter if trust is Trust.ALIGNED else "", why=row.why),
        policy=report.policy, records=row.records, messages=row.messages, aligned=row.aligned,
        refused=len(report.refused), refused_messages=report.refused_messages,
    )  # fmt: skip


def _record(row: RowMapping) -> DmarcRecord:
    return DmarcRecord(
        source_ip=row["source_ip"], count=row["messages"], disposition=row["disposition"], dkim=row["dkim"],
        spf=row["spf"], header_from=row["header_from"], envelope_from=row["envelope_from"],
        dkim_domain=row["dkim_domain"], dkim_selector=row["dkim_selector"], dkim_result=row["dkim_result"],
        spf_domain=row["spf_domain"], spf_result=row["spf_result"],
    )  # fmt: skip


def _tally(row: Row[*tuple[Any, ...]], parts: int) -> Tally:
    known = row._mapping
    return Tally(
        key=tuple(str(value) for value in row[:parts]), messages=int(known["total"]), aligned=int(known["aligned"]),
        dkim=int(known["dkim_sum"]), spf=int(known["spf_sum"]), quarantined=int(known["quarantined"]),
        rejected=int(known["rejected"]), first_day=known["first_day"], last_day=known["last_day"],
    )  # fmt: skip
