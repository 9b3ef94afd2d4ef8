"""core.reports' ports on both databases: reports once each and whole, sums by any part, the book of deliveries."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from core.errors import StorageConflict
from core.events import ReportUnverified
from core.reports import (
    Dim,
    FailureReport,
    Provenance,
    SentCount,
    SentKey,
    SourceKind,
    SourceName,
    Stored,
    TlsCount,
    TlsReport,
    TlsRow,
    Trust,
    no_names,
)
from core.state import DmarcRecord, DmarcReport
from storage.report_leftovers import leftovers_step
from storage.report_writing import PORTION, digest_of, store_step
from storage.stores import Stores

NOW = 1_764_072_000.0 // 86400 * 86400
DAY = int(NOW // 86400)
PROVEN = Provenance(trust=Trust.ALIGNED, domain="receiver.example", why="SPF passes")
FORGED = Provenance(trust=Trust.UNALIGNED, why="nothing passes")


def record(ip: str, count: int, result: str, selector: str = "p1") -> DmarcRecord:
    return DmarcRecord(
        source_ip=ip, count=count, disposition="none" if result == "pass" else "reject", dkim=result, spf="fail",
        header_from="news.example", envelope_from="b.news.example", dkim_domain="news.example", dkim_selector=selector,
        dkim_result=result, spf_domain="b.news.example", spf_result="fail",
    )  # fmt: skip


def report(report_id: str = "r1", begin: float = NOW) -> DmarcReport:
    return DmarcReport(
        reporter="Receiver", email="d@receiver.example", domain="news.example", report_id=report_id, begin=begin,
        end=begin + 86399, policy="none", refused=("record 4: count is negative",), refused_messages=2, notes=("odd",),
        records=(record("192.0.2.1", 5, "pass"), record("192.0.2.1", 2, "fail"), record("192.0.2.2", 3, "fail", "p2")),
    )  # fmt: skip


async def test_a_report_is_stored_once_and_read_back_whole(stores: Stores) -> None:
    assert await stores.dmarc.store(report(), PROVEN, NOW) is Stored.NEW
    assert await stores.dmarc.store(report(), PROVEN, NOW + 1) is Stored.REPEATED
    assert await stores.dmarc.store(replace(report(), records=()), PROVEN, NOW) is Stored.CONFLICT
    assert await stores.dmarc.store(report("r2", NOW - 86400), PROVEN, NOW) is Stored.NEW
    newest, oldest = await stores.dmarc.heads()
    assert (newest.report_id, oldest.report_id, oldest.records, oldest.messages) == ("r2", "r1", 3, 10)
    assert (oldest.aligned, oldest.refused, oldest.refused_messages, oldest.provenance) == (5, 1, 2, PROVEN)
    assert await stores.dmarc.whole(oldest.number) == (oldest, report())
    assert await stores.dmarc.heads(1, before=newest.number) == [oldest]
    assert await stores.dmarc.whole(999) is None


async def test_sums_split_and_narrow_by_any_part(stores: Stores) -> None:
    await stores.dmarc.store(report(), PROVEN, NOW)
    await stores.dmarc.store(report("r2", NOW - 86400), PROVEN, NOW)
    by_source = await stores.dmarc.tally([Dim.SOURCE])
    assert [(t.key, t.messages, t.aligned, t.rejected) for t in by_source] == [
        (("192.0.2.1",), 14, 10, 4), (("192.0.2.2",), 6, 0, 6)
    ]  # fmt: skip
    assert (by_source[0].first_day, by_source[0].last_day) == (DAY - 1, DAY)
    narrow = await stores.dmarc.tally(
        [Dim.DAY, Dim.SELECTOR], since_day=DAY, where=[(Dim.SOURCE, "192.0.2.2"), (Dim.DAY, str(DAY))]
    )
    assert [(t.key, t.messages) for t in narrow] == [((str(DAY), "p2"), 3)]
    assert await stores.dmarc.tally([], since_day=DAY + 1) == []
    assert len(await stores.dmarc.tally([Dim.SOURCE], limit=1)) == 1


async def test_what_is_not_proven_is_in_no_sum_until_it_is(stores: Stores) -> None:
    name = SourceName(ip="192.0.2.1", kind=SourceKind.OURS, name="mta1", evidence="bind")
    assert await stores.dmarc.store(report(), FORGED, NOW, lambda _: [name]) is Stored.NEW
    assert await stores.dmarc.store(report(), FORGED, NOW) is Stored.REPEATED
    assert await stores.dmarc.tally([]) == []
    assert await stores.dmarc.names(["192.0.2.1"]) == {}
    assert await stores.dmarc.store(report(), PROVEN, NOW, lambda _: [name]) is Stored.PROVEN
    assert [t.messages for t in await stores.dmarc.tally([Dim.REPORTER])] == [10]
    assert await stores.dmarc.names(["192.0.2.1"]) == {"192.0.2.1": name}
    assert await stores.dmarc.count() == 1


async def test_a_name_yields_to_a_stronger_one_and_to_a_look_up(stores: Stores) -> None:
    weak = SourceName(ip="192.0.2.2")
    forwarder = SourceName(ip="192.0.2.2", kind=SourceKind.FORWARDER, name="f", evidence="e")
    await stores.dmarc.store(report("a"), PROVEN, NOW, lambda _: [forwarder])
    await stores.dmarc.store(report("b"), PROVEN, NOW, lambda _: [weak])
    assert (await stores.dmarc.names(["192.0.2.2"]))["192.0.2.2"] == forwarder
    assert await stores.dmarc.unasked(DAY, 5) == [forwarder]
    asked = replace(forwarder, ptr="mx.f.example")
    await stores.dmarc.put_names([asked], NOW)
    assert (await stores.dmarc.names(["192.0.2.2"]))["192.0.2.2"] == asked
    assert await stores.dmarc.unasked(DAY, 5) == []


async def test_deliveries_are_counted_once_by_whoever_holds_the_cursor(stores: Stores) -> None:
    key = SentKey(hour=10, source="mta1", sending_domain="news.example", provider="gmail", stream="bulk")
    one = SentCount(key=key, delivered=3, refused=1)
    tls = TlsCount(day=1, domain="x.example", host="mx.x.example", failure="certificate-expired", sessions=2)
    await stores.sent.add(0, 7, [one], [tls])
    with pytest.raises(StorageConflict):
        await stores.sent.add(0, 7, [one], [tls])
    await stores.sent.add(7, 9, [one], [])
    assert await stores.sent.cursor() == 9
    assert await stores.sent.sent(10, 11) == [SentCount(key=key, delivered=6, refused=2)]
    assert await stores.sent.sent(11, 12) == []
    assert await stores.sent.tls(1, 2) == [tls]


async def test_tls_reports_are_stored_once_and_a_forgery_stands_in_nobodys_way(stores: Stores) -> None:
    told = TlsReport(
        organization="Receiver", contact="t@receiver.example", report_id="t1", begin=NOW, end=NOW + 86399,
        rows=(TlsRow(policy_domain="news.example", policy_type="sts", result="", sessions=9),), refused=("x",),
    )  # fmt: skip
    store = stores.other_reports.store_tls
    assert await store(replace(told, rows=()), FORGED, NOW) is Stored.NEW
    assert [await store(told, PROVEN, NOW), await store(told, PROVEN, NOW)] == [Stored.NEW, Stored.REPEATED]
    assert await store(replace(told, refused=()), PROVEN, NOW) is Stored.CONFLICT
    newest = (await stores.other_reports.tls())[0]
    assert (newest.report, newest.provenance) == (told, PROVEN)
    assert await stores.other_reports.tls(since=NOW + 90000) == []


async def test_failure_reports_are_forgotten_in_time(stores: Stores) -> None:
    told = FailureReport(
        reporter="receiver.example", arrived_at=NOW, domain="news.example", source_ip="192.0.2.1", failure="dkim",
        delivery="reject", mail_from="redacted@x.example", recipient="redacted@receiver.example", subject="",
        header_from="redacted@news.example", dkim_domain="", dkim_selector="", message_id="", redacted=True,
    )  # fmt: skip
    store = stores.other_reports.store_failure
    assert [await store(told, PROVEN, "a", NOW), await store(told, PROVEN, "a", NOW)] == [Stored.NEW, Stored.REPEATED]
    assert [one.report for one in await stores.other_reports.failures()] == [told]
    assert await stores.other_reports.forget_failures(NOW) == 0
    assert await stores.other_reports.forget_failures(NOW + 1) == 1
    assert await stores.other_reports.failures() == []


def long_report(records: int, first_ip: int = 0) -> DmarcReport:
    found = tuple(record(f"10.0.{n // 250}.{n % 250 + 1}", 1, "pass") for n in range(first_ip, first_ip + records))
    return replace(report("long"), records=found)


async def steps(stores: Stores, given: DmarcReport, origin: Provenance, now: float, most: int) -> Stored | None:
    """At most so many steps of storing, as a process makes that dies then."""
    for _ in range(most):
        found = await stores.db.transact(
            lambda connection: store_step(connection, given, origin, now, no_names, digest_of(given))
        )
        if found is not None:
            return found
    return None


async def test_a_long_report_counts_when_its_last_portion_is_there_and_not_before(stores: Stores) -> None:
    given = long_report(2 * PORTION + 1)
    assert await steps(stores, given, PROVEN, NOW, 2) is None
    assert await stores.dmarc.heads() == []
    assert await stores.dmarc.heads(counting=True) == []
    assert await stores.dmarc.count() == 0
    assert await stores.dmarc.whole(1) is None
    assert await stores.dmarc.tally([]) == []
    # another process takes it up where the first one died
    naming = [SourceName(ip="10.0.0.1", kind=SourceKind.OURS, name="mta1")]
    assert await stores.dmarc.store(given, PROVEN, NOW + 9, lambda _: naming) is Stored.NEW
    assert await stores.dmarc.names(["10.0.0.1"]) == {"10.0.0.1": naming[0]}
    (head,) = await stores.dmarc.heads()
    assert await stores.dmarc.whole(head.number) == (head, given)
    assert [t.messages for t in await stores.dmarc.tally([])] == [2 * PORTION + 1] == [head.messages]
    assert await stores.dmarc.store(given, PROVEN, NOW + 10) is Stored.REPEATED


async def test_a_long_report_taken_by_two_at_once_is_stored_once(stores: Stores) -> None:
    given = long_report(2 * PORTION)
    outcomes = await asyncio.gather(*(stores.dmarc.store(given, PROVEN, NOW) for _ in range(3)))
    assert sorted(outcomes) == [Stored.NEW, Stored.REPEATED, Stored.REPEATED]
    assert [t.messages for t in await stores.dmarc.tally([])] == [2 * PORTION]


async def test_the_origin_of_a_long_report_is_that_of_who_ends_it(stores: Stores) -> None:
    given = long_report(PORTION + 1)
    await steps(stores, given, FORGED, NOW, 1)
    assert await stores.dmarc.store(given, PROVEN, NOW) is Stored.NEW
    assert [t.key for t in await stores.dmarc.tally([Dim.REPORTER])] == [("receiver.example",)]
    await steps(stores, replace(given, report_id="b"), PROVEN, NOW, 1)
    assert await stores.dmarc.store(replace(given, report_id="b"), FORGED, NOW) is Stored.NEW
    assert [t.messages for t in await stores.dmarc.tally([])] == [PORTION + 1]
    assert await stores.dmarc.store(replace(given, report_id="b"), PROVEN, NOW) is Stored.PROVEN
    assert [t.messages for t in await stores.dmarc.tally([])] == [2 * PORTION + 2]


async def test_a_report_that_nobody_ends_keeps_its_key_for_an_hour(stores: Stores) -> None:
    await steps(stores, long_report(PORTION + 1), PROVEN, NOW, 1)
    other = replace(long_report(1, first_ip=7), records=(record("192.0.2.9", 4, "pass"),))
    assert await stores.dmarc.store(other, PROVEN, NOW + 3599) is Stored.CONFLICT
    assert await stores.dmarc.store(other, PROVEN, NOW + 3601) is Stored.NEW
    assert [t.messages for t in await stores.dmarc.tally([])] == [4]
    assert await refused(stores) == [f"report long of Receiver about news.example: {PORTION + 1} messages"]


async def refused(stores: Stores) -> list[str]:
    return [one.event.summary for one in await stores.log.read(0) if isinstance(one.event, ReportUnverified)]


async def rows_kept(stores: Stores) -> int:
    count = text("SELECT count(*) FROM report_rows")
    return await stores.db.read(lambda connection: int(connection.execute(count).scalar_one()))


async def test_what_nobody_ends_is_taken_out_and_told_as_refused(stores: Stores) -> None:
    given = long_report(3 * PORTION)
    await steps(stores, given, PROVEN, NOW, 2)
    assert await stores.dmarc.refuse_leftovers(NOW - 1, NOW) == []
    assert await rows_kept(stores) == 2 * PORTION
    assert await stores.dmarc.refuse_leftovers(NOW, NOW + 9) == await refused(stores)
    assert (await rows_kept(stores), len(await refused(stores))) == (0, 1)
    assert await stores.dmarc.refuse_leftovers(NOW, NOW + 10) == []
    assert await stores.dmarc.store(given, PROVEN, NOW + 11) is Stored.NEW
    assert await stores.dmarc.refuse_leftovers(NOW + 12, NOW + 12) == []
    assert [t.messages for t in await stores.dmarc.tally([])] == [3 * PORTION]


async def test_who_comes_back_while_it_is_taken_out_goes_on_where_the_rows_end(stores: Stores) -> None:
    given = long_report(3 * PORTION)
    await steps(stores, given, PROVEN, NOW, 2)
    assert await stores.db.transact(lambda connection: leftovers_step(connection, NOW, NOW)) == ""
    assert await rows_kept(stores) == PORTION
    assert await stores.dmarc.store(given, PROVEN, NOW + 5) is Stored.NEW
    assert (await rows_kept(stores), await refused(stores)) == (3 * PORTION, [])
