"""Addresses, MX, MTA-STS and TLS reporting; and that every text exists whole in both languages."""

from __future__ import annotations

import re

import pytest

from collectors.dns import texts_auth, texts_host
from collectors.dns.checks import Level, Text, check_mta_sts, check_mx, check_source, check_tls_reporting
from collectors.dns.finding import found
from service import doctor_texts
from tests.unit.collectors.watch_zone import Zone

IP = "192.0.2.10"
GOOD = f"mta.news.example A {IP}\n{IP} PTR mta.news.example"


@pytest.mark.parametrize(
    ("zone", "ehlo", "bind", "expected"),
    [
        (GOOD, "mta.news.example", IP, ["ehlo.ok", "ptr.ok"]),
        (GOOD, "mta.news.example", "", ["ehlo.ok", "ptr.ok"]),
        (GOOD, "MTA.news.example.", IP, ["ehlo.ok", "ptr.ok"]),
        (GOOD, "mta.news.example", "10.0.0.5", ["address.private", "ehlo.ok", "ptr.ok"]),
        (f"mta.news.example A {IP}", "mta.news.example", IP, ["ptr.missing", "ehlo.ok"]),
        (f"mta.news.example A {IP}\n{IP} PTR gone.example", "mta.news.example", IP, ["ptr.unconfirmed", "ehlo.ok"]),
        (
            f"mta.news.example A {IP}\n{IP} PTR x.example\nx.example A 198.51.100.1",
            "mta.news.example", IP, ["ptr.unconfirmed", "ehlo.ok"],
        ),
        (
            f"mta.news.example A {IP}\n{IP} PTR dsl-7.isp.example\ndsl-7.isp.example A {IP}",
            "mta.news.example", IP, ["ehlo.not_ptr", "ptr.generic"],
        ),
        (
            f"mta.news.example A {IP}\n{IP} PTR 192-0-2-10.isp.example\n192-0-2-10.isp.example A {IP}",
            "mta.news.example", IP, ["ehlo.not_ptr", "ptr.generic"],
        ),
        (
            f"{GOOD}\n{IP} PTR other.news.example\nother.news.example A {IP}",
            "mta.news.example", IP, ["ehlo.ok", "ptr.several", "ptr.ok"],
        ),
        (
            f"a.news.example A {IP}\n{IP} PTR a.news.example\nb.news.example A {IP}",
            "b.news.example", IP, ["ehlo.not_ptr", "ptr.ok"],
        ),
        (f"{IP} PTR a.news.example\na.news.example A {IP}", "b.news.example", IP, ["ehlo.no_address", "ptr.ok"]),
        (f"{GOOD}\nb.news.example A 198.51.100.1", "b.news.example", IP, ["ehlo.elsewhere", "ptr.ok"]),
        ("", "mta.news.example", "", ["address.unknown"]),
        ("mta.news.example A 127.0.0.1", "mta.news.example", "", ["address.unknown"]),
        (GOOD, "localhost", IP, ["ehlo.bad"]),
        (GOOD, "my host", IP, ["ehlo.bad"]),
        (f"{GOOD}\nmta.news.example FAIL", "mta.news.example", IP, ["dns.failed"]),
    ],
)  # fmt: skip
async def test_an_address_its_ptr_and_its_ehlo_name(zone: str, ehlo: str, bind: str, expected: list[str]) -> None:
    findings = await check_source(Zone(zone), "s1", bind, ehlo)
    assert [f.text.id for f in findings] == expected
    assert all(f.remedy for f in findings if f.level is not Level.OK)


@pytest.mark.parametrize(
    ("zone", "returns", "expected"),
    [
        ("b.example MX 10 m.example\nm.example A 192.0.2.1", True, ["mx.ok"]),
        ("", True, ["mx.missing"]),
        ("b.example TXT x", True, ["mx.missing"]),
        ("b.example A 192.0.2.1", True, ["mx.implicit"]),
        ("b.example MX 0 .", True, ["mx.null"]),
        ("b.example MX 10 m.example", True, ["mx.no_address"]),
        ("b.example MX 10 192.0.2.1", True, ["mx.is_address"]),
        ("b.example FAIL", True, ["dns.failed"]),
        ("b.example MX 0 .", False, ["from.no_mx"]),
        ("", False, ["from.no_mx"]),
        ("b.example A 192.0.2.1", False, ["mx.ok"]),
    ],
)
async def test_who_takes_mail(zone: str, returns: bool, expected: list[str]) -> None:
    findings = await check_mx(Zone(zone), "b.example", "mta.example", returns=returns)
    assert [f.text.id for f in findings] == expected


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["v=STSv1; id=20260101"], "mta_sts.ok"),
        ([], "mta_sts.missing"),
        (["v=spf1 -all"], "mta_sts.missing"),
        (["v=STSv1;"], "mta_sts.bad"),
        (["v=STSv1; id=a-b"], "mta_sts.bad"),
        (["v=STSv1; id=1", "v=STSv1; id=2"], "mta_sts.bad"),
    ],
)
async def test_mta_sts_announcement(records: list[str], expected: str) -> None:
    zone = Zone("\n".join(f"_mta-sts.b.example TXT {record}" for record in records))
    assert [f.text.id for f in await check_mta_sts(zone, "b.example")] == [expected]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (["v=TLSRPTv1; rua=mailto:t@b.example"], "tls_rpt.ok"),
        (["v=TLSRPTv1; rua=https://t.example/x,mailto:t@b.example"], "tls_rpt.ok"),
        ([], "tls_rpt.missing"),
        (["v=TLSRPTv1"], "tls_rpt.bad"),
        (["v=TLSRPTv1; rua=t@b.example"], "tls_rpt.bad"),
    ],
)
async def test_tls_reporting(records: list[str], expected: str) -> None:
    zone = Zone("\n".join(f"_smtp._tls.b.example TXT {record}" for record in records))
    assert [f.text.id for f in await check_tls_reporting(zone, "b.example", "t@b.example")] == [expected]


TEXTS = [t for table in (texts_auth, texts_host, doctor_texts) for t in vars(table).values() if isinstance(t, Text)]


def test_ids_of_texts_differ() -> None:
    assert len({text.id for text in TEXTS}) == len(TEXTS) > 60


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.id)
def test_a_text_says_the_same_in_both_languages(text: Text) -> None:
    for english, russian in (text.what, text.remedy):
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", russian))
        assert bool(english) == bool(russian)
    assert bool(text.remedy[0]) == (text.level is not Level.OK)


def test_values_from_outside_stay_on_one_short_line() -> None:
    finding = found(texts_auth.SPF_SYNTAX, "b.example", domain="x", problem="a\r\nb\x1b[31m" + "y" * 5000)
    what, _ = finding.words("en")
    assert "\n" not in what
    assert "\x1b" not in what
    assert len(what) < 800
