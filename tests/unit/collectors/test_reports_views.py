"""Readiness and reconciliation: what would break, what is missing, and nothing unknown taken for zero."""

from __future__ import annotations

from collectors.reports.readiness import Verdict, readiness
from collectors.reports.reconcile import Line, reconcile
from core.reports import Provenance, ReportHead, SentCount, SentKey, SourceKind, SourceName, Tally, Trust

DAY = 20_000


def tally(*key: str, messages: int, aligned: int = -1) -> Tally:
    good = messages if aligned < 0 else aligned
    return Tally(
        key=key, messages=messages, aligned=good, dkim=good, spf=0, quarantined=0, rejected=0, first_day=DAY,
        last_day=DAY,
    )  # fmt: skip


NAMES = {
    "192.0.2.1": SourceName(ip="192.0.2.1", kind=SourceKind.OURS, name="mta1"),
    "192.0.2.2": SourceName(ip="192.0.2.2", kind=SourceKind.SERVICE, name="SendGrid"),
}


def verdict(policy: str, *tallies: Tally, days: int = 30) -> Verdict:
    return readiness("news.example", policy, tallies, NAMES, days=days, reporters=3, streams={}).verdict


def test_own_and_known_mail_that_fails_decides_and_a_forgers_does_not() -> None:
    good, spoof = tally("192.0.2.1", messages=10_000), tally("203.0.113.6", messages=90_000, aligned=0)
    assert verdict("none", good, spoof) is Verdict.READY
    assert verdict("none", good, tally("192.0.2.2", messages=100, aligned=0)) is Verdict.NOT_READY
    assert verdict("none", good, tally("192.0.2.2", messages=30, aligned=0)) is Verdict.READY
    assert verdict("quarantine", good, tally("192.0.2.2", messages=30, aligned=0)) is Verdict.NOT_READY
    assert verdict("reject", good) is Verdict.DONE


def test_too_little_is_unknown_and_never_ready() -> None:
    assert verdict("none", tally("192.0.2.1", messages=10_000), days=13) is Verdict.UNKNOWN
    assert verdict("none", tally("192.0.2.1", messages=99)) is Verdict.UNKNOWN
    assert verdict("none", tally("203.0.113.6", messages=9_999)) is Verdict.UNKNOWN


def test_what_would_break_is_listed_own_first_with_its_streams() -> None:
    found = readiness(
        "news.example", "none",
        [tally("203.0.113.6", messages=50, aligned=0), tally("192.0.2.1", messages=500, aligned=490)], NAMES, days=20,
        reporters=1, streams={"mta1": {"bulk": 400, "receipts": 90}},
    )  # fmt: skip
    assert [(b.source.ip, b.unaligned, b.streams) for b in found.breaks] == [
        ("192.0.2.1", 10, (("bulk", 400), ("receipts", 90))), ("203.0.113.6", 50, ())
    ]  # fmt: skip
    assert found.loss == 0.02


def head(day: int = DAY, reporter: str = "receiver.example", *, end: float = 86_399) -> ReportHead:
    return ReportHead(
        number=1, reporter=reporter, org="", email="", domain="news.example", report_id="1", begin=day * 86_400.0,
        end=day * 86_400 + end, received_at=0, provenance=Provenance(trust=Trust.ALIGNED), policy="none", records=1,
        messages=1, aligned=1, refused=0, refused_messages=0,
    )  # fmt: skip


def sent(
    hour: int, delivered: int, refused: int = 0, provider: str = "gmail", domain: str = "news.example"
) -> SentCount:
    key = SentKey(hour=hour, source="mta1", sending_domain=domain, provider=provider, stream="bulk")
    return SentCount(key=key, delivered=delivered, refused=refused)


def lines(heads: list[ReportHead], reported: int, *own: SentCount, known: bool = True) -> list[Line]:
    rows = [
        tally(str(h.day), h.reporter, h.domain, "192.0.2.1", "news.example", "p1", messages=reported) for h in heads
    ]
    foreign = tally(str(DAY), "receiver.example", "news.example", "203.0.113.6", "", "", messages=999)
    providers = {"receiver.example": ("gmail",)} if known else {}
    return reconcile(heads, [*rows, foreign], own, ours={"192.0.2.1": "mta1"}, providers=providers, due=lambda _: DAY)


def test_own_deliveries_in_the_hours_of_the_report_are_laid_beside_it() -> None:
    first = DAY * 24
    own = [
        sent(first - 1, 7),
        sent(first, 3),
        sent(first + 23, 4),
        sent(first + 24, 9),
        sent(first, 5, provider="yahoo"),
    ]
    found = {line.day: line for line in lines([head()], 7, *own)}
    assert (found[DAY].delivered, found[DAY].reported, found[DAY].difference) == (7, 7, 0)
    assert [(s.domain, s.selector, s.messages) for s in found[DAY].signed] == [("news.example", "p1", 7)]
    assert {day: line.reported for day, line in found.items()} == {DAY - 1: None, DAY: 7, DAY + 1: None}
    # the day after the newest one that is due is awaited, and no day without a report
    assert {day: line.awaited for day, line in found.items()} == {DAY - 1: False, DAY: False, DAY + 1: True}


def test_an_end_on_the_hour_belongs_to_the_hour_before() -> None:
    (line,) = [one for one in lines([head(end=86_400)], 3, sent(DAY * 24, 3), sent(DAY * 24 + 24, 9)) if one.day == DAY]
    assert line.difference == 0


def test_refusals_after_the_data_explain_a_difference_up_to_their_number() -> None:
    for reported, explained in ((10, True), (12, True), (13, False), (9, False)):
        (line,) = lines([head()], reported, sent(DAY * 24, 10, refused=2))
        assert line.explained is explained


def turned(days: dict[int, tuple[int, int]], refused: int = 0) -> list[tuple[int | None, int, bool]]:
    """(difference, turned, explained) of days one after the other, each {day: (delivered, reported)}."""
    heads = [head(day=day) for day in days]
    rows = [
        tally(str(day), "receiver.example", "news.example", "192.0.2.1", "news.example", "p1", messages=reported)
        for day, (_, reported) in days.items()
    ]
    own = [sent(day * 24, delivered, refused) for day, (delivered, _) in days.items()]
    found = reconcile(
        heads, rows, own, ours={"192.0.2.1": "mta1"}, providers={"receiver.example": ("gmail",)}, due=lambda _: DAY
    )
    return [(line.difference, line.turned, line.explained) for line in sorted(found, key=lambda line: line.day)]


def test_what_is_under_way_when_a_day_ends_is_missing_from_none() -> None:
    assert turned({DAY: (100, 101), DAY + 1: (50, 49)}) == [(1, 1, True), (-1, -1, True)]
    assert turned({DAY: (100, 99), DAY + 1: (50, 51)}) == [(-1, -1, True), (1, 1, True)]
    # a day in the middle may have both
    assert turned({DAY: (100, 101), DAY + 1: (50, 50), DAY + 2: (9, 9)})[0] == (1, 0, False)
    assert turned({DAY: (9, 12), DAY + 1: (9, 8), DAY + 2: (9, 8)}) == [(3, 2, False), (-1, -1, True), (-1, -1, True)]


def test_refusals_alone_are_no_line() -> None:
    (line,) = lines([head()], 0, sent(DAY * 24, 0, refused=2), sent(DAY * 24, 3, domain="a.news.example"))
    assert (line.delivered, line.refused) == (3, 2)
    assert lines([head()], 0, sent(DAY * 24, 0, refused=2)) == []


def test_a_day_in_the_middle_hands_on_what_it_got() -> None:
    assert turned({DAY: (9, 10), DAY + 1: (9, 11), DAY + 2: (138, 135)}) == [(1, 1, True), (2, 2, True), (-3, -3, True)]
    assert turned({DAY: (9, 10), DAY + 1: (9, 9), DAY + 2: (9, 8)}) == [(1, 1, True), (0, 0, True), (-1, -1, True)]
    # no more goes over the end of one day than can be under way
    assert [one[2] for one in turned({DAY: (9, 11), DAY + 1: (9, 11), DAY + 2: (138, 134)})] == [False, True, False]


def test_refusals_may_explain_what_did_not_turn_and_not_what_is_missing() -> None:
    assert turned({DAY: (100, 102), DAY + 1: (50, 49)}, refused=1) == [(2, 1, True), (-1, -1, True)]
    assert turned({DAY: (100, 101), DAY + 1: (50, 48)}, refused=1) == [(1, 1, True), (-2, -1, False)]


def test_more_than_can_be_under_way_stays_unexplained() -> None:
    assert turned({DAY: (100, 105), DAY + 1: (50, 45)}) == [(5, 3, False), (-5, -3, False)]
    assert turned({DAY: (9000, 9008), DAY + 1: (50, 42)}) == [(8, 8, True), (-8, -8, True)]


def test_days_that_do_not_follow_each_other_explain_nothing() -> None:
    assert turned({DAY: (100, 99), DAY + 2: (50, 51)}) == [(-1, 0, False), (1, 0, False)]


def test_while_the_next_day_is_not_reported_its_first_hour_has_to_allow_for_it() -> None:
    for hour, explained in ((24, True), (25, False)):
        found = lines([head()], 11, sent(DAY * 24, 10), sent(DAY * 24 + hour, 1))
        (line,) = [one for one in found if one.day == DAY]
        assert line.explained is explained


def test_a_reporter_that_nobody_can_assign_has_no_own_figure() -> None:
    (line,) = lines([head()], 5, sent(DAY * 24, 10), known=False)
    assert (line.delivered, line.difference, line.explained) == (None, None, False)


def test_mail_of_a_subdomain_is_reported_under_its_parents_policy() -> None:
    (line,) = lines(
        [head()], 5, sent(DAY * 24, 5, domain="shop.news.example"), sent(DAY * 24, 9, domain="xnews.example")
    )
    assert line.delivered == 5
