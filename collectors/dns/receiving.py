"""What our own domains say about mail to them: MX, MTA-STS (RFC 8461) and TLS reporting (RFC 8460).

The return-path domain must take mail, or bounces and complaints are lost and the gates are blind.  Only the TXT
records of MTA-STS are looked at here: whether the policy is served takes an HTTPS request.
"""

from __future__ import annotations

from collectors.dns import texts_auth as auth
from collectors.dns import texts_host as say
from collectors.dns import texts_traps as traps
from collectors.dns.finding import Finding, found
from collectors.dns.reach import is_address, is_reachable, takes_mail
from collectors.dns.sight import alias_of, tlsa_of
from collectors.dns.tags import parse_tags
from core.ports import NameMissing, NullMx, Resolver, ResolverFailed


async def check_mx(resolver: Resolver, domain: str, wanted_host: str, *, returns: bool = True) -> list[Finding]:
    """Findings about who takes mail for `domain`.  `returns`: bounces come here, so its absence is a problem."""
    try:
        hosts = await resolver.mx(domain)
    except NullMx:
        return [found(say.MX_NULL if returns else say.FROM_NO_MX, domain, wanted=wanted_host)]
    except NameMissing:
        hosts = []
    except ResolverFailed as error:
        return [found(auth.DNS_FAILED, domain, name=f"MX {domain}", problem=error)]
    if not hosts:
        return [found(say.MX_MISSING if returns else say.FROM_NO_MX, domain, wanted=wanted_host)]
    findings = []
    if returns and len(hosts) == 1 and hosts[0].host == domain and not hosts[0].preference:
        findings.append(found(say.MX_IMPLICIT, domain, wanted=wanted_host))
    for mx in hosts[:10]:
        findings += await _check_host(resolver, domain, mx.host)
    return findings or [found(say.MX_OK, domain, hosts=", ".join(mx.host for mx in hosts[:5]))]


async def _check_host(resolver: Resolver, domain: str, host: str) -> list[Finding]:
    if is_address(host):
        return [found(say.MX_IS_ADDRESS, domain, host=host)]
    try:
        addresses = await resolver.addresses(host)
    except NameMissing:
        addresses = []
    except ResolverFailed as error:
        return [found(auth.DNS_FAILED, domain, name=f"A, AAAA {host}", problem=error)]
    if not addresses:
        return [found(say.MX_NO_ADDRESS, domain, host=host)]
    if not any(map(is_reachable, addresses)):
        return [found(traps.MX_PRIVATE, domain, host=host, address=addresses[0])]
    target = await alias_of(resolver, host)
    return [found(traps.MX_ALIAS, domain, host=host, target=target)] if target else []


async def check_alias(resolver: Resolver, domain: str) -> list[Finding]:
    """A domain with records of its own must not be an alias (RFC 2181 section 10.1)."""
    target = await alias_of(resolver, domain)
    return [found(traps.NAME_IS_ALIAS, domain, target=target)] if target else []


async def check_dane(resolver: Resolver, domain: str) -> list[Finding]:
    """TLSA records of the hosts that take mail for `domain`, where DNSSEC proves them (RFC 7672 section 3.1)."""
    try:
        hosts = await resolver.mx(domain)
    except (NameMissing, NullMx, ResolverFailed):
        return []  # the check of the MX says so
    findings = []
    for mx in hosts[:10]:
        answer = await tlsa_of(resolver, mx.host)
        if not answer.authentic or not answer.records:
            continue
        if any(r.usage in (2, 3) and r.selector in (0, 1) and r.matching in (0, 1, 2) for r in answer.records):
            findings.append(found(traps.DANE_OK, domain, host=mx.host))
        else:
            records = ", ".join(f"{r.usage} {r.selector} {r.matching}" for r in answer.records[:5])
            findings.append(found(traps.DANE_UNUSABLE, domain, host=mx.host, records=records))
    return findings


async def check_link_host(resolver: Resolver, host: str) -> list[Finding]:
    """The name that unsubscribe and tracking links lead to."""
    try:
        addresses = await resolver.addresses(host)
    except NameMissing:
        addresses = []
    except ResolverFailed as error:
        return [found(auth.DNS_FAILED, host, name=f"A, AAAA {host}", problem=error)]
    return [] if addresses else [found(traps.LINK_HOST, host, host=host)]


async def check_mta_sts(resolver: Resolver, domain: str) -> list[Finding]:
    """Findings about the announcement of an MTA-STS policy."""
    try:
        records = await _records(resolver, f"_mta-sts.{domain}", "v=STSv1")
    except ResolverFailed as error:
        return [found(auth.DNS_FAILED, domain, name=f"_mta-sts.{domain}", problem=error)]
    if not records:
        return [found(say.MTA_STS_MISSING, domain)]
    try:
        if len(records) > 1:
            raise ValueError(f"there are {len(records)} records")
        tags = parse_tags(records[0])
        if not tags.get("id", "").isalnum() or len(tags["id"]) > 32:
            raise ValueError("id must be 1 to 32 letters and digits")
    except ValueError as error:
        return [found(say.MTA_STS_BAD, domain, problem=error)]
    return [found(say.MTA_STS_OK, domain, id=tags["id"])]


async def check_tls_reporting(resolver: Resolver, domain: str, address: str) -> list[Finding]:
    """Findings about who receives TLS reports; `address` is what to suggest."""
    try:
        records = await _records(resolver, f"_smtp._tls.{domain}", "v=TLSRPTv1")
    except ResolverFailed as error:
        return [found(auth.DNS_FAILED, domain, name=f"_smtp._tls.{domain}", problem=error)]
    if not records:
        return [found(say.TLS_RPT_MISSING, domain, address=address)]
    try:
        if len(records) > 1:
            raise ValueError(f"there are {len(records)} records")
        targets = parse_tags(records[0]).get("rua", "")
        if not targets or not all(t.strip().startswith(("mailto:", "https:")) for t in targets.split(",")):
            raise ValueError("rua must list mailto: or https: addresses")
    except ValueError as error:
        return [found(say.TLS_RPT_BAD, domain, problem=error, address=address)]
    ours = (domain, address.rpartition("@")[2])  # the checks of their MX tell of these
    silent = [d for d in _mail_domains(targets) if d not in ours and not await takes_mail(resolver, d)]
    if silent:
        return [found(traps.TLS_RPT_TARGET, domain, target=", ".join(silent))]
    return [found(say.TLS_RPT_OK, domain, address=targets)]


def _mail_domains(targets: str) -> list[str]:
    """Where the mailto: addresses of rua= lead."""
    given = (target.strip() for target in targets.split(","))
    found_in = [one.removeprefix("mailto:").rpartition("@")[2] for one in given if one.startswith("mailto:")]
    return [domain.lower().rstrip(".") for domain in dict.fromkeys(found_in) if domain][:5]


async def _records(resolver: Resolver, name: str, version: str) -> list[str]:
    try:
        texts = await resolver.txt(name)
    except NameMissing:
        return []
    return [text for text in texts if text.replace(" ", "").startswith(version)]
