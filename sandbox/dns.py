"""The sandbox's DNS: a built-in zone behind the Resolver port.

Contract: answers only what was put in; an unlisted name is NameMissing, so that no question leaves the machine and no
mail can reach a real host by mistake.  A name is listed when it has a record of any type: asking it for another
type gives an empty answer, as in DNS.  An empty MX list stands for a null MX (RFC 7505).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

from core.ports import NameMissing, NullMx
from core.state import MxHost
from sandbox.behaviour import Behaviour

NULL_MX_DOMAIN = "nomail.example"


class ZoneResolver:
    """A zone in memory.  Names in A-labels, lower case, without the final dot."""

    def __init__(self) -> None:
        self._mx: dict[str, list[MxHost]] = {}
        self._a: dict[str, list[str]] = {}
        self._txt: dict[str, list[str]] = {}
        self._ptr: dict[str, list[str]] = {}

    def add_mx(self, domain: str, hosts: Iterable[str]) -> None:
        """`hosts` from the most preferred on; none for a null MX."""
        self._mx[domain] = [MxHost(preference=10 * n, host=host) for n, host in enumerate(hosts, 1)]

    def add_address(self, host: str, ip: str, *, reverse: bool = True) -> None:
        """An A record, and (unless `reverse` is false) the PTR record back."""
        self._a.setdefault(host, []).append(ip)
        if reverse:
            self._ptr.setdefault(ip, []).append(host)

    def add_txt(self, name: str, text: str) -> None:
        self._txt.setdefault(name, []).append(text)

    def add_key(self, name: str, kind: str, raw: bytes) -> None:
        """A DKIM key record (RFC 6376 section 3.6.1); replaces the one before."""
        self._txt[name] = [f"v=DKIM1; k={kind}; p={base64.b64encode(raw).decode()}"]

    async def mx(self, domain: str) -> list[MxHost]:
        """As core.ports.Resolver.mx."""
        name = domain.lower().rstrip(".")
        if name in self._mx:
            if not self._mx[name]:
                raise NullMx(name)
            return list(self._mx[name])
        if self._a.get(name):
            return [MxHost(preference=0, host=name)]
        self._must_exist(name)
        return []

    async def addresses(self, host: str) -> list[str]:
        """As core.ports.Resolver.addresses."""
        name = host.lower().rstrip(".")
        self._must_exist(name)
        return list(self._a.get(name, []))

    async def txt(self, name: str) -> list[str]:
        """As core.ports.Resolver.txt."""
        asked = name.lower().rstrip(".")
        self._must_exist(asked)
        return list(self._txt.get(asked, []))

    async def ptr(self, ip: str) -> list[str]:
        """As core.ports.Resolver.ptr."""
        return list(self._ptr.get(ip, []))

    def text_now(self, name: str, prefix: str = "") -> str:
        """The first TXT record that begins with `prefix`, '' without one: for receivers inside the sandbox."""
        return next((text for text in self._txt.get(name.lower(), []) if text.startswith(prefix)), "")

    def _must_exist(self, name: str) -> None:
        if not any(name in records for records in (self._mx, self._a, self._txt)):
            raise NameMissing(name)


def provider_zone(behaviours: Iterable[Behaviour]) -> ZoneResolver:
    """The zone of the providers: their domains' MX records and their hosts' addresses."""
    zone = ZoneResolver()
    zone.add_mx(NULL_MX_DOMAIN, [])
    for behaviour in behaviours:
        for host in behaviour.mx:
            zone.add_address(host, behaviour.address)
        for domain in behaviour.domains:
            zone.add_mx(domain, behaviour.mx)
    return zone
