"""DKIM keys (RFC 6376, RFC 8301, RFC 8463): is our public key published, whole, and meant for mail?

Contract: only selectors that we sign with, or that reports show, are asked for; nothing is guessed.  The published
key is compared with the record of our private key, so that a rotation that was forgotten on either side is seen.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from collectors.dns import texts_auth as say
from collectors.dns import texts_traps as traps
from collectors.dns.finding import Finding, Text, found
from collectors.dns.sight import alias_of
from collectors.dns.tags import parse_tags
from core.ports import NameMissing, Resolver, ResolverFailed

MAX_STRING = 255
_NOBODYS = "no-such-selector-7f3k"  # a name that only a wildcard can answer


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimWanted:
    """One key that we sign with: `record` is what has to be published for it."""

    domain: str
    selector: str
    record: str

    @property
    def name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def quoted(self) -> str:
        """The record as a zone file takes it: strings of at most 255 bytes (RFC 1035 section 3.3.14)."""
        parts = [self.record[at : at + MAX_STRING] for at in range(0, len(self.record), MAX_STRING)]
        return " ".join(f'"{part}"' for part in parts)


async def check_dkim(resolver: Resolver, wanted: DkimWanted) -> list[Finding]:
    """Findings about one selector of ours."""
    name = wanted.name
    try:
        texts = await resolver.txt(name)
    except NameMissing:
        texts = []
    except ResolverFailed as error:
        return [found(say.DNS_FAILED, name, name=name, problem=error)]
    if not texts:
        return [await _missing(resolver, wanted)]
    findings = [found(say.DKIM_SEVERAL, name, count=len(texts))] if len(texts) > 1 else []
    ours = parse_tags(wanted.record)
    matching = [text for text in texts if _key(text) == _bare(ours.get("p", ""))]
    findings += _judge(wanted, matching[0] if matching else texts[0], ours)
    findings += await _wildcard(resolver, wanted.domain)
    if findings:
        return findings
    return [found(say.DKIM_OK, name, kind=_kind(ours))]


async def check_seen_selector(resolver: Resolver, domain: str, selector: str) -> list[Finding]:
    """Findings about a selector that reports show, though we hold no key for it."""
    name = f"{selector}._domainkey.{domain}"
    try:
        texts = await resolver.txt(name)
    except NameMissing:
        texts = []
    except ResolverFailed as error:
        return [found(say.DNS_FAILED, name, name=name, problem=error)]
    if not texts:
        return [found(traps.DKIM_SEEN_MISSING, name, selector=selector, domain=domain)]
    try:
        published = parse_tags(texts[0])
    except ValueError:
        published = {}
    # judged against itself: whether the key is the signer's own nobody but he can tell
    findings = _judge(DkimWanted(domain=domain, selector=selector, record=texts[0]), texts[0], published)
    if len(texts) > 1:
        findings.append(found(say.DKIM_SEVERAL, name, count=len(texts)))
    return findings


def _judge(wanted: DkimWanted, text: str, ours: dict[str, str]) -> list[Finding]:
    name = wanted.name

    def problem(about: Text, **values: object) -> Finding:
        return found(about, name, record=wanted.quoted, **values)

    try:
        tags = parse_tags(text)
        if "p" not in tags:
            raise ValueError("there is no p=")
        if tags.get("v", "DKIM1") != "DKIM1":
            raise ValueError(f"v={tags['v']} is not DKIM1")
        base64.b64decode(_bare(tags["p"]), validate=True)
    except (ValueError, binascii.Error) as error:
        return [problem(say.DKIM_SYNTAX, problem=error)]
    if not tags["p"]:
        return [problem(say.DKIM_REVOKED)]
    findings = []
    kind, own_kind = tags.get("k", "rsa").lower(), ours.get("k", "rsa").lower()
    if kind != own_kind:
        findings.append(problem(say.DKIM_KEY_TYPE, published=kind, ours=own_kind))
    elif _bare(tags["p"]) != _bare(ours.get("p", "")):
        findings.append(problem(say.DKIM_MISMATCH))
    bits = _rsa_bits(tags["p"]) if kind == "rsa" and not findings else 0  # of a key that is to go, nothing more
    if 0 < bits < 2048:
        findings.append(problem(say.DKIM_TOO_SHORT if bits < 1024 else say.DKIM_SHORT, bits=bits))
    if "y" in _list(tags.get("t", "")):
        findings.append(problem(say.DKIM_TESTING))
    hashes = _list(tags.get("h", "sha256"))
    if hashes and "sha256" not in hashes:
        findings.append(problem(say.DKIM_HASH, hashes=":".join(hashes)))
    services = _list(tags.get("s", "*"))
    if services and not {"*", "email"} & set(services):
        findings.append(problem(say.DKIM_SERVICE, services=":".join(services)))
    return findings


async def _missing(resolver: Resolver, wanted: DkimWanted) -> Finding:
    """Why nothing is at the name: published below itself, an alias of what does not exist, or never published."""
    below = f"{wanted.name}.{wanted.domain}"
    try:
        doubled = await resolver.txt(below)
    except (NameMissing, ResolverFailed):
        doubled = []
    if doubled:
        relative = f"{wanted.selector}._domainkey"
        return found(traps.DKIM_DOUBLED, wanted.name, below=below, relative=relative, record=wanted.quoted)
    target = await alias_of(resolver, wanted.name)
    if target:
        return found(traps.DKIM_ALIAS_EMPTY, wanted.name, target=target, record=wanted.quoted)
    return found(say.DKIM_MISSING, wanted.name, record=wanted.quoted)


async def _wildcard(resolver: Resolver, domain: str) -> list[Finding]:
    try:
        texts = await resolver.txt(f"{_NOBODYS}._domainkey.{domain}")
    except (NameMissing, ResolverFailed):
        return []
    return [found(say.DKIM_WILDCARD, f"*._domainkey.{domain}")] if texts else []


def _key(text: str) -> str:
    try:
        return _bare(parse_tags(text).get("p", ""))
    except ValueError:
        return ""


def _bare(key: str) -> str:
    return "".join(key.split())


def _list(value: str) -> list[str]:
    return [part.strip().lower() for part in value.split(":") if part.strip()]


def _rsa_bits(key: str) -> int:
    try:
        public = load_der_public_key(base64.b64decode(_bare(key)))
    except (ValueError, UnsupportedAlgorithm):
        return 0
    return public.key_size if isinstance(public, RSAPublicKey) else 0


def _kind(tags: dict[str, str]) -> str:
    kind = tags.get("k", "rsa").lower()
    return f"rsa-{_rsa_bits(tags['p'])}" if kind == "rsa" else kind
