"""DMARC aggregate reports: every record a row, so that sums by any part need no report to be read again.

A report is known again by (authenticated reporter, domain, id, period), then by the digest of its content.  Reports
that do not count are kept under a key of their own ('?' and the claimed name): a forgery can never stand in the way of
the true report; when the same content comes again with proof, the kept one begins to count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, text, update
from sqlalchemy.engine import Row, RowMapping

from core.reports import (
    AggregateReports,
    Dim,
    Provenance,
    ReportHead,
    SourceKind,
    SourceName,
    Stored,
    Tally,
    Trust,
    middle_day,
)
from core.state import DmarcRecord, DmarcReport
from storage.codec import DMARC, text_of
from storage.database import Database
from storage.reports_tables import metadata, reports, rows, sources
from storage.statements import chunks, upsert
from storage.tables import dmarc_reports, dmarc_sources

_R, _W, _S = reports.c, rows.c, sources.c
_PORTION = 2_000  # rows in one statement: bounds memory, not speed
_STRENGTH = {SourceKind.UNKNOWN: 0, SourceKind.FORWARDER: 1, SourceKind.SERVICE: 2, SourceKind.OURS: 3}
_UNPROVEN = "?"
_BY_KEY = select(_R.id, _R.digest).where(
    _R.reporter == bindparam("of_reporter"), _R.domain == bindparam("of_domain"),
    _R.report_id == bindparam("of_report_id"), _R.begin_at == bindparam("begin"), _R.end_at == bindparam("end"),
)  # fmt: skip
_BY_DIGEST = select(_R.id, _R.reporter, _R.trust).where(_R.digest == bindparam("of_digest"))
_ADD = insert(reports).returning(_R.id)
_NAME = upsert(
    sources,
    "kind = excluded.kind, strength = excluded.strength, name = excluded.name, evidence = excluded.evidence",
    only_if="excluded.strength > report_sources.strength",
)
_RENAME = upsert(
    sources,
    "kind = excluded.kind, strength = excluded.strength, name = excluded.name, evidence = excluded.evidence, "
    "ptr = excluded.ptr, asked_at = excluded.asked_at",
)
_PROVE = update(reports).where(_R.id == bindparam("of_number")).values(
    reporter=bindparam("new_reporter"), trust=bindparam("new_trust"), why=bindparam("new_why")
)  # fmt: skip
_PROVE_ROWS = (
    update(rows).where(_W.report == bindparam("of_number")).values(counts=1, reporter=bindparam("new_reporter"))
)
_HEADS = select(reports).order_by(_R.id.desc()).limit(bindparam("most")).where(_R.id < bindparam("before"))
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


def take_over(connection: Connection) -> None:
    """The migration: reports of the first table, whose origin nobody had checked, are kept apart."""
    metadata.create_all(connection)
    unproven = Provenance(trust=Trust.UNALIGNED, why="stored before origins were checked")
    for row in connection.execute(select(dmarc_reports)).all():
        report = DMARC.validate_json(row.body)
        write_report(connection, report, unproven, row.received_at, (), digest_of(report))
    connection.execute(delete(dmarc_sources))
    connection.execute(delete(dmarc_reports))


def digest_of(report: DmarcReport) -> str:
    """Names the content: who claims to report, about what, and every record."""
    digest = hashlib.sha256(
        "|".join(
            (report.reporter, report.email, report.domain, report.report_id, f"{report.begin:.0f} {report.end:.0f}")
        ).encode("utf-8", "replace")
    )
    for r in report.records:
        digest.update(
            f"{r.source_ip}|{r.count}|{r.disposition}|{r.dkim}|{r.spf}|{r.header_from}|{r.envelope_from}|"
            f"{r.dkim_domain}|{r.dkim_selector}|{r.dkim_result}|{r.spf_domain}|{r.spf_result};".encode(
                "utf-8", "replace"
            )
        )
    return digest.hexdigest()


class SqlAggregateReports(AggregateReports):
    """core.reports.AggregateReports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def store(
        self, report: DmarcReport, provenance: Provenance, now: float, names: Sequence[SourceName] = ()
    ) -> Stored:
        digest = digest_of(report)
        return await self._db.transact(
            lambda connection: write_report(connection, report, provenance, now, names, digest)
        )

    async def heads(self, limit: int = 50, *, before: int = 0, counting: bool | None = None) -> list[ReportHead]:
        statement = _HEADS
        if counting is not None:
            apart = _R.trust == str(Trust.UNALIGNED)
            statement = statement.where(~apart if counting else apart)
        wanted = {"most": limit, "before": before or 1 << 62}
        return await self._db.read(lambda connection: [_head(row) for row in connection.execute(statement, wanted)])

    async def count(self) -> int:
        wanted = select(func.count()).select_from(reports).where(_R.trust != str(Trust.UNALIGNED))
        return await self._db.read(lambda connection: int(connection.execute(wanted).scalar_one()))

    async def whole(self, number: int) -> tuple[ReportHead, DmarcReport] | None:
        def read(connection: Connection) -> tuple[ReportHead, DmarcReport] | None:
            row = connection.execute(select(reports).where(_R.id == number)).first()
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
        given = [_name_row(one, now, now) for one in names]
        if given:
            await self._db.transact(lambda connection: connection.execute(_RENAME, given))

    async def unasked(self, since_day: int, limit: int) -> list[SourceName]:
        return await self._db.read(
            lambda connection: [
                _named(row) for row in connection.execute(_UNASKED, {"since": since_day, "most": limit})
            ]
        )


def write_report(
    connection: Connection,
    report: DmarcReport,
    provenance: Provenance,
    now: float,
    names: Sequence[SourceName],
    digest: str,
) -> Stored:
    """Store one report inside the caller's transaction."""
    reporter = provenance.domain if provenance.counts and provenance.domain else _claimed(report, provenance)
    for known in connection.execute(_BY_DIGEST, {"of_digest": digest}).all():
        if known.trust != Trust.UNALIGNED or not provenance.counts:
            return Stored.REPEATED
        told = {
            "of_number": known.id, "new_reporter": reporter, "new_trust": str(provenance.trust),
            "new_why": provenance.why,
        }  # fmt: skip
        connection.execute(_PROVE, told)
        connection.execute(_PROVE_ROWS, {"of_number": known.id, "new_reporter": reporter})
        _write_names(connection, names, now)
        return Stored.PROVEN
    key = {
        "of_reporter": reporter, "of_domain": report.domain, "of_report_id": report.report_id, "begin": report.begin,
        "end": report.end,
    }  # fmt: skip
    if connection.execute(_BY_KEY, key).first() is not None:
        return Stored.CONFLICT
    messages = sum(record.count for record in report.records)
    number = connection.execute(
        _ADD,
        {
            "reporter": reporter, "domain": report.domain, "report_id": report.report_id, "begin_at": report.begin,
            "end_at": report.end, "digest": digest, "trust": str(provenance.trust), "why": provenance.why,
            "received_at": now, "records": len(report.records), "messages": messages,
            "aligned": sum(record.count for record in report.records if record.aligned),
            "body": text_of(replace(report, records=())),
        },
    ).scalar_one()  # fmt: skip
    place = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    statement = f"INSERT INTO {rows.name} VALUES ({', '.join([place] * len(rows.columns))})"  # noqa: S608 -- our own names
    for portion in _portions(report, number, reporter, provenance.counts):
        # straight to the driver: a report of 50,000 records spends half its time in parameters otherwise
        connection.exec_driver_sql(statement, portion)
    if provenance.counts:
        _write_names(connection, names, now)
    return Stored.NEW


def _claimed(report: DmarcReport, provenance: Provenance) -> str:
    name = report.email.rpartition("@")[2].lower() or report.reporter.lower()
    return name if provenance.counts else _UNPROVEN + name


def _portions(report: DmarcReport, number: int, reporter: str, counts: bool) -> Iterator[list[tuple[object, ...]]]:
    day, domain, told = middle_day(report.begin, report.end), report.domain, int(counts)
    for start in range(0, len(report.records), _PORTION):
        yield [
            (
                number, place, day, told, reporter, domain, r.source_ip, r.count, r.disposition, r.dkim, r.spf,
                r.header_from, r.envelope_from, r.dkim_domain, r.dkim_selector, r.dkim_result, r.spf_domain,
                r.spf_result,
            )
            for place, r in enumerate(report.records[start : start + _PORTION], start)
        ]  # fmt: skip


def _write_names(connection: Connection, names: Sequence[SourceName], now: float) -> None:
    for start in range(0, len(names), _PORTION):
        connection.execute(_NAME, [_name_row(one, 0.0, now) for one in names[start : start + _PORTION]])


def _name_row(one: SourceName, asked: float, now: float) -> dict[str, object]:
    return {
        "source_ip": one.ip, "kind": str(one.kind), "strength": _STRENGTH[one.kind], "name": one.name,
        "evidence": one.evidence[:300], "ptr": one.ptr, "asked_at": asked, "first_seen": now,
    }  # fmt: skip


def _named(row: Row[Any]) -> SourceName:
    return SourceName(ip=row.source_ip, kind=SourceKind(row.kind), name=row.name, evidence=row.evidence, ptr=row.ptr)


def _head(row: Row[Any]) -> ReportHead:
    report = DMARC.validate_json(row.body)
    trust = Trust(row.trust)
    return ReportHead(
        number=row.id, reporter=row.reporter.removeprefix(_UNPROVEN), org=report.reporter, email=report.email,
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
