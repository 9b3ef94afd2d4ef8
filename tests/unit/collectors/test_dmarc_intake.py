"""Intake of DMARC reports: once each, and what is no report says why in the log."""

from __future__ import annotations

from pathlib import Path

from collectors.dmarc.intake import DmarcIntake
from core.clock import FixedClock
from core.events import DmarcReportStored, ReportUnverified
from core.state import DmarcReport
from tests.unit.collectors.watch_fakes import MemoryLog

OWN = Path(__file__).resolve().parents[2] / "corpus/dmarc"


class MemoryReports:
    """DmarcReports in memory: the first of each key is stored."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str, float, float], DmarcReport] = {}

    async def store(self, report: DmarcReport, received_from: str, now: float) -> bool:
        key = (report.reporter, report.domain, report.report_id, report.begin, report.end)
        if key in self.kept:
            return False
        self.kept[key] = report
        return True

    async def page(self, limit: int = 50) -> list[tuple[int, DmarcReport]]:
        return list(enumerate(self.kept.values()))[:limit]

    async def sources(self, since: float) -> list[tuple[str, int, int]]:
        return []


def mail_with(name: str) -> bytes:
    return b"From: d@mailhaus.example\r\nContent-Type: text/xml\r\n\r\n" + (OWN / name).read_bytes()


async def test_a_report_is_stored_and_logged_once_however_often_it_comes() -> None:
    log, store = MemoryLog(), MemoryReports()
    intake = DmarcIntake(store=store, log=log, clock=FixedClock(1_793_100_000.0))
    mail = mail_with("011-bad-records-among-good.xml")
    assert [await intake.report(mail, "d@mailhaus.example") for _ in range(2)] == [1, 0]
    events = log.all()
    assert len(events) == 1
    stored = events[0]
    assert isinstance(stored, DmarcReportStored)
    assert (stored.records, stored.counted, stored.aligned, stored.refused) == (2, 5, 5, 5)


async def test_what_is_no_report_is_logged_with_its_defect_and_sender() -> None:
    log = MemoryLog()
    intake = DmarcIntake(store=MemoryReports(), log=log, clock=FixedClock(1_793_100_000.0))
    assert await intake.report(b"Subject: hello\r\n\r\nno report here\r\n", "x@y.example") == 0
    assert await intake.report(mail_with("018-entity.xml"), "x@y.example") == 0
    problems = [(e.kind, e.sender, e.problem.split(":")[0]) for e in log.all() if isinstance(e, ReportUnverified)]
    assert problems == [("dmarc", "x@y.example", "not_a_report"), ("dmarc", "x@y.example", "entities")]


async def test_an_uploaded_archive_gives_every_report_in_it() -> None:
    log, store = MemoryLog(), MemoryReports()
    intake = DmarcIntake(store=store, log=log, clock=FixedClock(1_793_100_000.0))
    name = "004-zip-folder-and-two-reports.zip"
    assert await intake.upload((OWN / name).read_bytes(), name, "operator") == 2
    assert len(log.all()) == len(store.kept) == 2
