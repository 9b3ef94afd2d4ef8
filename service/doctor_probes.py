"""The part of `penstock doctor` that speaks to our own pages and mailboxes, through injected probes.

Unsubscribe links must lead to this service, postmaster@ and abuse@ of every sending domain must take mail (RFC 2142),
and an announced MTA-STS policy must be served and list every MX (RFC 8461 section 3.3): else honest senders cannot
deliver.  Logo and certificate of a BIMI record must be served and good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from collectors.dns import texts_bimi as bimi
from collectors.dns import texts_traps as traps
from collectors.dns.bimi import bimi_record, logo_faults, mark_faults
from collectors.dns.checks import Finding
from collectors.dns.finding import found
from collectors.dns.reach import is_address
from config.model import Settings
from core.address import normal_domain
from core.clock import SystemClock
from core.errors import InvalidInput
from core.ports import NameMissing, NullMx, Resolver, ResolverFailed
from core.tls import StsMode, StsProblem
from sender.sts import parse_policy, parse_record
from service import doctor_texts as say
from service.mx_tls import check_hosts
from service.probes import Probes

SHORT_AGE = 86_400  # seconds; RFC 8461 section 3.2 expects weeks
ROLES = ("postmaster", "abuse")


async def probe(settings: Settings, resolver: Resolver, probes: Probes) -> list[Finding]:
    """Findings about everything that has to be spoken to."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_unsubscribe(settings, probes))]
        for domain in settings.sending_domains:
            try:
                name, return_path = normal_domain(domain.name), normal_domain(domain.return_path)
            except InvalidInput:
                continue  # the configuration's own check names it
            tasks.append(group.create_task(_roles(settings, resolver, probes, name)))
            tasks.append(group.create_task(_receiving(settings, resolver, probes, name, return_path)))
            tasks.append(group.create_task(_bimi(resolver, probes, name)))
    return [finding for task in tasks for finding in task.result()]


async def _unsubscribe(settings: Settings, probes: Probes) -> list[Finding]:
    url = settings.http.public_url
    if not any(stream.unsubscribe for stream in settings.streams) or not url.startswith("https://"):
        return []  # not needed, or told already
    status, text = await probes.page(f"{url}/healthz")
    if status == 200:
        return [found(say.UNSUBSCRIBE_OK, url)]
    return [found(say.UNSUBSCRIBE_UNREACHABLE, url, problem=text if not status else f"HTTP {status}")]


async def _roles(settings: Settings, resolver: Resolver, probes: Probes, domain: str) -> list[Finding]:
    try:
        hosts = await resolver.mx(domain)
    except (NameMissing, NullMx, ResolverFailed):
        return []
    if not hosts:
        return []  # the check of the MX says so
    addresses = [f"{role}@{domain}" for role in ROLES]
    problem = ""
    for mx in hosts[:3]:
        answers = await probes.refusals(mx.host, settings.delivery.port, settings.sources[0].ehlo, addresses)
        if "" in answers:
            problem = answers[""]
            continue
        refused = [
            found(say.ROLE_REFUSED, domain, host=mx.host, address=address, reply=reply)
            for address, reply in answers.items()
            if reply.startswith("5")
        ]
        waiting = next((reply for reply in answers.values() if reply and not reply.startswith("5")), "")
        if waiting:
            refused.append(found(say.ROLES_UNKNOWN, domain, problem=waiting))  # a deferral, such as greylisting
        return refused or [found(say.ROLES_OK, domain, host=mx.host, addresses=", ".join(addresses))]
    return [found(say.ROLES_UNKNOWN, domain, problem=problem)]


async def _bimi(resolver: Resolver, probes: Probes, domain: str) -> list[Finding]:
    """What a BIMI record leads to."""
    try:
        record = await bimi_record(resolver, domain)
    except ResolverFailed:
        return []  # the check of the record says so
    if record is None:
        return []
    bad: list[Finding] = []
    asked = 0
    for url, text in ((record.logo, bimi.BIMI_LOGO), (record.mark, bimi.BIMI_MARK)):
        if not url.startswith("https://") or url.lower().endswith(".svgz"):
            continue
        asked += 1
        status, content = await probes.page(url)
        if status != 200:
            bad.append(found(bimi.BIMI_UNSERVED, domain, url=url, problem=content if not status else f"HTTP {status}"))
            continue
        faults = logo_faults(content) if text is bimi.BIMI_LOGO else mark_faults(content, domain, SystemClock().now())
        if why := "; ".join(faults):
            bad.append(found(text, domain, url=url, why=why))
    return bad or ([found(bimi.BIMI_SERVED, domain)] if asked else [])


async def _receiving(
    settings: Settings, resolver: Resolver, probes: Probes, name: str, return_path: str
) -> list[Finding]:
    """The MTA-STS policy of the return path, and whether its hosts keep it and the DANE records."""
    hosts = await _hosts(resolver, return_path)
    findings, mode = await _policy(resolver, probes, return_path, hosts) if hosts else ([], StsMode.NONE)
    told = (await _hosts(resolver, name))[:3]  # their mailboxes are asked about: silence is told there
    return findings + await check_hosts(
        resolver, probes, return_path, hosts, mode=mode, told=told, port=settings.delivery.port,
        ehlo=settings.sources[0].ehlo, now=SystemClock().now(),
    )  # fmt: skip


async def _hosts(resolver: Resolver, domain: str) -> list[str]:
    """The MX of a domain; none where the check of the MX says why."""
    try:
        return [mx.host for mx in await resolver.mx(domain)]
    except (NameMissing, NullMx, ResolverFailed):
        return []


async def _policy(
    resolver: Resolver, probes: Probes, domain: str, hosts: Sequence[str]
) -> tuple[list[Finding], StsMode]:
    try:
        if not parse_record(await resolver.txt(f"_mta-sts.{domain}")):
            return [], StsMode.NONE
    except (NameMissing, ResolverFailed):
        return [], StsMode.NONE
    url = f"https://mta-sts.{domain}/.well-known/mta-sts.txt"
    status, text = await probes.page(url)
    try:
        if status != 200:
            redirect = ", a redirect, which nobody follows here" if 300 <= status < 400 else ""
            raise StsProblem(text if not status else f"HTTP {status}{redirect}")
        policy = parse_policy(text)
    except StsProblem as error:
        return [found(say.STS_UNSERVED, domain, url=url, problem=error)], StsMode.NONE
    if policy.mode is StsMode.NONE:
        return [found(traps.STS_OFF, domain)], policy.mode
    findings = []
    missing = [host for host in hosts if not policy.permits(host) and not is_address(host)]  # told by the MX's check
    if missing:
        findings.append(found(say.STS_MX, domain, hosts=", ".join(missing)))
    if policy.mode is StsMode.TESTING:
        findings.append(found(traps.STS_TESTING, domain))
    if policy.max_age < SHORT_AGE:
        findings.append(found(traps.STS_SHORT, domain, seconds=policy.max_age))
    return findings or [found(say.STS_SERVED, domain, mode=policy.mode)], policy.mode
