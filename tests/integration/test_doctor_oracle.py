"""Our checks of SPF, DMARC, MX, MTA-STS and TLS reporting beside checkdmarc, over one real name server.

Both are asked whether a receiver can use the record at all.  Where they differ, `EXPLAINED` says why; an explanation
that is not needed any more fails too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import checkdmarc.dmarc
import checkdmarc.mta_sts
import checkdmarc.smtp
import checkdmarc.smtp_tls_reporting
import checkdmarc.spf
import dns.resolver
import pytest

from collectors.dns.checks import Finding, check_dmarc, check_mta_sts, check_mx, check_spf, check_tls_reporting
from config.model import Dns
from core.clock import SystemClock
from service.resolver import DnsResolver
from tests.daemons.knot import Knot, txt

PORT = 5399
IP = "192.0.2.10"
UNUSABLE = {
    "spf.missing", "spf.unread", "spf.several", "spf.syntax", "spf.lookups", "spf.voids", "spf.loop", "spf.include",
    "dmarc.missing", "dmarc.unread", "dmarc.misplaced", "dmarc.several", "dmarc.syntax",
    "mx.missing", "mx.no_address", "mx.is_address",
    "mta_sts.missing", "mta_sts.bad", "tls_rpt.missing", "tls_rpt.bad",
}  # fmt: skip
BELOW = """\
good.test. TXT "v=spf1 ip4:198.51.100.0/24 -all"
deep.test. TXT "v=spf1 include:good.test include:good.test include:good.test include:good.test -all"
host.test. A 192.0.2.20
host.test. MX 10 mx.test.
mx.test. A 192.0.2.21
plain.test. TXT "no spf here"
loop.test. TXT "v=spf1 include:loop.test -all"
"""
SPF = {
    "plain": f"v=spf1 ip4:{IP} -all",
    "soft": "v=spf1 a:host.test mx:host.test ~all",
    "include": "v=spf1 include:good.test -all",
    "redirect": "v=spf1 redirect=good.test",
    "prefix": "v=spf1 a:host.test/24 mx:host.test/24//64 ip6:2001:db8::/32 -all",
    "exp": "v=spf1 ip4:192.0.2.1 exp=why.test -all",
    "word": "v=spf1 ipv4:192.0.2.1 -all",
    "octet": "v=spf1 ip4:192.0.2.256 -all",
    "family": "v=spf1 ip6:192.0.2.1 -all",
    "equals": "v=spf1 include=good.test -all",
    "nothing": "v=spf1 include: -all",
    "missing": "v=spf1 include:plain.test -all",
    "gone": "v=spf1 redirect=plain.test",
    "loop": "v=spf1 include:loop.test -all",
    "many": "v=spf1 include:deep.test include:deep.test include:deep.test -all",
    "ten": "v=spf1 include:deep.test include:deep.test -all",
    "voids": "v=spf1 a:n1.test a:n2.test a:n3.test -all",
    "void": "v=spf1 a:n1.test -all",
    "comma": f"v=spf1 ip4:{IP},ip4:192.0.2.11 -all",
    "none": "google-site-verification=abc",
}
DMARC = {
    "reject": "v=DMARC1; p=reject",
    "none": "v=DMARC1; p=none; rua=mailto:d@host.test",
    "spaces": "v = DMARC1 ; p = quarantine ; pct=50",
    "subdomain": "v=DMARC1; p=reject; sp=none; np=reject",
    "strict": "v=DMARC1; p=reject; adkim=s; aspf=s; fo=1:d:s",
    "block": "v=DMARC1; p=block",
    "bare": "v=DMARC1",
    "comma": "v=DMARC1; p=reject, rua=mailto:a@host.test",
    "semicolon": "v=DMARC1 p=reject",
    "small": "v=dmarc1; p=reject",
    "order": "p=reject; v=DMARC1",
    "bad sp": "v=DMARC1; p=reject; sp=all",
    "mode": "v=DMARC1; p=reject; adkim=x",
    "fo": "v=DMARC1; p=reject; fo=7",
    "typo": "v=DMARC1; p=reject; ruaa=mailto:a@host.test",
    "uri": "v=DMARC1; p=reject; rua=a@host.test",
    "rua only": "v=DMARC1; rua=mailto:a@host.test",
    "empty sp": "v=DMARC1; p=reject; sp=",
}
STS = {
    "good": "v=STSv1; id=20261128T1",
    "no id": "v=STSv1;",
    "long": f"v=STSv1; id={'a' * 33}",
    "dash": "v=STSv1; id=2026-11-28",
}
TLSRPT = {
    "mail": "v=TLSRPTv1; rua=mailto:t@host.test",
    "web": "v=TLSRPTv1; rua=https://t.test/r",
    "no rua": "v=TLSRPTv1",
    "bare": "v=TLSRPTv1; rua=t@host.test",
}
EXPLAINED = {
    "dmarc-bare.test": "RFC 9989 section 4.10.1: without p and rua no policy applies; checkdmarc calls it valid",
    "dmarc-empty-sp.test": "a receiver passes over one tag that it cannot read; checkdmarc refuses the record",
    "dmarc-fo.test": "an unknown value is ignored, and told as dmarc.value; checkdmarc refuses the record",
    "dmarc-uri.test": "the policy applies, and no report arrives (dmarc.uri); checkdmarc refuses the record",
    "sts-dash.test": "RFC 8461 section 3.1: id is 1 to 32 letters and digits; checkdmarc does not look",
    "sts-long.test": "the same",
    "sts-no-id.test": "the same section demands an id; checkdmarc does not",
}


def made(count: int) -> Iterator[tuple[str, str]]:
    """SPF records from a fixed seed, right and wrong terms mixed."""
    source = random.Random(7208)
    terms = [
        f"ip4:{IP}", "ip4:198.51.100.0/24", "ip6:2001:db8::1", "a:host.test", "mx:host.test", "include:good.test",
        "include:deep.test", "a:gone1.test", "exists:host.test", "include:plain.test", "ip4:300.1.1.1", "foo:bar",
    ]  # fmt: skip
    weights = [8, 8, 4, 6, 6, 8, 3, 2, 2, 1, 1, 1]
    for number in range(count):
        chosen = source.choices(terms, weights, k=source.randint(1, 6))
        yield f"made{number}", " ".join(["v=spf1", *dict.fromkeys(chosen), source.choice(["-all", "~all", "?all"])])


SPF |= dict(made(60))


def label(kind: str, name: str) -> str:
    return f"{kind}-{name.replace(' ', '-')}.test"


@pytest.fixture(scope="module")
def resolvers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DnsResolver, dns.resolver.Resolver]]:
    records = [BELOW]
    records += [f"{label('spf', name)}. TXT {txt(text)}" for name, text in SPF.items()]
    records += [f"_dmarc.{label('dmarc', name)}. TXT {txt(text)}" for name, text in DMARC.items()]
    records += [f"{label('dmarc', name)}. MX 10 mx.test." for name in DMARC]
    records += [f"_mta-sts.{label('sts', name)}. TXT {txt(text)}" for name, text in STS.items()]
    records += [f"_smtp._tls.{label('tls', name)}. TXT {txt(text)}" for name, text in TLSRPT.items()]
    records += ["mx-good.test. MX 10 mx.test.", "mx-gone.test. MX 10 gone.test.", "mx-none.test. TXT x"]
    knot = Knot(tmp_path_factory.mktemp("knot") / "k", "\n".join(records) + "\n", port=PORT)
    theirs = dns.resolver.Resolver(configure=False)
    theirs.nameservers, theirs.port, theirs.lifetime = ["127.0.0.1"], PORT, 5.0
    try:
        yield DnsResolver(Dns(nameservers=["127.0.0.1"], port=PORT), SystemClock()), theirs
    finally:
        knot.stop()


def usable(findings: list[Finding]) -> bool:
    return not UNUSABLE & {finding.text.id for finding in findings}


async def test_both_call_the_same_records_usable(resolvers: tuple[DnsResolver, dns.resolver.Resolver]) -> None:
    ours, theirs = resolvers
    verdicts: dict[str, tuple[bool, bool, str]] = {}
    for name in SPF:
        domain = label("spf", name)
        told = checkdmarc.spf.check_spf(domain, resolver=theirs)
        verdicts[domain] = (
            usable(await check_spf(ours, domain, [IP])),
            bool(told["valid"]),
            str(told.get("error", "")),
        )
    for name in DMARC:
        domain = label("dmarc", name)
        told = dict(checkdmarc.dmarc.check_dmarc(domain, resolver=theirs))
        verdicts[domain] = (usable(await check_dmarc(ours, domain)), bool(told["valid"]), str(told.get("error", "")))
    for name in STS:
        domain = label("sts", name)
        try:
            checkdmarc.mta_sts.query_mta_sts_record(domain, resolver=theirs)
            problem = ""
        except checkdmarc.mta_sts.MTASTSError as error:
            problem = str(error)
        verdicts[domain] = (usable(await check_mta_sts(ours, domain)), not problem, problem)
    for name in TLSRPT:
        domain = label("tls", name)
        told = dict(checkdmarc.smtp_tls_reporting.check_smtp_tls_reporting(domain, resolver=theirs))
        verdicts[domain] = (
            usable(await check_tls_reporting(ours, domain, "a@b.test")),
            bool(told["valid"]),
            str(told.get("error", "")),
        )
    for domain in ("mx-good.test", "mx-gone.test", "mx-none.test"):
        hosts = checkdmarc.smtp.check_mx(domain, resolver=theirs)["hosts"]
        valid = bool(hosts) and all(host["addresses"] for host in hosts)
        verdicts[domain] = (usable(await check_mx(ours, domain, "mx.test")), valid, "")
    differing = {domain: told for domain, told in verdicts.items() if told[0] != told[1]}
    unexplained = [f"{d}: {differing.get(d, 'alike')}" for d in sorted(differing.keys() ^ EXPLAINED.keys())]
    assert not unexplained, "\n".join(unexplained)
    assert sum(told[0] for told in verdicts.values()) >= 40
    assert sum(not told[0] for told in verdicts.values()) >= 25
