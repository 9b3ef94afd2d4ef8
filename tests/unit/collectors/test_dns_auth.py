"""SPF, DKIM and DMARC checks: each fault is named with its remedy, and none is invented on a clean zone."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from collectors.dns.checks import DkimWanted, Level, check_dkim, check_dmarc, check_spf
from collectors.dns.dmarc import organisational_domain, tree_walk, walk_names
from tests.unit.collectors.watch_zone import Zone

IP = "192.0.2.10"


def many_includes(count: int) -> str:
    includes = " ".join(f"include:i{n}.example" for n in range(count))
    below = "\n".join(f"i{n}.example TXT v=spf1 ip4:198.51.100.{n} -all" for n in range(count))
    return f"b.example TXT v=spf1 ip4:{IP} {includes} -all\n{below}"


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (f"b.example TXT v=spf1 ip4:{IP} -all", ["spf.ok"]),
        ("b.example TXT v=spf1 ip4:192.0.2.0/24 ~all", ["spf.ok"]),
        (f"b.example TXT v=spf1 a -all\nb.example A {IP}", ["spf.ok"]),
        (f"b.example TXT v=spf1 a:out.example/28 -all\nout.example A 192.0.2.15\nx A {IP}", ["spf.ok"]),
        (f"b.example TXT v=spf1 mx -all\nb.example MX 10 m.example\nm.example A {IP}", ["spf.ok"]),
        (f"b.example TXT v=spf1 redirect=r.example\nr.example TXT v=spf1 ip4:{IP} -all", ["spf.ok"]),
        (f"b.example TXT v=spf1 include:r.example -all\nr.example TXT v=spf1 ip4:{IP} -all", ["spf.ok"]),
        (f"b.example TXT V=SPF1 IP4:{IP} -ALL", ["spf.ok"]),
        (many_includes(7), ["spf.ok"]),
        ("", ["spf.missing"]),
        ("b.example TXT google-site-verification=x", ["spf.missing"]),
        ("b.example TXT v=spf10 -all", ["spf.missing"]),
        (f"b.example TXT v=spf1 ip4:{IP} -all\nb.example TXT v=spf1 mx -all", ["spf.several"]),
        ("b.example TXT v=spf1 -all", ["spf.not_covered"]),
        ("b.example TXT v=spf1 ip4:198.51.100.1 ~all", ["spf.not_covered"]),
        (
            f"b.example TXT v=spf1 include:r.example -all\nr.example TXT v=spf1 -ip4:{IP} +all",
            ["spf.strangers", "spf.not_covered"],
        ),
        (f"b.example TXT v=spf1 ip4:{IP} +all", ["spf.pass_all"]),
        ("b.example TXT v=spf1 all", ["spf.pass_all"]),
        (f"b.example TXT v=spf1 ip4:{IP}", ["spf.no_all"]),
        (f"b.example TXT v=spf1 ip4:{IP} -all ip4:198.51.100.1", ["spf.after_all"]),
        (f"b.example TXT v=spf1 ip4:{IP} ptr -all", ["spf.ptr"]),
        ("b.example TXT v=spf1 ip:192.0.2.10 -all", ["spf.syntax"]),
        ("b.example TXT v=spf1 ip4:192.0.2.300 -all", ["spf.syntax"]),
        ("b.example TXT v=spf1 ip4:2001:db8::1 -all", ["spf.syntax"]),
        (f"b.example TXT v=spf1 ip4:{IP} include=r.example -all", ["spf.equals"]),
        ("b.example TXT v=spf1 include: -all", ["spf.syntax"]),
        ("b.example TXT v=spf1 a/xx -all", ["spf.syntax"]),
        (f"b.example TXT v=spf1 ip4:{IP} include:gone.example -all", ["spf.include"]),
        ("b.example TXT v=spf1 redirect=gone.example", ["spf.include"]),
        ("b.example TXT v=spf1 include:r.example -all\nr.example TXT v=spf1 include:b.example -all", ["spf.loop"]),
        (many_includes(10), ["spf.near_limit", "spf.flat"]),
        (many_includes(11), ["spf.lookups", "spf.flat"]),
        (many_includes(70), ["spf.lookups"]),
        (f"b.example TXT v=spf1 ip4:{IP} a:n1.example a:n2.example -all", ["spf.void"]),
        (f"b.example TXT v=spf1 ip4:{IP} a:n1.example mx:n2.example exists:n3.example -all", ["spf.voids"]),
        (f"b.example TXT v=spf1 ip4:{IP} exists:%{{i}}.x.example -all", ["spf.ok"]),
        ("b.example FAIL", ["dns.failed"]),
    ],
)
async def test_spf(zone: str, expected: list[str]) -> None:
    findings = await check_spf(Zone(zone), "b.example", [IP])
    assert [f.text.id for f in findings] == expected
    assert all(f.remedy for f in findings if f.level is not Level.OK)


async def test_spf_names_the_record_to_publish_and_the_address_that_is_left_out() -> None:
    missing = (await check_spf(Zone(""), "b.example", [IP, "2001:db8::1"]))[0]
    assert 'b.example TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8::1 -all"' in missing.remedy
    zone = Zone(f"b.example TXT v=spf1 ip4:{IP} -all")
    left_out = await check_spf(zone, "b.example", [IP, "2001:db8::1"])
    assert [(f.text.id, "ip6:2001:db8::1" in f.remedy) for f in left_out] == [("spf.not_covered", True)]
    assert [f.text.id for f in await check_spf(zone, "b.example", [])] == ["spf.untested"]


# --- DKIM ----------------------------------------------------------------------------------------
def public(bits: int) -> str:
    key = rsa.generate_private_key(65537, bits).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


KEY, OTHER, SHORT = public(2048), public(2048), public(1024)
ED = base64.b64encode(bytes(range(32))).decode()
NAME = "s1._domainkey.news.example"


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ([f"v=DKIM1; k=rsa; p={KEY}"], ["dkim.ok"]),
        ([f"p={KEY}"], ["dkim.ok"]),
        ([f"v=DKIM1; h=sha1:sha256; s=email; t=s; p={KEY[:100]} {KEY[100:]}"], ["dkim.ok"]),
        ([], ["dkim.missing"]),
        ([f"v=DKIM1; k=rsa; p={OTHER}"], ["dkim.mismatch"]),
        ([f"v=DKIM1; k=rsa; p={KEY}", "v=spf1 -all"], ["dkim.several"]),
        ([f"v=DKIM1; k=rsa; p={OTHER}", f"v=DKIM1; k=rsa; p={KEY}"], ["dkim.several"]),
        (["v=DKIM1; k=rsa; p="], ["dkim.revoked"]),
        (["v=DKIM1; k=rsa"], ["dkim.syntax"]),
        ([f"v=DKIM2; p={KEY}"], ["dkim.syntax"]),
        (["v=DKIM1; p=abc$"], ["dkim.syntax"]),
        ([f'"v=DKIM1; k=rsa; p={KEY}'], ["dkim.syntax"]),
        ([f"v=DKIM1; k=rsa; k=rsa; p={KEY}"], ["dkim.syntax"]),
        ([f"v=DKIM1; k=ed25519; p={ED}"], ["dkim.key_type"]),
        ([f"v=DKIM1; t=y:s; p={KEY}"], ["dkim.testing"]),
        ([f"v=DKIM1; h=sha1; p={KEY}"], ["dkim.hash"]),
        ([f"v=DKIM1; s=tlsrpt; p={KEY}"], ["dkim.service"]),
    ],
)
async def test_dkim(published: list[str], expected: list[str]) -> None:
    zone = Zone("\n".join(f"{NAME} TXT {text}" for text in published))
    wanted = DkimWanted(domain="news.example", selector="s1", record=f"v=DKIM1; k=rsa; p={KEY}")
    findings = await check_dkim(zone, wanted)
    assert [f.text.id for f in findings] == expected
    assert all(f.remedy for f in findings if f.level is not Level.OK)
    if expected == ["dkim.missing"]:
        record = findings[0].remedy.partition(f"{NAME} TXT ")[2]
        strings = re.findall(r'"([^"]*)"', record)
        assert "".join(strings) == f"v=DKIM1; k=rsa; p={KEY}"
        assert all(len(one) <= 255 for one in strings), "a zone file takes no longer string"


async def test_dkim_key_sizes_and_kinds() -> None:
    for record, expected in (
        (f"v=DKIM1; k=rsa; p={SHORT}", ["dkim.short"]),
        (f"v=DKIM1; k=ed25519; p={ED}", ["dkim.ok"]),
    ):
        wanted = DkimWanted(domain="news.example", selector="s1", record=record)
        assert [f.text.id for f in await check_dkim(Zone(f"{NAME} TXT {record}"), wanted)] == expected


async def test_dkim_wildcards_and_dead_servers_are_no_keys() -> None:
    wanted = DkimWanted(domain="news.example", selector="s1", record=f"v=DKIM1; k=rsa; p={KEY}")
    wild = Zone(f"*._domainkey.news.example TXT v=DKIM1; p={KEY}")
    assert [f.text.id for f in await check_dkim(wild, wanted)] == ["dkim.wildcard"]
    assert [f.text.id for f in await check_dkim(Zone(f"{NAME} FAIL"), wanted)] == ["dns.failed"]


# --- DMARC ---------------------------------------------------------------------------------------
ESP = "esp.example MX 10 mx.esp.example"
RUA = "rua=mailto:dmarc@b.news.example"


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (f"_dmarc.news.example TXT v=DMARC1; p=reject; {RUA}", ["dmarc.ok"]),
        (f"_dmarc.news.example TXT v=DMARC1; p=reject; rua=mailto:x@news.example, {RUA[4:]}!10m", ["dmarc.ok"]),
        ("", ["dmarc.missing"]),
        ("_dmarc.news.example TXT v=DMARC; p=none", ["dmarc.unread"]),
        ("_dmarc.news.example TXT v=DMARC1; p=none\n_dmarc.news.example TXT v=DMARC1; p=none", ["dmarc.several"]),
        (f"_dmarc.news.example TXT v=DMARC1; p=none; {RUA}", ["dmarc.none"]),
        (f"_dmarc.news.example TXT v=DMARC1; {RUA}", ["dmarc.none"]),
        ("_dmarc.news.example TXT v=DMARC1; p=block", ["dmarc.syntax"]),
        ("_dmarc.news.example TXT v=DMARC1", ["dmarc.syntax"]),
        ("_dmarc.news.example TXT v=DMARC1; p=reject; p=none", ["dmarc.syntax"]),
        ("_dmarc.news.example TXT v=DMARC1; p=reject; sp=all", ["dmarc.syntax"]),
        ("_dmarc.news.example TXT v=DMARC1; p=reject, rua=mailto:a@b.example", ["dmarc.syntax"]),
        ("_dmarc.news.example TXT v=DMARC1; p=reject", ["dmarc.no_reports"]),
        ("_dmarc.news.example TXT v=DMARC1; p=reject; rua=dmarc@b.news.example", ["dmarc.uri"]),
        ("_dmarc.news.example TXT v=DMARC1; p=reject; rua=mailto:x@news.example", ["dmarc.not_to_us"]),
        (f"_dmarc.news.example TXT v=DMARC1; p=reject; {RUA},mailto:x@esp.example\n{ESP}", ["dmarc.unauthorised"]),
        (
            f"_dmarc.news.example TXT v=DMARC1; p=reject; {RUA},mailto:x@esp.example\n{ESP}\n"
            "news.example._report._dmarc.esp.example TXT v=DMARC1",
            ["dmarc.ok"],
        ),
        (f"_dmarc.news.example TXT v=DMARC1; p=reject; t=y; {RUA}", ["dmarc.testing"]),
        (f"_dmarc.news.example TXT v=DMARC1; p=reject; pct=50; ri=1; {RUA}", ["dmarc.old_tags"]),
        (f"_dmarc.news.example TXT v=DMARC1; p=reject; aspf=s; {RUA}", ["dmarc.spf_unaligned"]),
        ("_dmarc.news.example FAIL", ["dns.failed"]),
    ],
)
async def test_dmarc(zone: str, expected: list[str]) -> None:
    findings = await check_dmarc(Zone(zone), "news.example", "b.news.example", "dmarc@b.news.example")
    assert [f.text.id for f in findings] == expected
    assert all(f.remedy for f in findings if f.level is not Level.OK)


async def test_a_return_path_outside_the_domain_cannot_align() -> None:
    zone = Zone(f"_dmarc.news.example TXT v=DMARC1; p=reject; {RUA}\nb.news.example MX 10 mx.news.example")
    findings = await check_dmarc(zone, "news.example", "b.other.example", "dmarc@b.news.example")
    assert [f.text.id for f in findings] == ["dmarc.spf_unaligned"]


async def test_a_subdomain_takes_the_policy_for_subdomains_from_above() -> None:
    zone = Zone(
        "_dmarc.shop.example TXT v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@shop.example\nshop.example MX 10 mx"
    )
    findings = await check_dmarc(zone, "news.shop.example", "b.news.shop.example", "d@shop.example")
    assert [(f.text.id, f.what) for f in findings] == [
        ("dmarc.ok", "DMARC policy is quarantine, from _dmarc.shop.example")
    ]


def test_a_walk_asks_at_most_eight_names_and_leaves_out_the_middle_of_long_ones() -> None:
    assert walk_names("a.b.example") == ["a.b.example", "b.example", "example"]
    names = walk_names("a.b.c.d.e.f.g.h.i.j.mail.example")
    assert names[0] == "a.b.c.d.e.f.g.h.i.j.mail.example"
    assert len(names) == 8
    assert len(names[1].split(".")) == 7
    assert names[-1] == "example"


@pytest.mark.parametrize(
    ("zone", "organisation"),
    [
        ("_dmarc.example TXT v=DMARC1; p=none; psd=y", "shop.example"),
        ("_dmarc.shop.example TXT v=DMARC1; p=none; psd=n\n_dmarc.example TXT v=DMARC1; p=none", "shop.example"),
        ("_dmarc.a.shop.example TXT v=DMARC1; p=none\n_dmarc.shop.example TXT v=DMARC1; p=none", "shop.example"),
        ("", "a.shop.example"),
    ],
)
async def test_the_organisational_domain_is_where_the_walk_says(zone: str, organisation: str) -> None:
    steps = await tree_walk(Zone(zone), "a.shop.example")
    assert organisational_domain("a.shop.example", steps) == organisation
