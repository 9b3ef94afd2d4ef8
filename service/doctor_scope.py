"""`penstock doctor DOMAIN…`, and the DKIM selectors that receivers' reports show beside our own.

A domain of the settings is examined as ever, without the others; any other domain by its public records alone: SPF,
DMARC, MX, MTA-STS, TLS reporting, DANE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import make_url

from collectors.dns.checks import (
    Finding,
    check_alias,
    check_dane,
    check_dmarc,
    check_mta_sts,
    check_mx,
    check_seen_selector,
    check_spf,
    check_tls_reporting,
)
from config.load import load_settings
from config.model import Settings
from core.address import normal_domain
from core.errors import InvalidInput
from core.ports import Resolver
from service.commands.common import desk
from service.report_views import Views
from service.reports import build_reports

Seen = tuple[str, str]  # domain, selector
MAX_DOMAINS = 100
MAX_SEEN = 200


def chosen(settings: Settings, names: Sequence[str]) -> tuple[Settings, list[str]]:
    """The settings narrowed to the named sending domains (all when none is named), and the other names.

    Raises InvalidInput for a name that is no domain, or too many."""
    if len(names) > MAX_DOMAINS:
        raise InvalidInput("DOMAIN", f"{len(names)} are too many", f"Give at most {MAX_DOMAINS} at a time")
    wanted = list(dict.fromkeys(normal_domain(name) for name in names))
    if not wanted:
        return settings, []
    ours = [d for d in settings.sending_domains if {normal_domain(d.name), normal_domain(d.return_path)} & set(wanted)]
    known = {normal_domain(name) for d in ours for name in (d.name, d.return_path)}
    return settings.model_copy(update={"sending_domains": ours}), [name for name in wanted if name not in known]


async def examine_others(resolver: Resolver, domains: Iterable[str]) -> list[Finding]:
    """Findings about domains that we do not send for."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(check)
            for domain in domains
            for check in (
                check_spf(resolver, domain, []),
                check_dmarc(resolver, domain),
                check_mx(resolver, domain, f"mail.{domain}"),
                check_alias(resolver, domain),
                check_dane(resolver, domain),
                check_mta_sts(resolver, domain),
                check_tls_reporting(resolver, domain, f"postmaster@{domain}"),
            )
        ]
    return [finding for task in tasks for finding in task.result() if finding.text.id != "spf.untested"]


def _is_stored(settings: Settings) -> bool:
    """False when nothing was ever stored: looking must not make a store."""
    address = make_url(settings.storage.url)
    return address.get_backend_name() != "sqlite" or Path(address.database or "").is_file()


async def seen_selectors(config: Path, resolver: Resolver) -> list[Seen]:
    """Selectors of our domains that reports show and we do not sign with, most used first."""
    if not _is_stored(load_settings(config)):
        return []
    async with desk(config) as d:
        views = Views(build_reports(d.settings, resolver=resolver, stores=d.stores, clock=d.clock))
        found = [one for one in await views.selectors() if not one.ours and not one.safe_to_revoke]
    return [(one.domain, one.selector) for one in sorted(found, key=lambda one: -one.messages)[:MAX_SEEN]]


async def examine_seen(resolver: Resolver, seen: Iterable[Seen], settings: Settings) -> list[Finding]:
    """Findings about selectors that somebody else signs with in our name."""
    ours = {normal_domain(domain.name) for domain in settings.sending_domains}
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(check_seen_selector(resolver, domain, selector))
            for domain, selector in seen
            if domain in ours
        ]
    return [finding for task in tasks for finding in task.result()]
