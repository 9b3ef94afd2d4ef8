"""`penstock doctor`: what is missing before real sending, each with its remedy and the exact record to publish.

Contract: `examine` looks and changes nothing: files that the settings name, DKIM keys, DNS records of every sending
domain, PTR and EHLO of every source, the way out on port 25.  Whatever it finds is a Finding; it raises only what is a
fault of ours.  `render` writes findings for people, worst first; `exit_code` is 1 when a problem stands in the way.
Bounded: DNS through the injected resolver (its time-outs), 10 s for a connection, all subjects at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from collectors.dns.checks import (
    DkimWanted,
    Finding,
    Language,
    Level,
    check_alias,
    check_bimi,
    check_dane,
    check_dkim,
    check_dmarc,
    check_link_host,
    check_mta_sts,
    check_mx,
    check_source,
    check_spf,
    check_tls_reporting,
)
from collectors.dns.finding import found
from collectors.dns.reach import is_address, source_addresses
from config.model import DkimKey, SendingDomain, Settings
from config.secrets import read_secret
from core.address import normal_domain
from core.errors import InvalidInput
from core.ports import NameMissing, NullMx, Resolver, ResolverFailed
from sender.dkim import public_record
from service import doctor_texts as say
from service.doctor_probes import probe
from service.doctor_relays import check_relays
from service.probes import Probes

Connect = Callable[[str, int, str], Awaitable[str]]  # host, port, local address → '' or what went wrong
PROBES = ("gmail.com", "outlook.com", "yahoo.com", "mail.ru", "yandex.ru")
CONNECT_SECONDS = 10.0
_MARKS = {Level.PROBLEM: "✗", Level.WARNING: "!", Level.OK: "✓"}
_ORDER = (Level.PROBLEM, Level.WARNING, Level.OK)
_SUMMARY = {
    "en": "{problem} problems, {warning} warnings, {ok} good",
    "ru": "Препятствий: {problem}, предупреждений: {warning}, в порядке: {ok}",
}


class Unbindable(Exception):
    """This machine cannot send from the address."""


async def connect_out(host: str, port: int, bind: str) -> str:
    """Greet-only connection: '' when the host says 220, else what went wrong.  Raises Unbindable."""
    if why := cannot_bind(bind):
        raise Unbindable(why)
    local = (bind, 0) if bind else None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, local_addr=local, limit=4096)
            try:
                greeting = await reader.readline()
                writer.write(b"QUIT\r\n")
                await writer.drain()
            finally:
                writer.close()
    except TimeoutError:
        return f"{host}: no answer within {CONNECT_SECONDS:g} s"
    except (OSError, ValueError) as error:
        return f"{host}: {error}"
    return "" if greeting.startswith(b"220") else f"{host}: {greeting[:80].decode('ascii', 'replace').strip()!r}"


def cannot_bind(address: str) -> str:
    """Why this machine cannot send from an address; '' when it can."""
    if not address:
        return ""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe_socket:
            probe_socket.bind((address, 0))
    except OSError as error:
        return error.strerror or str(error)
    return ""


async def examine(
    settings: Settings, resolver: Resolver, *, connect_port25: Connect = connect_out, probes: Probes | None = None
) -> list[Finding]:
    """Everything that was found, good things too, by subject.  Pages and mailboxes of ours only with `probes`."""
    findings = [*_files(settings), *_edges(settings)]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(examine_dns(settings, resolver)),
            group.create_task(_way_out(settings, resolver, connect_port25)),
        ]
        if probes is not None:
            tasks.append(group.create_task(probe(settings, resolver, probes)))
            tasks.append(group.create_task(check_relays(settings, resolver)))
    for task in tasks:
        findings += task.result()
    return list(dict.fromkeys(findings))


async def examine_dns(settings: Settings, resolver: Resolver) -> list[Finding]:
    """Keys and DNS records alone: what requirement sheets are judged by, without a connection to anybody."""
    findings, wanted = _keys(settings)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_domain(settings, domain, resolver)) for domain in settings.sending_domains]
        tasks += [group.create_task(check_dkim(resolver, one)) for one in wanted]
        if (host := urlsplit(settings.http.public_url).hostname or "") and _is_public(host) and not is_address(host):
            tasks.append(group.create_task(check_link_host(resolver, host)))
        tasks += [group.create_task(check_source(resolver, s.name, s.bind, s.ehlo)) for s in settings.sources]
    for task in tasks:
        findings += task.result()
    return list(dict.fromkeys(findings))  # two selectors of one domain see the same wildcard


def exit_code(findings: Sequence[Finding]) -> int:
    """1 when anything is a problem."""
    return int(any(finding.level is Level.PROBLEM for finding in findings))


def render(findings: Sequence[Finding], language: Language) -> str:
    """For a terminal: worst first, the remedy below each, a summary last."""
    lines = []
    for level in _ORDER:
        for finding in (f for f in findings if f.level is level):
            what, remedy = finding.words(language)
            lines.append(f"{_MARKS[level]} {finding.subject}: {what}")
            if remedy:
                lines.append(f"    → {remedy}")
    counts = {str(level): sum(f.level is level for f in findings) for level in _ORDER}
    return "\n".join([*lines, "", _SUMMARY[language].format(**counts)])


# --- files and keys ------------------------------------------------------------------------------
def _files(settings: Settings) -> list[Finding]:
    findings = []
    count = 0
    for key, path in _secret_files(settings):
        count += 1
        try:
            read_secret(path)
        except InvalidInput as error:
            findings.append(
                found(say.SECRET_UNREADABLE, str(path), key=key, problem=error.problem, remedy=error.remedy)
            )
            continue
        findings += _open_to_others(key, path)
    return findings or ([found(say.SECRETS_OK, "config", count=count)] if count else [])


def _open_to_others(key: str, path: Path) -> list[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    return [found(say.SECRET_OPEN, str(path), key=key, mode=f"{mode:o}")] if mode & 0o077 else []


def _secret_files(settings: Settings) -> Iterator[tuple[str, Path]]:
    for token in settings.http.tokens:
        yield f"http.tokens.{token.name}", token.token_file
    if settings.submission.enabled:
        for user in settings.submission.users:
            yield f"submission.users.{user.name}", user.password_file
    if settings.submission.tls_key is not None:
        yield "submission.tls_key", settings.submission.tls_key
    if settings.inbound.tls_key is not None:
        yield "inbound.tls_key", settings.inbound.tls_key
    for relay in settings.relays:
        if relay.password_file is not None:
            yield f"relays.{relay.name}", relay.password_file
    for hook in settings.alerts.webhooks:
        if hook.secret_file is not None:
            yield f"alerts.webhooks.{hook.name}", hook.secret_file
    for seed in settings.seeds.mailboxes:
        login = seed.oauth2
        files = [seed.password_file, *((login.refresh_token_file, login.client_secret_file) if login else ())]
        yield from ((f"seeds.{seed.mailbox}", file) for file in files if file is not None)
    if settings.metrics.influx_token_file is not None:
        yield "metrics.influx_token_file", settings.metrics.influx_token_file
    for feed in settings.feeds:
        yield f"feeds.{feed.name}", feed.secret_file
    for zone_key in settings.blocklists.keys:
        yield f"blocklists.keys.{zone_key.name}", zone_key.key_file


def _keys(settings: Settings) -> tuple[list[Finding], list[DkimWanted]]:
    """What is wrong with the DKIM keys, and the records that the good ones want."""
    findings: list[Finding] = []
    wanted: list[DkimWanted] = []
    for domain in settings.sending_domains:
        if not domain.dkim:
            findings.append(found(say.NO_DKIM, domain.name))
        for d, key in [(domain.name, k) for k in domain.dkim] + [(k.domain, k) for k in domain.second_signatures]:
            try:
                record = public_record(read_secret(key.key_file).encode())
            except InvalidInput as error:
                findings.append(
                    found(
                        say.KEY_BAD,
                        str(key.key_file),
                        name=f"{key.selector}._domainkey.{d}",
                        problem=error.problem,
                        remedy=error.remedy,
                    )
                )
                continue
            findings += _open_to_others(f"sending_domains.{d}.{key.selector}", key.key_file)
            findings += _other_kind(key, record)
            wanted.append(DkimWanted(domain=normal_domain(d), selector=key.selector, record=record))
    return findings, wanted


def _other_kind(key: DkimKey, record: str) -> list[Finding]:
    kind = "ed25519" if "k=ed25519" in record else "rsa"
    if key.algorithm.startswith(kind):
        return []
    return [found(say.KEY_OTHER_KIND, str(key.key_file), algorithm=key.algorithm, kind=kind)]


# --- listeners and links -------------------------------------------------------------------------
def _edges(settings: Settings) -> list[Finding]:
    findings = []
    url = urlsplit(settings.http.public_url)
    if any(s.unsubscribe for s in settings.streams) and (url.scheme != "https" or not _is_public(url.hostname or "")):
        findings.append(found(say.PUBLIC_URL, settings.http.public_url))
    inbound = settings.inbound
    if not inbound.enabled:
        findings.append(found(say.INBOUND_OFF, "inbound"))
    elif not _is_public(inbound.host) or inbound.port != 25:
        findings.append(found(say.INBOUND_LOCAL, f"{inbound.host}:{inbound.port}"))
    if not inbound.dmarc_address:
        findings.append(found(say.NO_DMARC_ADDRESS, "inbound", return_path=settings.sending_domains[0].return_path))
    if not settings.seeds.mailboxes:
        findings.append(found(say.NO_SEEDS, "seeds"))
    return findings


def _is_public(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost" and "." in host


# --- DNS and the network -------------------------------------------------------------------------
async def _domain(settings: Settings, domain: SendingDomain, resolver: Resolver) -> list[Finding]:
    try:
        name, return_path = normal_domain(domain.name), normal_domain(domain.return_path)
    except InvalidInput:
        return []  # the configuration's own check names it
    host = settings.sources[0].ehlo
    reports = settings.inbound.dmarc_address
    postmaster = f"postmaster@{name}"
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_spf(settings, return_path, resolver)),
            group.create_task(check_dmarc(resolver, name, return_path, reports)),
            group.create_task(check_mx(resolver, return_path, host)),
            group.create_task(check_mx(resolver, name, host, returns=False)),
            group.create_task(check_mta_sts(resolver, return_path)),
            group.create_task(check_alias(resolver, return_path)),
            group.create_task(check_alias(resolver, name)),
            group.create_task(check_bimi(resolver, name)),
            group.create_task(check_dane(resolver, return_path)),
            group.create_task(check_tls_reporting(resolver, return_path, postmaster)),
        ]
    return [finding for task in tasks for finding in task.result()]


async def _spf(settings: Settings, return_path: str, resolver: Resolver) -> list[Finding]:
    addresses: dict[str, None] = {}
    for source in settings.sources:
        try:
            addresses |= dict.fromkeys(await source_addresses(resolver, source.bind, source.ehlo))
        except ResolverFailed:
            continue  # the source's own check says so
    return await check_spf(resolver, return_path, list(addresses))


async def _way_out(settings: Settings, resolver: Resolver, connect: Connect) -> list[Finding]:
    """Each source address tries large providers in turn until one greets it."""
    port = settings.delivery.port
    hosts = await _probe_hosts(resolver)
    if not hosts:
        return [found(say.PORT25_UNKNOWN, "network", port=port)]
    findings = []
    for source in settings.sources:
        problem = ""
        for host in hosts:
            try:
                problem = await connect(host, port, source.bind)
            except Unbindable as why:
                findings.append(found(say.SOURCE_UNBINDABLE, source.name, bind=source.bind, problem=why))
                break
            if not problem:
                findings.append(found(say.PORT25_OK, source.name, port=port, host=host))
                break
        else:
            findings.append(found(say.PORT25_CLOSED, source.name, port=port, problem=problem))
    return findings


async def _probe_hosts(resolver: Resolver) -> list[str]:
    hosts = []
    for domain in PROBES:
        try:
            found_hosts = await resolver.mx(domain)
        except (NameMissing, NullMx, ResolverFailed):
            continue
        hosts += [mx.host for mx in found_hosts[:1]]
    return hosts[:3]
