"""The public addresses that a source of ours is seen from; who only asks this needs none of the checks."""

from __future__ import annotations

import ipaddress

from core.ports import NameMissing, NullMx, Resolver, ResolverFailed


async def source_addresses(resolver: Resolver, bind: str, ehlo: str) -> list[str]:
    """Public addresses that a source is seen from: what it binds, else what its EHLO name leads to.

    Raises ResolverFailed."""
    if bind and is_reachable(bind):
        return [bind]
    try:
        return [ip for ip in await resolver.addresses(ehlo) if is_reachable(ip)]
    except NameMissing:
        return []


def is_reachable(text: str) -> bool:
    """True for an address that the world can reach."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return False
    documentation = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    # documentation addresses stand for public ones in test worlds
    return ip.is_global or any(
        ip in net for net in map(ipaddress.ip_network, documentation) if net.version == ip.version
    )


def is_address(host: str) -> bool:
    """An IP address where a name should stand."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


async def takes_mail(resolver: Resolver, domain: str) -> bool:
    """False only where DNS says that nobody takes mail for the domain."""
    try:
        return bool(await resolver.mx(domain))
    except (NameMissing, NullMx):
        return False
    except ResolverFailed:
        return True  # nothing is known
