"""Stores one DMARC aggregate report, a portion of its rows at a time.

Contract: `store_step` is one step inside one transaction; it is repeated (each time in a transaction of its own, so
that no other write waits longer than for one portion) until it answers what became of the report.  A report of at
most PORTION records takes one step.  Until the last step the report is *unfinished*: no reader shows it and its rows
count nowhere.  Every step begins with what is there: after a crash, or when two nodes take the same report, the next
step of whoever comes goes on where the last one ended.

A report is known again by (authenticated reporter, domain, id, period), then by the digest of its content.  Reports
that do not count are kept under a key of their own ('?' and the claimed name).  An unfinished report that nobody has
come back for in an hour gives way to other content under its key, and is told as refused (storage.report_leftovers
does the same for those in whose way nothing comes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.engine import Row

from core.dmarc_records import packed
from core.events import ReportUnverified
from core.reports import Naming, Provenance, SourceKind, SourceName, Stored, Trust, middle_day, no_names
from core.state import DmarcReport
from storage.codec import DMARC, text_of
from storage.events import append_events
from storage.reports_tables import metadata, reports, rows, sources
from storage.statements import upsert
from storage.tables import dmarc_reports, dmarc_sources

PORTION = 2_000  # rows in one transaction
_NAMES = 250  # in one call
UNFINISHED = "unfinished"  # in the place of a Trust
UNPROVEN = "?"
_ABANDONED_SECONDS = 3600.0
_CACHE = -1_000  # kB, as SQLite wants it
_R, _W = reports.c, rows.c
_STRENGTH = {SourceKind.UNKNOWN: 0, SourceKind.FORWARDER: 1, SourceKind.SERVICE: 2, SourceKind.OURS: 3}
# locked: two nodes with the same report take turns (SQLite has one writer anyway)
_BY_KEY = select(_R.id, _R.trust, _R.received_at).where(
    _R.reporter == bindparam("of_reporter"), _R.domain == bindparam("of_domain"),
    _R.report_id == bindparam("of_report_id"), _R.begin_at == bindparam("begin"), _R.end_at == bindparam("end"),
)  # fmt: skip
_BY_DIGEST = (
    select(_R.id, _R.reporter, _R.trust, _R.records).where(_R.digest == bindparam("of_digest")).with_for_update()
)
_ADD = insert(reports).returning(_R.id)
_NAME = upsert(
    sources,
    "kind = excluded.kind, strength = excluded.strength, name = excluded.name, evidence = excluded.evidence",
    only_if="excluded.strength > report_sources.strength",
)
_SETTLE = update(reports).where(_R.id == bindparam("of_number")).values(
    reporter=bindparam("new_reporter"), trust=bindparam("new_trust"), why=bindparam("new_why")
)  # fmt: skip
_SETTLE_ROWS = (
    update(rows)
    .where(_W.report == bindparam("of_number"))
    .values(counts=bindparam("new_counts"), reporter=bindparam("new_reporter"))
)
_ADVANCE = (
    update(reports)
    .where(_R.id == bindparam("of_number"))
    .values(records=bindparam("so_far"), received_at=bindparam("at"))
)


def digest_of(report: DmarcReport) -> str:
    """Names the content: who claims to report, about what, and every record."""
    digest = hashlib.sha256(
        "|".join(
            (report.reporter, report.email, report.domain, report.report_id, f"{report.begin:.0f} {report.end:.0f}")
        ).encode("utf-8", "replace")
    )
    for ip, count, kind in packed(report.records).rows():
        digest.update(f"{ip}|{count}|{'|'.join(kind)};".encode("utf-8", "replace"))
    return digest.hexdigest()


def store_step(
    connection: Connection, report: DmarcReport, provenance: Provenance, now: float, names: Naming, digest: str
) -> Stored | None:
    """One step; None while further ones are needed."""
    reporter = provenance.domain if provenance.counts and provenance.domain else _claimed(report, provenance)
    for known in connection.execute(_BY_DIGEST, {"of_digest": digest}).all():
        if known.trust == UNFINISHED:
            with _small_cache(connection):
                return _go_on(connection, known, report, provenance, now, names, reporter)
        if known.trust != Trust.UNALIGNED or not provenance.counts:
            return Stored.REPEATED
        _settle(connection, known.id, provenance, reporter)
        for start in range(0, len(report.records), PORTION):
            write_names(connection, names(report.records[start : start + PORTION]), now)
        return Stored.PROVEN
    if not _key_is_free(connection, report, reporter, now):
        return Stored.CONFLICT
    finished = len(report.records) <= PORTION
    number = connection.execute(
        _ADD,
        {
            "reporter": reporter, "domain": report.domain, "report_id": report.report_id, "begin_at": report.begin,
            "end_at": report.end, "digest": digest, "trust": str(provenance.trust) if finished else UNFINISHED,
            "why": provenance.why, "received_at": now, "records": min(len(report.records), PORTION),
            "messages": packed(report.records).messages, "aligned": packed(report.records).aligned,
            "body": text_of(replace(report, records=())),
        },
    ).scalar_one()  # fmt: skip
    _write_rows(connection, report, number, 0, reporter, counts=finished and provenance.counts)
    if provenance.counts:
        write_names(connection, names(report.records[:PORTION]), now)
    return Stored.NEW if finished else None


def _go_on(
    connection: Connection,
    known: Row[*tuple[Any, ...]],
    report: DmarcReport,
    provenance: Provenance,
    now: float,
    names: Naming,
    reporter: str,
) -> Stored | None:
    """The next portion of an unfinished report.  `records` of its head says how many rows it has."""
    so_far = known.records + PORTION
    _write_rows(connection, report, known.id, known.records, reporter, counts=False)
    if provenance.counts:
        write_names(connection, names(report.records[known.records : so_far]), now)
    finished = so_far >= len(report.records)
    connection.execute(_ADVANCE, {"of_number": known.id, "so_far": min(so_far, len(report.records)), "at": now})
    if finished:
        _settle(connection, known.id, provenance, reporter, rows_too=provenance.counts or known.reporter != reporter)
    return Stored.NEW if finished else None


@contextmanager
def _small_cache(connection: Connection) -> Iterator[None]:
    """A long report's pages would fill SQLite's whole cache (16 MB), and nobody reads them soon."""
    if connection.dialect.name != "sqlite":
        yield
        return
    usual = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
    connection.exec_driver_sql(f"PRAGMA cache_size = {_CACHE}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {usual}")


def _settle(
    connection: Connection, number: int, provenance: Provenance, reporter: str, *, rows_too: bool = True
) -> None:
    told = {
        "of_number": number, "new_reporter": reporter, "new_trust": str(provenance.trust), "new_why": provenance.why
    }  # fmt: skip
    connection.execute(_SETTLE, told)
    if rows_too:
        counts = {"of_number": number, "new_reporter": reporter, "new_counts": int(provenance.counts)}
        connection.execute(_SETTLE_ROWS, counts)


def _key_is_free(connection: Connection, report: DmarcReport, reporter: str, now: float) -> bool:
    key = {
        "of_reporter": reporter, "of_domain": report.domain, "of_report_id": report.report_id, "begin": report.begin,
        "end": report.end,
    }  # fmt: skip
    taken = connection.execute(_BY_KEY, key).first()
    if taken is None:
        return True
    if taken.trust != UNFINISHED or taken.received_at > now - _ABANDONED_SECONDS:
        return False
    drop_unfinished(connection, taken.id, now)
    return True


def drop_unfinished(connection: Connection, number: int, now: float) -> str:
    """Take out what is left of a report that was cut off, and tell it as refused; what was told."""
    head = connection.execute(select(reports).where(_R.id == number)).one()
    connection.execute(delete(rows).where(_W.report == number))
    connection.execute(delete(reports).where(_R.id == number))
    report = DMARC.validate_json(head.body)
    problem = "cut_off: its storing ended before its last record and nobody came back with it; hand it in again"
    summary = f"report {report.report_id} of {report.reporter} about {report.domain}: {head.messages} messages"[:500]
    event = ReportUnverified(at=now, kind="dmarc", problem=problem, sender=report.email, to="", summary=summary)
    append_events(connection, [event])
    return summary


def _claimed(report: DmarcReport, provenance: Provenance) -> str:
    name = report.email.rpartition("@")[2].lower() or report.reporter.lower()
    return name if provenance.counts else UNPROVEN + name


def _write_rows(
    connection: Connection, report: DmarcReport, number: int, start: int, reporter: str, *, counts: bool
) -> None:
    day, domain, told = middle_day(report.begin, report.end), report.domain, int(counts)
    portion = [
        (number, place, day, told, reporter, domain, ip, count, *kind)
        for place, (ip, count, kind) in enumerate(packed(report.records).rows(start, start + PORTION), start)
    ]
    if portion:
        # straight to the driver: a report of 50,000 records spends half its time in parameters otherwise
        place = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        columns = ", ".join([place] * len(rows.columns))
        connection.exec_driver_sql(f"INSERT INTO {rows.name} VALUES ({columns})", portion)  # noqa: S608 -- our own names


def write_names(connection: Connection, names: Sequence[SourceName], now: float) -> None:
    """Names as reports show them: a stronger one replaces a weaker one."""
    # few at a time: SQLAlchemy holds the parameters of a call several times over
    for start in range(0, len(names), _NAMES):
        connection.execute(_NAME, [name_row(one, 0.0, now) for one in names[start : start + _NAMES]])


def name_row(one: SourceName, asked: float, now: float) -> dict[str, object]:
    """The columns of a name; `asked`: when its PTR was asked for, 0 for never."""
    return {
        "source_ip": one.ip, "kind": str(one.kind), "strength": _STRENGTH[one.kind], "name": one.name,
        "evidence": one.evidence[:300], "ptr": one.ptr, "asked_at": asked, "first_seen": now,
    }  # fmt: skip


def take_over(connection: Connection) -> None:
    """The migration: reports of the first table, whose origin nobody had checked, are kept apart."""
    metadata.create_all(connection)
    unproven = Provenance(trust=Trust.UNALIGNED, why="stored before origins were checked")
    for row in connection.execute(select(dmarc_reports)).all():
        report = DMARC.validate_json(row.body)
        digest = digest_of(report)
        while store_step(connection, report, unproven, row.received_at, no_names, digest) is None:
            pass
    connection.execute(delete(dmarc_sources))
    connection.execute(delete(dmarc_reports))
