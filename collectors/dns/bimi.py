"""BIMI: the logo that receivers may show beside mail from a domain (draft-brand-indicators-for-message-identification).

Contract: a domain without a record gets no finding: BIMI is a wish, not a duty.  `check_bimi` asks DNS alone; what the
record leads to is judged by `logo_faults` (SVG Tiny PS) and `mark_faults` (mark certificate, RFC 3709 with the BIMI
profile), pure functions over what was fetched.  Selector `default` only: others are named by each mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from collectors.dns import texts_auth as auth
from collectors.dns import texts_bimi as say
from collectors.dns.dmarc import governing_tags
from collectors.dns.finding import Finding, found
from collectors.dns.tags import parse_tags
from core.ports import NameMissing, Resolver, ResolverFailed

MAX_LOGO = 32_768  # bytes; larger ones are not shown
_BRAND = ObjectIdentifier("1.3.6.1.5.5.7.3.31")  # id-kp-BrandIndicatorforMessageIdentification
_LOGOTYPE = ObjectIdentifier("1.3.6.1.5.5.7.1.12")
_ROOT = re.compile(r"<svg\b([^>]*)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class BimiRecord:
    """Addresses of the logo and of the mark certificate; '' when not given."""

    logo: str
    mark: str


async def bimi_record(resolver: Resolver, domain: str) -> BimiRecord | None:
    """The record when there is exactly one that can be read.  Raises ResolverFailed."""
    texts = await _texts(resolver, domain)
    if len(texts) != 1:
        return None
    try:
        tags = parse_tags(texts[0])
    except ValueError:
        return None
    return BimiRecord(logo=tags.get("l", ""), mark=tags.get("a", ""))


async def check_bimi(resolver: Resolver, domain: str) -> list[Finding]:
    """Findings about `default._bimi` of one domain."""
    name = f"default._bimi.{domain}"
    try:
        texts = await _texts(resolver, domain)
    except ResolverFailed as error:
        return [found(auth.DNS_FAILED, domain, name=f"TXT {name}", problem=error)]
    if not texts:
        return []
    if len(texts) > 1:
        return [found(say.BIMI_SEVERAL, domain, count=len(texts))]
    wanted = f"v=BIMI1; l=https://{domain}/logo.svg; a=https://{domain}/mark.pem"
    try:
        tags = parse_tags(texts[0])
    except ValueError as error:
        return [found(say.BIMI_SYNTAX, name, problem=error, record=wanted)]
    if next(iter(tags)) != "v":
        return [found(say.BIMI_SYNTAX, name, problem="v=BIMI1 does not stand first", record=wanted)]
    logo, mark = tags.get("l"), tags.get("a", "")
    if logo == "" and not mark:
        return [found(say.BIMI_DECLINED, domain)]
    findings = []
    if not logo:
        findings.append(found(say.BIMI_NO_LOGO, domain))
    elif not _is_https(logo):
        findings.append(found(say.BIMI_ADDRESS, domain, tag="l", value=logo))
    elif not urlsplit(logo).path.lower().endswith((".svg", ".svgz")):
        findings.append(found(say.BIMI_NOT_SVG, domain, value=logo))
    if mark and not _is_https(mark):
        findings.append(found(say.BIMI_ADDRESS, domain, tag="a", value=mark))
    elif not mark:
        findings.append(found(say.BIMI_NO_MARK, domain))
    findings += await _policy(resolver, domain)
    return findings or [found(say.BIMI_OK, domain, logo=logo or "")]


def logo_faults(text: str) -> Iterator[str]:
    """Why a logo would not be shown, in English; nothing when it would."""
    if len(text.encode("utf-8", "replace")) > MAX_LOGO:
        yield f"it is larger than {MAX_LOGO // 1024} kB"
    root = _ROOT.search(text)
    if root is None:
        yield "it is no SVG"
        return
    head = re.sub(r"\s*=\s*", "=", root[1]).replace("'", '"')
    if 'baseProfile="tiny-ps"' not in head:
        yield 'baseProfile="tiny-ps" is missing'
    if 'version="1.2"' not in head:
        yield 'version="1.2" is missing'
    if re.search(r'(?:^|\s)[xy]="', head):
        yield "its root has x or y"
    if not re.search(r"<title\b[^>]*>\s*[^<\s]", text, re.IGNORECASE):
        yield "it has no <title>"
    for word in ("script", "animate", "foreignObject", "image"):
        if re.search(rf"<{word}\b", text, re.IGNORECASE):
            yield f"it holds <{word}>"


def mark_faults(text: str, domain: str, now: float) -> Iterator[str]:
    """Why a mark certificate is of no use for `domain`, in English; nothing when it is good."""
    try:
        chain = x509.load_pem_x509_certificates(text.encode("ascii", "replace"))
    except ValueError:
        yield "it is no PEM certificate"
        return
    leaf = chain[0]
    if leaf.not_valid_after_utc.timestamp() < now:
        yield f"it ended on {leaf.not_valid_after_utc:%Y-%m-%d}"
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        yield "it is no mark certificate"
        return
    if _BRAND not in usages or not any(one.oid == _LOGOTYPE for one in leaf.extensions):
        yield "it is no mark certificate"
    named = {name.lower().removeprefix("default._bimi.") for name in names.get_values_for_type(x509.DNSName)}
    if not any(domain == name or domain.endswith("." + name) for name in named):
        yield f"it is for {', '.join(sorted(named)[:3]) or 'nobody'}"
    if len(chain) < 2:
        yield "the issuer's certificate is missing from the file"


async def _texts(resolver: Resolver, domain: str) -> list[str]:
    try:
        texts = await resolver.txt(f"default._bimi.{domain}")
    except NameMissing:
        return []
    return [text for text in texts if re.search(r"v\s*=\s*BIMI1\s*(;|$)", text)]


async def _policy(resolver: Resolver, domain: str) -> list[Finding]:
    try:
        tags, inherited = await governing_tags(resolver, domain)
    except ResolverFailed as error:
        return [found(auth.DNS_FAILED, domain, name=f"DMARC {domain}", problem=error)]
    policy = (tags.get("sp") or tags.get("p", "")) if inherited else tags.get("p", "")
    why = ""
    if policy.lower() not in ("quarantine", "reject"):
        why = f"p={policy or '?'}" if tags else "there is no DMARC record"
    elif tags.get("sp", "reject").lower() == "none":
        why = "sp=none"
    elif tags.get("t", "n").lower() == "y":
        why = "t=y"
    elif policy.lower() == "quarantine" and tags.get("pct", "100") != "100":
        why = f"pct={tags['pct']}"
    return [found(say.BIMI_POLICY, domain, why=why)] if why else []


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        return False
