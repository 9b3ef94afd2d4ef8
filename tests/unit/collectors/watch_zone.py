"""A hermetic Resolver from zone text: one record a line, `NAME TYPE VALUE`; any other name is NXDOMAIN.

TYPE is A, AAAA, MX (`10 host`, or `0 .` for a null MX), TXT, PTR (NAME is then the address), CNAME, TLSA (`3 1 1 hex`,
NAME is the host; authentic) or FAIL (SERVFAIL).  An alias has no other records; what stands behind it is looked up.
"""

from __future__ import annotations

from core.ports import NameMissing, NullMx, ResolverFailed
from core.state import MxHost
from core.tls import TlsaAnswer, TlsaRecord


class Zone:
    """See the module."""

    def __init__(self, text: str) -> None:
        self._records: dict[tuple[str, str], list[str]] = {}
        self._names: set[str] = set()
        self.asked = 0
        for line in filter(None, map(str.strip, text.splitlines())):
            name, kind, value = (*line.split(None, 2), "")[:3]
            self._records.setdefault((name, kind), []).append(value)
            self._names.add(name)

    def _get(self, name: str, *kinds: str) -> list[str]:
        self.asked += 1
        wild = "*." + name.partition(".")[2]
        if ("FAIL" in {k for n, k in self._records if n == name}) or (wild, "FAIL") in self._records:
            raise ResolverFailed(f"{name}: SERVFAIL")
        target = next(iter(self._records.get((name, "CNAME"), [])), "")
        if target and kinds != ("CNAME",):
            return self._get(target, *kinds)
        if name not in self._names and wild in self._names:
            name = wild
        if name not in self._names and not any(n.endswith("." + name) for n in self._names):
            raise NameMissing(name)
        return [value for kind in kinds for value in self._records.get((name, kind), [])]

    async def mx(self, domain: str) -> list[MxHost]:
        hosts = [value.split() for value in self._get(domain, "MX")]
        if any(host == "." for _, host in hosts):
            raise NullMx(domain)
        if not hosts and self._get(domain, "A", "AAAA"):
            return [MxHost(preference=0, host=domain)]
        return sorted((MxHost(preference=int(p), host=h) for p, h in hosts), key=lambda mx: mx.preference)

    async def addresses(self, host: str) -> list[str]:
        return self._get(host, "A", "AAAA")

    async def txt(self, name: str) -> list[str]:
        return self._get(name, "TXT")

    async def ptr(self, ip: str) -> list[str]:
        return self._get(ip, "PTR")

    async def alias(self, name: str) -> str:
        try:
            return next(iter(self._get(name, "CNAME")), "")
        except NameMissing:
            return ""

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        try:
            found = [value.split() for value in self._get(host, "TLSA")]
        except NameMissing:
            return TlsaAnswer()
        records = (
            TlsaRecord(usage=int(u), selector=int(s), matching=int(m), data=bytes.fromhex(d)) for u, s, m, d in found
        )
        return TlsaAnswer(authentic=True, records=tuple(records))
