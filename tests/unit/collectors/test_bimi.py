"""BIMI: records, logos and mark certificates that will be shown, and why others will not."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from collectors.dns.bimi import check_bimi, logo_faults, mark_faults
from core.ports import ResolverFailed
from tests.unit.collectors.watch_zone import Zone

LOGO = (
    '<?xml version="1.0"?>\n'
    '<svg version="1.2" baseProfile="tiny-ps" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
    "<title>News</title><circle cx='4' cy='4' r='4'/></svg>"
)
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NOW = START.timestamp() + 86_400
BRAND, LOGOTYPE = "1.3.6.1.5.5.7.3.31", "1.3.6.1.5.5.7.1.12"


def mark(names: tuple[str, ...] = ("news.example",), usage: str = BRAND, logotype: bool = True, chain: int = 2) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "News")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + datetime.timedelta(days=365))
        .add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(usage)]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
    )
    if logotype:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(LOGOTYPE), b"0\0"), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode() * chain


@pytest.mark.parametrize(
    ("logo", "why"),
    [
        (LOGO, ""),
        (LOGO.replace("<svg", "<SVG").replace('"1.2"', "'1.2'"), ""),
        ("<html>not found</html>", "no SVG"),
        (LOGO.replace('baseProfile="tiny-ps" ', ""), "baseProfile"),
        (LOGO.replace('version="1.2"', 'version="1.1"'), 'version="1.2"'),
        (LOGO.replace("<title>News</title>", "<title> </title>"), "<title>"),
        (LOGO.replace("<circle", "<script>1</script><circle"), "<script>"),
        (LOGO.replace("<circle", '<image href="x.png"/><circle'), "<image>"),
        (LOGO.replace(" viewBox", ' x="0" viewBox'), "x or y"),
        (LOGO.replace("</svg>", "<!--" + "x" * 40_000 + "--></svg>"), "32 kB"),
    ],
)
def test_a_logo_is_shown_or_it_is_said_why_not(logo: str, why: str) -> None:
    faults = "; ".join(logo_faults(logo))
    assert why in faults if why else not faults


@pytest.mark.parametrize(
    ("pem", "domain", "after", "why"),
    [
        (mark(), "news.example", 0, ""),
        (mark(), "mail.news.example", 0, ""),
        (mark(("default._bimi.news.example",)), "news.example", 0, ""),
        (mark(), "othernews.example", 0, "it is for news.example"),
        (mark(), "news.example", 400 * 86_400, "ended on 2027-01-01"),
        (mark(usage="1.3.6.1.5.5.7.3.1"), "news.example", 0, "no mark certificate"),
        (mark(logotype=False), "news.example", 0, "no mark certificate"),
        (mark(chain=1), "news.example", 0, "issuer's certificate is missing"),
        ("<html></html>", "news.example", 0, "no PEM certificate"),
    ],
)
def test_a_certificate_serves_or_it_is_said_why_not(pem: str, domain: str, after: float, why: str) -> None:
    faults = "; ".join(mark_faults(pem, domain, NOW + after))
    assert why in faults if why else not faults


@given(st.text(max_size=500))
def test_no_text_makes_the_judges_raise(text: str) -> None:
    assert list(mark_faults(text, "news.example", NOW))
    list(logo_faults("<svg " + text))


@pytest.mark.parametrize(
    ("zone", "ids"),
    [
        ("news.example A 192.0.2.1", []),
        ("default._bimi.news.example TXT v=BIMI1; l=; a=", ["bimi.declined"]),
        ("default._bimi.news.example TXT some other text", []),
        (
            "default._bimi.news.example TXT v=BIMI1; l=https://a.example/l.svg; a=https://a.example/m.pem\n"
            "_dmarc.news.example TXT v=DMARC1; p=quarantine; pct=50",
            ["bimi.policy"],
        ),
        (
            "default._bimi.news.example TXT v=BIMI1; l=https://a.example/l.svg; a=https://a.example/m.pem\n"
            "_dmarc.news.example TXT v=DMARC1; p=reject; sp=none",
            ["bimi.policy"],
        ),
        (
            "default._bimi.news.example TXT v=BIMI1; l=https://a.example/l.svg; a=https://a.example/m.pem\n"
            "_dmarc.news.example TXT v=DMARC1; p=quarantine",
            ["bimi.ok"],
        ),
    ],
)
async def test_a_record_is_judged_with_the_policy_that_it_needs(zone: str, ids: list[str]) -> None:
    assert [finding.text.id for finding in await check_bimi(Zone(zone), "news.example")] == ids


async def test_a_failure_of_dns_is_no_missing_record() -> None:
    class Dead(Zone):
        async def txt(self, name: str) -> list[str]:
            raise ResolverFailed(name)

    assert [finding.text.id for finding in await check_bimi(Dead(""), "news.example")] == ["dns.failed"]
