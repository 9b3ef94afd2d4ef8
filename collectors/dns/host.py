"""A sending address of ours: PTR, confirmed forward, and its agreement with EHLO (RFC 5321 section 4.1.4, RFC 1912).

Gmail, Yahoo, Mail.ru and Yandex refuse or file as spam what comes from an address without a confirmed PTR.
"""

from __future__ import annotations

import re

from collectors.dns import texts_auth as auth
from collectors.dns import texts_host as say
from collectors.dns import texts_traps as traps
from collectors.dns.finding import Finding, found
from collectors.dns.reach import is_reachable, source_addresses
from collectors.dns.sight import alias_of
from core.address import normal_domain
from core.errors import InvalidInput
from core.ports import NameMissing, Resolver, ResolverFailed

_LINE = re.compile(
    r"(^|[.-])(dyn|dynamic|dhcp|dsl|adsl|ppp|pool|dial(up|in)?|cable|client|customer|broadband)([.-]|\d)"
)


async def check_source(resolver: Resolver, name: str, bind: str, ehlo: str) -> list[Finding]:
    """Findings about the source called `name`."""
    try:
        if "." not in normal_domain(ehlo):
            raise InvalidInput("ehlo", "has one label", "Use a full name")
    except InvalidInput:
        return [found(say.EHLO_BAD, name, ehlo=ehlo)]
    try:
        addresses = await source_addresses(resolver, bind, ehlo)
        findings: list[Finding] = []
        if bind and not is_reachable(bind):
            findings.append(found(say.ADDRESS_PRIVATE, bind, ehlo=ehlo))
        if not addresses:
            return [*findings, found(say.ADDRESS_UNKNOWN, name, ehlo=ehlo)]
        for ip in addresses:
            findings += await _check_address(resolver, ip, ehlo.lower().rstrip("."))
        if target := await alias_of(resolver, ehlo):
            findings.append(found(traps.EHLO_ALIAS, name, ehlo=ehlo, target=target))
    except ResolverFailed as error:
        return [found(auth.DNS_FAILED, name, name=f"PTR, A, AAAA {ehlo}", problem=error)]
    return findings


async def _check_address(resolver: Resolver, ip: str, ehlo: str) -> list[Finding]:
    kind = "A" if ":" not in ip else "AAAA"
    findings = await _check_ehlo(resolver, ip, ehlo, kind)
    try:
        names = [name.lower().rstrip(".") for name in await resolver.ptr(ip)]
    except NameMissing:
        names = []
    if not names:
        return [found(say.PTR_MISSING, ip, ehlo=ehlo), *findings]
    confirmed = [name for name in names[:10] if ip in await _forward(resolver, name)]
    if not confirmed:
        return [found(say.PTR_UNCONFIRMED, ip, name=names[0], type=kind), *findings]
    if len(names) > 1:
        findings.append(found(say.PTR_SEVERAL, ip, count=len(names), ehlo=ehlo))
    if ehlo not in confirmed and not any(f.text in (say.EHLO_NO_ADDRESS, say.EHLO_ELSEWHERE) for f in findings):
        findings = [f for f in findings if f.text is not say.EHLO_OK]
        findings.append(found(say.EHLO_NOT_PTR, ip, ehlo=ehlo, name=confirmed[0]))
    if _is_generic(confirmed[0], ip):
        findings.append(found(say.PTR_GENERIC, ip, name=confirmed[0], ehlo=ehlo))
    else:
        findings.append(found(say.PTR_OK, ip, name=confirmed[0]))
    return findings


async def _check_ehlo(resolver: Resolver, ip: str, ehlo: str, kind: str) -> list[Finding]:
    addresses = await _forward(resolver, ehlo)
    if not addresses:
        return [found(say.EHLO_NO_ADDRESS, ip, ehlo=ehlo, ip=ip, type=kind)]
    if ip not in addresses:
        return [found(say.EHLO_ELSEWHERE, ip, ehlo=ehlo, addresses=", ".join(addresses[:5]), type=kind)]
    return [found(say.EHLO_OK, ip, ehlo=ehlo)]


async def _forward(resolver: Resolver, name: str) -> list[str]:
    try:
        return await resolver.addresses(name)
    except NameMissing:
        return []


def _is_generic(name: str, ip: str) -> bool:
    if _LINE.search(name):
        return True
    octets = ip.split(".")
    if len(octets) != 4:
        return False
    return any(sep.join(order) in name for sep in "-." for order in (octets, octets[::-1]))
