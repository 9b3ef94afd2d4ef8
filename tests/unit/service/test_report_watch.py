"""Alerts about reports: each kind fires on proven reports, in both languages, and never on a forgery."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from alerts.reports import Trouble, report_alerts
from config.model import SendingDomain, Settings, Source
from core.clock import FixedClock
from core.lane import DAY
from core.reports import Provenance, Trust
from core.state import DmarcRecord, DmarcReport
from service.report_watch import ReportWatch
from service.reports import Reports, build_reports
from storage.stores import open_stores
from tests.unit.collectors.watch_zone import Zone

NOW = 20_000 * DAY + 3600.0
PROVEN = Provenance(trust=Trust.ALIGNED, domain="receiver.example", why="")
FORGED = Provenance(trust=Trust.UNALIGNED, why="nothing passes")


@pytest.fixture
async def reports() -> AsyncIterator[Reports]:
    stores = await open_stores("sqlite://", inline=True)
    settings = Settings(
        sending_domains=[SendingDomain(name="news.example", return_path="b.news.example")],
        sources=[Source(name="mta1", ehlo="mta1.news.example", bind="192.0.2.10")],
    )
    yield build_reports(settings, resolver=Zone(""), stores=stores, clock=FixedClock(NOW))
    await stores.close()


async def store(
    reports: Reports, day: int, count: int = 1000, *, ip: str = "192.0.2.10", good: bool = True, policy: str = "none",
    origin: Provenance = PROVEN,
) -> None:  # fmt: skip
    result = "pass" if good else "fail"
    record = DmarcRecord(
        source_ip=ip, count=count, disposition="none", dkim=result, spf=result, header_from="news.example",
        envelope_from="", dkim_domain="", dkim_selector="", dkim_result="", spf_domain="", spf_result="",
    )  # fmt: skip
    report = DmarcReport(
        reporter="R", email="d@receiver.example", domain="news.example", report_id=f"{day}{ip}{policy}",
        begin=day * DAY, end=day * DAY + 86399, policy=policy, records=(record,),
    )  # fmt: skip
    await reports.stores.dmarc.store(report, origin, (day + 1) * DAY + 3600)


async def troubles(reports: Reports) -> dict[Trouble, str]:
    return {one.trouble: one.subject for one in await ReportWatch(reports).seen()}


async def test_a_quiet_month_gives_nothing_and_a_forgery_gives_nothing_either(reports: Reports) -> None:
    for day in range(19_980, 20_000):
        await store(reports, day)
    await store(reports, 19_999, 10**6, ip="203.0.113.6", good=False, policy="reject", origin=FORGED)
    assert await troubles(reports) == {}


async def test_each_trouble_is_found(reports: Reports) -> None:
    for day in range(19_980, 19_999):
        await store(reports, day)
    await store(reports, 19_999, 500, ip="203.0.113.6", good=False, policy="quarantine")
    assert await troubles(reports) == {
        Trouble.NEW_SOURCE: "203.0.113.6",
        Trouble.ALIGNMENT_DROP: "news.example",
        Trouble.POLICY_CHANGED: "news.example",
    }


async def test_a_reporter_that_stops_is_missed(reports: Reports) -> None:
    for day in range(19_980, 19_990):
        await store(reports, day)
    assert await troubles(reports) == {Trouble.REPORTER_MISSING: "receiver.example"}


async def test_files_that_cannot_be_read_are_told_when_they_become_many(reports: Reports) -> None:
    for _ in range(9):
        await reports.intake.upload(b"<html></html>", "x.xml", "ann")
    assert await troubles(reports) == {}
    await reports.intake.upload(b"<html></html>", "x.xml", "ann")
    assert await troubles(reports) == {Trouble.UNREADABLE: "dmarc"}


async def test_alerts_speak_both_languages(reports: Reports) -> None:
    for _ in range(10):
        await reports.intake.upload(b"<html></html>", "x.xml", "ann")
    found = await ReportWatch(reports).seen()
    (english,), (russian,) = (report_alerts(found, language=tongue, dashboard="") for tongue in ("en", "ru"))
    assert english.labels == russian.labels
    assert english.annotations["summary"].startswith("10 files in a day")
    assert russian.annotations["summary"].startswith("За сутки")
