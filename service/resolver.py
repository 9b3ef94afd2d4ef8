"""DNS for the whole service: dnspython behind core.ports.Resolver, with a cache that keeps to the TTLs.

Contract: positive and negative answers (RFC 2308) are kept for their TTL in real seconds, at most MAX_TTL and
MAX_NEGATIVE_TTL, in a cache of MAX_ENTRIES that forgets the least used first; a failure is kept for FAILURE_TTL, so
that a dead zone is not asked for every message.  Equal questions at one time are asked once; at most MAX_QUERIES
are open.  NXDOMAIN is NameMissing, a null MX (RFC 7505) is NullMx, and whatever says nothing about the name
(SERVFAIL, refusal, time-out, nonsense) is ResolverFailed.  A domain with neither MX nor address has no mail hosts: an
empty list.  Names that DNS cannot carry are NameMissing.

DNSSEC: with `dns.trusted` the AD bit of the name servers is believed (RFC 4035 section 3.2.3) and kept with the answer;
without it nothing is authentic.  TLSA records are asked for only where the host's addresses are authentic: elsewhere
they could prove nothing, and some name servers answer such questions badly (RFC 7672 section 2.2.2).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TLSA import TLSA
from dns.rdtypes.ANY.TXT import TXT

from config.model import Dns
from core.errors import InvalidInput
from core.ports import Clock, NameMissing, NullMx, ResolverFailed
from core.state import MxHost
from core.tls import TlsaAnswer, TlsaRecord

MAX_ENTRIES = 50_000
MAX_TTL = 86_400.0
MAX_NEGATIVE_TTL = 3_600.0  # RFC 2308 section 5 finds one to three hours sensible
FAILURE_TTL = 5.0
MAX_QUERIES = 200
MAX_RECORDS = 100  # of one answer

_Key = tuple[dns.name.Name, dns.rdatatype.RdataType]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Records:
    """What DNS said: records (none when the name has no such type), or that the name is missing, or nothing."""

    rdatas: tuple[dns.rdata.Rdata, ...] = ()
    missing: bool = False
    failure: str = ""
    ttl: float = FAILURE_TTL
    authentic: bool = False


class DnsResolver:
    """Implements core.ports.Resolver.  Raises InvalidInput for name servers that are no addresses."""

    def __init__(self, settings: Dns, clock: Clock) -> None:
        self._clock = clock
        self._cache: OrderedDict[_Key, tuple[float, _Records]] = OrderedDict()
        self._flights: dict[_Key, asyncio.Future[_Records]] = {}
        self._slots = asyncio.Semaphore(MAX_QUERIES)
        try:
            self._dns = dns.asyncresolver.Resolver(configure=not settings.nameservers)
            if settings.nameservers:
                self._dns.nameservers = list(settings.nameservers)
        except (dns.exception.DNSException, ValueError) as error:
            raise InvalidInput(
                "dns.nameservers", "no usable name server", "List addresses, e.g. nameservers = ['127.0.0.1']"
            ) from error
        if settings.nameservers:
            self._dns.port = settings.port
        self._dns.lifetime = settings.timeout_seconds
        self._dns.timeout = settings.timeout_seconds / 2  # one question may get lost
        self._dns.use_edns(0, 0, 1232)
        self._trusted = settings.trusted
        if settings.trusted:
            self._dns.flags = dns.flags.RD | dns.flags.AD  # RFC 6840 section 5.7: AD in the question asks for it

    async def mx(self, domain: str) -> list[MxHost]:
        """See core.ports.Resolver."""
        records = await self._ask(domain, dns.rdatatype.MX)
        hosts = {(record.preference, _text(record.exchange)) for record in records.rdatas if isinstance(record, MX)}
        named = sorted((preference, host) for preference, host in hosts if host)
        if named:
            return [MxHost(preference=p, host=host, authentic=records.authentic) for p, host in named]
        if hosts:
            raise NullMx(f"{domain} takes no mail (null MX)")
        # RFC 5321 section 5.1
        implicit = MxHost(preference=0, host=domain.lower().rstrip("."), authentic=records.authentic)
        return [implicit] if await self.addresses(domain) else []

    async def addresses(self, host: str) -> list[str]:
        """See core.ports.Resolver.  One family that fails is passed over when the other has addresses."""
        four = await self._answer(host, dns.rdatatype.A)
        six = await self._answer(host, dns.rdatatype.AAAA)
        found = [record.to_text() for record in (*four.rdatas, *six.rdatas)]
        if not found:
            for records in (four, six):
                _raise_trouble(host, records)
        return found

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        """See core.ports.TlsaSource."""
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            records = await self._answer(host, kind)
            if records.failure:
                raise ResolverFailed(f"{host}: {records.failure}")
            if not records.authentic:
                return TlsaAnswer()
        found = await self._answer(f"_{port}._tcp.{host.rstrip('.')}", dns.rdatatype.TLSA)
        if found.failure:
            raise ResolverFailed(f"TLSA of {host}: {found.failure}")
        return TlsaAnswer(
            authentic=found.authentic,
            records=tuple(
                TlsaRecord(usage=r.usage, selector=r.selector, matching=r.mtype, data=r.cert)
                for r in found.rdatas
                if isinstance(r, TLSA)
            ),
        )

    async def alias(self, name: str) -> str:
        """The target of the name's CNAME record; '' without one.  Raises ResolverFailed."""
        records = await self._answer(name, dns.rdatatype.CNAME)
        if records.failure:
            raise ResolverFailed(f"{name}: {records.failure}")
        return next((_text(record.target) for record in records.rdatas if isinstance(record, CNAME)), "")

    async def ipv4(self, host: str) -> list[str]:
        """The A records alone: what blocklists answer with.  Raises as `addresses` does."""
        records = await self._ask(host, dns.rdatatype.A)
        return [record.to_text() for record in records.rdatas]

    async def txt(self, name: str) -> list[str]:
        """See core.ports.Resolver."""
        records = await self._ask(name, dns.rdatatype.TXT)
        return [b"".join(r.strings).decode("utf-8", "replace") for r in records.rdatas if isinstance(r, TXT)]

    async def ptr(self, ip: str) -> list[str]:
        """See core.ports.Resolver.  Raises ValueError for what is no address."""
        try:
            name = dns.reversename.from_address(ip)
        except dns.exception.SyntaxError as error:
            raise ValueError(f"{ip!r} is not an IP address") from error
        records = await self._look_up((name, dns.rdatatype.PTR))
        if records.failure:
            raise ResolverFailed(f"{ip}: {records.failure}")
        return sorted(record.to_text().lower().rstrip(".") for record in records.rdatas)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> _Records:
        records = await self._answer(name, kind)
        _raise_trouble(name, records)
        return records

    async def _answer(self, name: str, kind: dns.rdatatype.RdataType) -> _Records:
        try:
            key = (dns.name.from_text(name.lower(), origin=dns.name.root), kind)
        except (dns.exception.DNSException, UnicodeError):
            return _Records(missing=True)
        return await self._look_up(key)

    async def _look_up(self, key: _Key) -> _Records:
        while True:
            kept = self._cache.get(key)
            if kept is not None and kept[0] > self._clock.now():
                self._cache.move_to_end(key)
                return kept[1]
            flight = self._flights.get(key)
            if flight is None:
                return await self._fly(key)
            # a plain wait: cancelling one asker must not take the answer from the others
            await asyncio.wait([flight])
            if not flight.cancelled():
                return flight.result()

    async def _fly(self, key: _Key) -> _Records:
        flight: asyncio.Future[_Records] = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        try:
            async with self._slots:
                records = await self._query(key)
            flight.set_result(records)
            self._keep(key, records)
            return records
        finally:
            del self._flights[key]
            flight.cancel()  # wakes those who wait when this asker was cancelled; no effect on a result

    def _keep(self, key: _Key, records: _Records) -> None:
        if records.ttl <= 0:
            self._cache.pop(key, None)
            return
        self._cache[key] = (self._clock.now() + self._clock.real(records.ttl), records)
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_ENTRIES:
            self._cache.popitem(last=False)

    async def _query(self, key: _Key) -> _Records:
        name, kind = key
        try:
            answer = await self._dns.resolve(name, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            responses = list((error.kwargs.get("responses") or {}).values())
            ttl = min((r.resolve_chaining().minimum_ttl for r in responses), default=FAILURE_TTL)
            authentic = bool(responses) and all(self._is_authentic(r) for r in responses)
            return _Records(missing=True, ttl=min(ttl, MAX_NEGATIVE_TTL), authentic=authentic)
        except dns.resolver.LifetimeTimeout:
            return _Records(failure="no name server answered in time")
        except dns.resolver.NoNameservers as error:
            return _Records(failure=_why(error))
        except (dns.exception.DNSException, OSError) as error:
            return _Records(failure=str(error)[:200] or type(error).__name__)
        ttl = float(answer.chaining_result.minimum_ttl)
        authentic = self._is_authentic(answer.response)
        if answer.rrset is None:
            return _Records(ttl=min(ttl, MAX_NEGATIVE_TTL), authentic=authentic)
        return _Records(rdatas=tuple(answer.rrset)[:MAX_RECORDS], ttl=min(ttl, MAX_TTL), authentic=authentic)

    def _is_authentic(self, response: dns.message.Message) -> bool:
        return self._trusted and bool(response.flags & dns.flags.AD)


def _raise_trouble(name: str, records: _Records) -> None:
    if records.missing:
        raise NameMissing(f"{name} does not exist")
    if records.failure:
        raise ResolverFailed(f"{name}: {records.failure}")


def _text(name: dns.name.Name) -> str:
    """Lower case without the final dot; '' for the root."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _why(error: dns.resolver.NoNameservers) -> str:
    """The last server's word, e.g. SERVFAIL."""
    errors = error.kwargs.get("errors") or []
    last = errors[-1][3] if errors else ""
    return f"name server says {last}"[:200] if last else "no name server gave an answer"
