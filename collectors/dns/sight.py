"""What only a whole resolver can tell: aliases and TLSA records.  With a plainer one these checks say nothing."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from core.ports import Resolver, ResolverFailed
from core.tls import TlsaAnswer


@runtime_checkable
class Sight(Protocol):
    """Beside core.ports.Resolver."""

    async def alias(self, name: str) -> str:
        """What the name is an alias (CNAME) of; '' when it is none or missing.  Raises ResolverFailed."""
        ...

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        """See core.ports.TlsaSource."""
        ...


async def alias_of(resolver: Resolver, name: str) -> str:
    """'' also when nothing is known."""
    if not isinstance(resolver, Sight):
        return ""
    try:
        return await resolver.alias(name)
    except ResolverFailed:
        return ""


async def tlsa_of(resolver: Resolver, host: str, port: int = 25) -> TlsaAnswer:
    """Not authentic and empty also when nothing is known."""
    if not isinstance(resolver, Sight):
        return TlsaAnswer()
    try:
        return await resolver.tlsa(host, port)
    except ResolverFailed:
        return TlsaAnswer()
