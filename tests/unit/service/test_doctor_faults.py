"""Known faults, each put into a right installation alone: doctor finds it, tells a remedy, and invents nothing else.

A fault is a change of the zone: lines that begin with `-` take away the records whose text contains the rest, others
are added.  `{r}` is our DKIM record, `{ip}` our address.  Faults of files, settings and of our own pages have tests of
their own (test_doctor, test_doctor_probes).
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from collectors.dns.checks import Level
from config.model import Source
from service.doctor import examine
from tests.unit.collectors.watch_zone import Zone
from tests.unit.service.installation import IP, Installation, open_port

SPF = "b.news.example TXT v=spf1"
NO_SPF = "-TXT v=spf1"
DMARC = "_dmarc.news.example TXT"
RUA = "rua=mailto:dmarc@b.news.example"
NO_DMARC = "-_dmarc.news.example"
DKIM = "p1._domainkey.news.example TXT"
NO_DKIM = "-p1._domainkey"
MANY = " ".join(f"include:i{n}.example" for n in range(11))
MANY_BELOW = "\n".join(f"i{n}.example TXT v=spf1 ip4:198.51.100.{n} -all" for n in range(11))
LONG = " ".join(f"ip4:198.51.100.{n}" for n in range(30))


def rsa_record(bits: int) -> str:
    key = rsa.generate_private_key(65537, bits).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


BIMI = "default._bimi.news.example TXT v=BIMI1;"
LOGO = "l=https://news.example/logo.svg;"
MARK = "a=https://news.example/mark.pem"
FAULTS: dict[str, tuple[str, set[str]]] = {
    # --- BIMI
    "two BIMI records": (f"{BIMI} {LOGO} {MARK}\n{BIMI} {LOGO}", {"bimi.several"}),
    "BIMI without a logo": (f"{BIMI} {MARK}", {"bimi.no_logo"}),
    "BIMI logo over http": (f"{BIMI} l=http://news.example/logo.svg; {MARK}", {"bimi.address"}),
    "BIMI logo as PNG": (f"{BIMI} l=https://news.example/logo.png; {MARK}", {"bimi.not_svg"}),
    "BIMI certificate over http": (f"{BIMI} {LOGO} a=http://news.example/mark.pem", {"bimi.address"}),
    "BIMI without a certificate": (f"{BIMI} {LOGO}", {"bimi.no_mark"}),
    "BIMI tag twice": (f"{BIMI} {LOGO} {LOGO}", {"bimi.syntax"}),
    "BIMI version behind": (f"default._bimi.news.example TXT {LOGO} v=BIMI1", {"bimi.syntax"}),
    "BIMI under p=none": (
        f"{BIMI} {LOGO} {MARK}\n{NO_DMARC}\n{DMARC} v=DMARC1; p=none; {RUA}",
        {"bimi.policy", "dmarc.none"},
    ),
    # --- SPF
    "no SPF": (NO_SPF, {"spf.missing"}),
    "SPF for another service only": (f"{NO_SPF}\nb.news.example TXT google-site-verification=1", {"spf.missing"}),
    "two SPF records": (f"{SPF} mx -all", {"spf.several"}),
    "no space after the version": (f"{NO_SPF}\nb.news.example TXT v=spf1;ip4:{IP} -all", {"spf.unread"}),
    "version left out": (f"{NO_SPF}\nb.news.example TXT spf1 ip4:{IP} -all", {"spf.unread"}),
    "quotes inside": (f'{NO_SPF}\nb.news.example TXT "v=spf1 ip4:{IP} -all', {"spf.unread"}),
    "Sender ID": (f"{NO_SPF}\nb.news.example TXT spf2.0/pra ip4:{IP} -all", {"spf.unread"}),
    "misspelt term": (f"{NO_SPF}\n{SPF} ipv4:{IP} -all", {"spf.syntax"}),
    "address that is none": (f"{NO_SPF}\n{SPF} ip4:192.0.2.256 -all", {"spf.syntax"}),
    "IPv6 in ip4": (f"{NO_SPF}\n{SPF} ip4:2001:db8::1 -all", {"spf.syntax"}),
    "include with equals sign": (f"{NO_SPF}\n{SPF} ip4:{IP} include=x.example -all", {"spf.equals"}),
    "bad prefix length": (f"{NO_SPF}\n{SPF} a/abc -all", {"spf.syntax"}),
    "eleven look-ups": (f"{NO_SPF}\n{SPF} ip4:{IP} {MANY} -all\n{MANY_BELOW}", {"spf.lookups", "spf.flat"}),
    "nine look-ups": (
        f"{NO_SPF}\n{SPF} ip4:{IP} {' '.join(MANY.split()[:9])} -all\n{MANY_BELOW}",
        {"spf.near_limit", "spf.flat"},
    ),
    "three terms that lead nowhere": (
        f"{NO_SPF}\n{SPF} ip4:{IP} a:x1.example a:x2.example mx:x3.example -all",
        {"spf.voids"},
    ),
    "one term that leads nowhere": (f"{NO_SPF}\n{SPF} ip4:{IP} a:x1.example -all", {"spf.void"}),
    "include of a domain without SPF": (f"{NO_SPF}\n{SPF} ip4:{IP} include:x.example -all", {"spf.include"}),
    "redirect to nothing": (f"{NO_SPF}\n{SPF} redirect=x.example", {"spf.include"}),
    "SPF that includes itself": (f"{NO_SPF}\n{SPF} include:b.news.example -all", {"spf.loop"}),
    "our address left out": (f"{NO_SPF}\n{SPF} ip4:198.51.100.1 -all", {"spf.not_covered"}),
    "our address is softfail": (f"{NO_SPF}\n{SPF} ip4:198.51.100.1 ~all", {"spf.not_covered"}),
    "everybody passes": (f"{NO_SPF}\n{SPF} ip4:{IP} +all", {"spf.pass_all"}),
    "everybody passes through an include": (
        f"{NO_SPF}\n{SPF} include:open.example -all\nopen.example TXT v=spf1 ip4:{IP} all",
        {"spf.strangers"},
    ),
    "everybody passes through a network": (f"{NO_SPF}\n{SPF} ip4:0.0.0.0/0 -all", {"spf.strangers"}),
    "a network that is too wide": (f"{NO_SPF}\n{SPF} ip4:192.0.0.0/8 -all", {"spf.wide"}),
    "no ending": (f"{NO_SPF}\n{SPF} ip4:{IP}", {"spf.no_all"}),
    "an ending that decides nothing": (f"{NO_SPF}\n{SPF} ip4:{IP} ?all", {"spf.no_all"}),
    "a macro that does not exist": (f"{NO_SPF}\n{SPF} ip4:{IP} exists:%{{z}}.x.example -all", {"spf.syntax"}),
    "a macro left open": (f"{NO_SPF}\n{SPF} ip4:{IP} redirect=%{{d.x.example", {"spf.syntax"}),
    "a macro that lists somebody else": (
        f"{NO_SPF}\n{SPF} exists:%{{i}}.s.example -all\n198.51.100.9.s.example A 127.0.0.2",
        {"spf.not_covered"},
    ),
    "terms behind all": (f"{NO_SPF}\n{SPF} ip4:{IP} -all ip4:198.51.100.9", {"spf.after_all"}),
    "redirect beside all": (f"{NO_SPF}\n{SPF} ip4:{IP} redirect=x.example -all", {"spf.redirect"}),
    "ptr term": (f"{NO_SPF}\n{SPF} ip4:{IP} ptr -all", {"spf.ptr"}),
    "a record too long for UDP": (f"{NO_SPF}\n{SPF} ip4:{IP} {LONG} -all", {"spf.long"}),
    "SPF name servers dead": ("b.news.example FAIL", {"dns.failed"}),
    # --- DKIM
    "no key published": (NO_DKIM, {"dkim.missing"}),
    "the domain twice in the key's name": (
        f"{NO_DKIM}\np1._domainkey.news.example.news.example TXT {{r}}",
        {"dkim.doubled"},
    ),
    "the key's name is an alias of nothing": (
        f"{NO_DKIM}\np1._domainkey.news.example CNAME p1.esp.example",
        {"dkim.alias_empty"},
    ),
    "two records at the selector": (f"{DKIM} v=DKIM1; k=ed25519; p={'A' * 43}=", {"dkim.several"}),
    "another key": (f"{NO_DKIM}\n{DKIM} v=DKIM1; k=ed25519; p={'A' * 43}=", {"dkim.mismatch"}),
    "revoked key": (f"{NO_DKIM}\n{DKIM} v=DKIM1; k=ed25519; p=", {"dkim.revoked"}),
    "broken base64": (f"{NO_DKIM}\n{DKIM} v=DKIM1; k=ed25519; p=abc$", {"dkim.syntax"}),
    "quotes in the key": (f'{NO_DKIM}\n{DKIM} v=DKIM1; k=ed25519; p=AAAA" "BBBB', {"dkim.syntax"}),
    "no p at all": (f"{NO_DKIM}\n{DKIM} v=DKIM1; k=ed25519", {"dkim.syntax"}),
    "wrong version": (f"{NO_DKIM}\n{DKIM} v=DKIM2; k=ed25519; p={'A' * 43}=", {"dkim.syntax"}),
    "key of the other kind": (f"{NO_DKIM}\n{DKIM} v=DKIM1; k=rsa; p={rsa_record(2048)}", {"dkim.key_type"}),
    "key marked as a test": (f"{NO_DKIM}\n{DKIM} {{r}}; t=y", {"dkim.testing"}),
    "only sha1 allowed": (f"{NO_DKIM}\n{DKIM} {{r}}; h=sha1", {"dkim.hash"}),
    "key not for mail": (f"{NO_DKIM}\n{DKIM} {{r}}; s=tlsrpt", {"dkim.service"}),
    "wildcard under _domainkey": ("*._domainkey.news.example TXT v=spf1 -all", {"dkim.wildcard"}),
    # --- DMARC
    "no DMARC": (NO_DMARC, {"dmarc.missing"}),
    "DMARC at the domain itself": (f"{NO_DMARC}\nnews.example TXT v=DMARC1; p=reject; {RUA}", {"dmarc.misplaced"}),
    "two DMARC records": (f"{DMARC} v=DMARC1; p=none; {RUA}", {"dmarc.several"}),
    "no semicolon after the version": (f"{NO_DMARC}\n{DMARC} v=DMARC1 p=reject; {RUA}", {"dmarc.unread"}),
    "version in small letters": (f"{NO_DMARC}\n{DMARC} v=dmarc1; p=reject; {RUA}", {"dmarc.unread"}),
    "policy before the version": (f"{NO_DMARC}\n{DMARC} p=reject; v=DMARC1; {RUA}", {"dmarc.unread"}),
    "policy that does not exist": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=block", {"dmarc.syntax"}),
    "comma for semicolon": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject, {RUA}", {"dmarc.syntax"}),
    "policy twice": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=none; p=reject; {RUA}", {"dmarc.syntax"}),
    "policy none": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=none; {RUA}", {"dmarc.none"}),
    "policy being tested": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; t=y; {RUA}", {"dmarc.testing"}),
    "tags of the old RFC": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; pct=50; {RUA}", {"dmarc.old_tags"}),
    "misspelt tag": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; fro=1; {RUA}", {"dmarc.tag"}),
    "alignment mode that does not exist": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; adkim=x; {RUA}", {"dmarc.value"}),
    "failure option that does not exist": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; fo=2; {RUA}", {"dmarc.value"}),
    "subdomains weaker": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; sp=none; {RUA}", {"dmarc.weaker_below"}),
    "missing subdomains weaker": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; np=none; {RUA}", {"dmarc.weaker_below"}),
    "receivers disagree on the organisation": (
        f"{NO_DMARC}\n_dmarc.example TXT v=DMARC1; p=none; sp=reject; {RUA}\nexample MX 10 mta.news.example",
        {"dmarc.suffix"},
    ),
    "declared a public suffix": (
        f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; psd=y; {RUA}",
        {"dmarc.psd", "dmarc.spf_unaligned"},
    ),
    "nobody receives reports": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject", {"dmarc.no_reports"}),
    "reports without mailto": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; rua=dmarc@b.news.example", {"dmarc.uri"}),
    "reports to somebody else": (
        f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; rua=mailto:x@news.example",
        {"dmarc.not_to_us"},
    ),
    "reports to a domain that did not agree": (
        f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; {RUA},mailto:d@esp.example\nesp.example MX 10 mx.esp.example",
        {"dmarc.unauthorised"},
    ),
    "failure reports to a domain that did not agree": (
        f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; {RUA}; ruf=mailto:d@esp.example\nesp.example MX 10 mx.esp.example",
        {"dmarc.unauthorised"},
    ),
    "reports to a domain without mail": (
        f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; {RUA},mailto:d@esp.example",
        {"dmarc.target"},
    ),
    "strict SPF alignment": (f"{NO_DMARC}\n{DMARC} v=DMARC1; p=reject; aspf=s; {RUA}", {"dmarc.spf_unaligned"}),
    # --- who takes our mail
    "no MX for the return path": ("-b.news.example MX", {"mx.missing"}),
    "null MX for the return path": ("-b.news.example MX\nb.news.example MX 0 .", {"mx.null"}),
    "an address in place of an MX": (f"-b.news.example MX\nb.news.example A {IP}", {"mx.implicit"}),
    "MX is an address": (f"-b.news.example MX\nb.news.example MX 10 {IP}", {"mx.is_address"}),
    "MX without address": ("b.news.example MX 20 gone.news.example", {"mx.no_address"}),
    "MX with a private address": ("b.news.example MX 20 in.news.example\nin.news.example A 10.0.0.5", {"mx.private"}),
    "MX is an alias": (
        "b.news.example MX 20 alias.news.example\nalias.news.example CNAME mta.news.example",
        {"mx.alias"},
    ),
    "From domain without MX": (
        "-news.example MX 10 mta.news.example\nb.news.example MX 10 mta.news.example",
        {"from.no_mx"},
    ),
    "unusable TLSA": (f"mta.news.example TLSA 1 1 1 {'00' * 32}", {"dane.unusable"}),
    "no MTA-STS": ("-_mta-sts.b", {"mta_sts.missing"}),
    "two MTA-STS records": ("_mta-sts.b.news.example TXT v=STSv1; id=2", {"mta_sts.bad"}),
    "MTA-STS without id": ("-_mta-sts.b\n_mta-sts.b.news.example TXT v=STSv1;", {"mta_sts.bad"}),
    "no TLS reporting": ("-_smtp._tls.b", {"tls_rpt.missing"}),
    "TLS reports without scheme": (
        "-_smtp._tls.b\n_smtp._tls.b.news.example TXT v=TLSRPTv1; rua=tls@news.example",
        {"tls_rpt.bad"},
    ),
    "TLS reports to a domain without mail": (
        "-_smtp._tls.b\n_smtp._tls.b.news.example TXT v=TLSRPTv1; rua=https://x.example/r,mailto:tls@gone.example",
        {"tls_rpt.target"},
    ),
    # --- our addresses
    "no PTR": ("-PTR", {"ptr.missing"}),
    "PTR to a name that leads elsewhere": (
        f"-PTR\n{IP} PTR host.other.example\nhost.other.example A 198.51.100.1",
        {"ptr.unconfirmed"},
    ),
    "PTR to a missing name": (f"-PTR\n{IP} PTR gone.example", {"ptr.unconfirmed"}),
    "PTR like a customer's line": (
        f"-PTR\n{IP} PTR 192-0-2-10.dyn.isp.example\n192-0-2-10.dyn.isp.example A {IP}",
        {"ptr.generic", "ehlo.not_ptr"},
    ),
    "several PTR": (f"{IP} PTR b2.news.example\nb2.news.example A {IP}", {"ptr.several"}),
    "EHLO differs from PTR": (f"-PTR\n{IP} PTR out.news.example\nout.news.example A {IP}", {"ehlo.not_ptr"}),
    "EHLO leads elsewhere": (
        f"-mta.news.example A\nmta.news.example A 198.51.100.7\n-PTR\n{IP} PTR out.news.example\n"
        f"out.news.example A {IP}",
        {"ehlo.elsewhere"},
    ),
    "EHLO without address": (
        f"-mta.news.example A\nmta.news.example TXT x\n-PTR\n{IP} PTR out.news.example\nout.news.example A {IP}\n"
        "-MX 10 mta\nb.news.example MX 10 out.news.example\nnews.example MX 10 out.news.example",
        {"ehlo.no_address"},
    ),
    "EHLO is an alias": (
        f"-mta.news.example A\nmta.news.example CNAME out.news.example\nout.news.example A {IP}\n"
        "-MX 10 mta\nb.news.example MX 10 out.news.example\nnews.example MX 10 out.news.example",
        {"ehlo.alias"},
    ),
    "return path is an alias": (
        "-b.news.example MX\n-b.news.example TXT\nb.news.example CNAME esp.example\n"
        f"esp.example MX 10 mta.news.example\nesp.example TXT v=spf1 ip4:{IP} -all",
        {"name.alias"},
    ),
    "links lead to a missing name": ("-mail.news.example", {"http.no_address"}),
}

CLEAN: dict[str, str] = {
    "as it is made": "",
    "SPF through an include": f"{NO_SPF}\n{SPF} include:s.example ~all\ns.example TXT v=spf1 ip4:{IP} -all",
    "SPF through a and mx": f"{NO_SPF}\n{SPF} a:mta.news.example mx -all",
    "SPF through redirect": f"{NO_SPF}\n{SPF} redirect=s.example\ns.example TXT v=spf1 ip4:192.0.2.0/24 -all",
    "SPF through macros": (
        f"{NO_SPF}\n{SPF} include:%{{ir}}.%{{v}}.%{{d}}.s.example -all\n"
        f"10.2.0.192.in-addr.b.news.example.s.example TXT v=spf1 ip4:{IP} -all"
    ),
    "SPF beside other TXT records": "b.news.example TXT google-site-verification=1\nb.news.example TXT MS=ms1",
    "key in pieces and with every flag": f"{NO_DKIM}\n{DKIM} {{r}}; t=s; h=sha256; s=email; n=ours",
    "DMARC quarantine with every tag": (
        f"{NO_DMARC}\n{DMARC} v=DMARC1; p=quarantine; sp=reject; np=reject; adkim=s; aspf=r; fo=1:d:s; t=n; psd=n; "
        f"{RUA}!5m"
    ),
    "DMARC from above": (
        f"{NO_DMARC}\n_dmarc.example TXT v=DMARC1; p=none; sp=reject; psd=y; {RUA}\nexample MX 10 mta.news.example"
    ),
    "reports to a service that agreed": (
        f"{NO_DMARC}\n{DMARC} v=DMARC1;p=reject;{RUA},mailto:d@esp.example\nesp.example MX 10 mx.esp.example\n"
        "news.example._report._dmarc.esp.example TXT v=DMARC1"
    ),
    "two mail hosts, DANE and IPv6": (
        "b.news.example MX 20 mx2.news.example\nmx2.news.example AAAA 2001:db8::25\n"
        f"mta.news.example TLSA 3 1 1 {'00' * 32}\nmx2.news.example TLSA 2 0 2 {'00' * 64}"
    ),
}


def changed(whole: Installation, change: str) -> Zone:
    record = next(line.split("TXT ", 1)[1] for line in whole.zone.splitlines() if "p1._domainkey" in line)
    lines = [" ".join(line.split()) for line in whole.zone.splitlines() if line.strip()]
    added = []
    for line in filter(None, change.splitlines()):
        if line.startswith("-"):
            kept = [one for one in lines if not one.startswith(line[1:]) and f" {line[1:]}" not in one]
            assert len(kept) < len(lines), f"the fault takes nothing away: {line}"
            lines = kept
        else:
            added.append(line.replace("{r}", record.strip()))
    return Zone("\n".join([*lines, *added]))


@pytest.mark.parametrize("name", FAULTS)
async def test_a_known_fault_is_found_with_its_remedy(tmp_path: Path, name: str) -> None:
    whole = Installation(tmp_path)
    change, expected = FAULTS[name]
    findings = await examine(whole.settings, changed(whole, change), connect_port25=open_port)
    bad = [finding for finding in findings if finding.level is not Level.OK]
    assert {finding.text.id for finding in bad} == expected
    for finding in bad:
        for language in ("en", "ru"):
            assert all(finding.words(language)), (finding.text.id, language)


@pytest.mark.parametrize("name", CLEAN)
async def test_nothing_is_invented_on_a_clean_zone(tmp_path: Path, name: str) -> None:
    whole = Installation(tmp_path)
    findings = await examine(whole.settings, changed(whole, CLEAN[name]), connect_port25=open_port)
    assert [(finding.text.id, finding.what) for finding in findings if finding.level is not Level.OK] == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source(name="s1", ehlo="mta", bind=IP), {"ehlo.bad"}),
        (Source(name="s1", ehlo="mta.news.example", bind="10.0.0.5"), {"address.private"}),
        (Source(name="s1", ehlo="gone.news.example"), {"address.unknown", "spf.untested"}),
    ],
)
async def test_faults_of_a_source(tmp_path: Path, source: Source, expected: set[str]) -> None:
    whole = Installation(tmp_path)
    settings = whole.settings.model_copy(update={"sources": [source]})
    findings = await examine(settings, Zone(whole.zone), connect_port25=open_port)
    assert {finding.text.id for finding in findings if finding.level is not Level.OK} == expected


def test_the_table_is_as_long_as_it_says() -> None:
    assert len(FAULTS) >= 60
    assert len(CLEAN) == 11
