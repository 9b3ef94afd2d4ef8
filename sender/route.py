"""Where a recipient's domain takes its mail: provider, site and hosts (RFC 5321 section 5.1, RFC 7505).

Contract: `Router.route` answers with a Route or an Unroutable and never raises for what DNS says.  A provider is
recognised only if *every* MX host lies under its names, at a label boundary: a domain that mixes providers is
`other:<site>`.  Hosts come in order of preference, equals in random order.  A null MX is final at once.  NXDOMAIN is
not: it must be seen `PROOF_COUNT` times over `PROOF_SECONDS` without a success between, because names vanish for hours
by mistake.  The proofs are kept in memory: after a restart they start anew, which only ever waits longer.

A relay whose domains and stream fit takes the mail in place of those hosts: its site is `relay:NAME`, so that
connections and rests are those of the relay; the provider stays that of the recipient where DNS names one (complaints
and bounces that come back are theirs), else `relay:NAME`.  Mail for a relay is never Unroutable: the relay may know
names that DNS does not.  A passage says what a policy (MTA-STS) or proof (DNSSEC, for DANE) asks of the connection.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from config.model import Relay
from config.tables import ProviderRow
from core.classify import BounceClass
from core.lane import Provider, Site
from core.ports import NameMissing, NullMx, Resolver, ResolverFailed
from core.reply import Reply, Stage
from core.state import MxHost
from core.tls import FREE_PASSAGE, Passage, StsMode
from sender.sts import permitted
from sender.sts_cache import StsPolicies

MAX_HOSTS = 16  # of one domain: those preferred most
MAX_REMEMBERED = 50_000  # domains
PROOF_COUNT = 4
PROOF_SECONDS = 2 * 86400.0
STALE_SECONDS = 3600.0  # so old a finding still says where to queue mail; it is sent by a fresh one
FRESH_SECONDS = 60.0  # a finding is used again for so long; the resolver's own cache honours the records' TTL
_FIRST_WAIT = 300.0
_LONGEST_WAIT = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where to connect.  `hosts` in the order in which to try them."""

    provider: Provider
    site: Site
    hosts: tuple[str, ...]
    passage: Passage = FREE_PASSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Unroutable:
    """Why there is no way.  `permanent`: the recipient cannot exist; else ask again after `retry_after` seconds."""

    reply: Reply
    bounce_class: BounceClass
    permanent: bool
    retry_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What an MX set says: its hosts in groups of the same preference, whose order within is drawn at each turn."""

    provider: Provider
    site: Site
    groups: tuple[tuple[str, ...], ...]


@dataclass(slots=True, kw_only=True)
class _Record:
    """What is known of one domain."""

    mx: tuple[MxHost, ...] = ()
    way: _Way | None = None
    found_at: float = float("-inf")
    passage: Passage | None = None
    failures: int = 0
    missing: int = 0
    missing_since: float = 0.0


class Router:
    """See the module.  `rng` makes the order among equals repeatable; without `policies` MTA-STS is not asked."""

    def __init__(
        self,
        resolver: Resolver,
        providers: Sequence[ProviderRow],
        rng: random.Random | None = None,
        *,
        relays: Sequence[Relay] = (),
        policies: StsPolicies | None = None,
    ) -> None:
        self._resolver = resolver
        self._relays = tuple(relays)
        self._policies = policies
        self.relayed_streams = tuple(dict.fromkeys(stream for relay in relays for stream in relay.streams))
        self._suffixes = [(Provider(row.name), tuple(name.lower().strip(".") for name in row.mx)) for row in providers]
        self._rng = rng or random.Random()
        self._known: OrderedDict[str, _Record] = OrderedDict()

    async def route(self, domain: str, now: float, stream: str = "") -> Route | Unroutable:
        """The way of a stream's mail to a domain (A-labels, lower case); `now` in epoch seconds."""
        relay = next((relay for relay in self._relays if _fits(relay, domain, stream)), None)
        record = await self._found(domain, now)
        if relay is not None:
            name = f"relay:{relay.name}"
            provider = Provider(name) if isinstance(record, Unroutable) else self._way(record).provider
            passage = Passage(relay=relay.name, domain=domain)
            return Route(provider=provider, site=Site(name), hosts=(relay.host,), passage=passage)
        if isinstance(record, Unroutable):
            return record
        way = self._way(record)  # before the wait, in which a look of somebody else may empty the record
        passage = record.passage or await self._passage(domain, record.mx)
        record.passage = passage
        return Route(provider=way.provider, site=way.site, hosts=self._in_order(way.groups), passage=passage)

    def known(self, domain: str, now: float, stream: str = "") -> tuple[Provider, Site, bool] | None:
        """Provider and site as far as they are known without asking anybody, and whether that is fresh."""
        record = self._known.get(domain)
        if record is None or not record.mx or not 0 <= now - record.found_at < STALE_SECONDS:
            return None
        way = self._way(record)
        relay = next((relay for relay in self._relays if _fits(relay, domain, stream)), None)
        site = way.site if relay is None else Site(f"relay:{relay.name}")
        return way.provider, site, now - record.found_at < FRESH_SECONDS

    async def _found(self, domain: str, now: float) -> _Record | Unroutable:
        record = self._known.setdefault(domain, _Record())
        self._known.move_to_end(domain)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        if not record.mx or not 0 <= now - record.found_at < FRESH_SECONDS:
            record.mx = ()
            try:
                found = await self._resolver.mx(domain)
            except NullMx:
                return self._final(domain, BounceClass.NO_MAIL_HOST, "5.1.10", "the domain takes no mail (null MX)")
            except NameMissing:
                return self._missing(domain, record, now)
            except ResolverFailed as error:
                return self._unknown(record, f"{domain}: DNS gave no answer ({error})"[:300])
            if not found:
                return self._unknown(record, f"{domain} has neither MX nor address records")
            record.mx = tuple(sorted(found, key=lambda m: (m.preference, m.host))[:MAX_HOSTS])
            record.passage = record.way = None
            record.found_at = now
            record.failures = record.missing = 0
        return record

    async def _passage(self, domain: str, mx: Sequence[MxHost]) -> Passage:
        authentic = all(m.authentic for m in mx)
        if self._policies is None:
            return Passage(authentic=authentic, domain=domain)
        found = await self._policies.policy(domain)
        mode = found.policy.mode
        hosts = permitted(found.policy, [m.host.lower().rstrip(".") for m in mx]) if mode is not StsMode.NONE else ()
        return Passage(sts=mode, sts_hosts=hosts, authentic=authentic, domain=domain, sts_failure=found.failure)

    def provider_of(self, hosts: Sequence[str]) -> Provider | None:
        """The provider that all hosts belong to, None when there is no such one."""
        for provider, names in self._suffixes:
            if all(any(host == name or host.endswith("." + name) for name in names) for host in hosts):
                return provider
        return None

    def _way(self, record: _Record) -> _Way:
        if record.way is None:
            groups = tuple(
                tuple(dict.fromkeys(m.host.lower().rstrip(".") for m in equals))
                for _, equals in groupby(record.mx, key=lambda m: m.preference)
            )
            hosts = sorted({name for group in groups for name in group})
            site = Site(",".join(hosts))
            provider = self.provider_of(hosts) or Provider(f"other:{site}")
            record.way = _Way(provider=provider, site=site, groups=groups)
        return record.way

    def _in_order(self, groups: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        if len(groups) == 1 and len(groups[0]) == 1:
            return groups[0]
        hosts: list[str] = []
        for group in groups:
            names = list(group)
            self._rng.shuffle(names)
            hosts += names
        return tuple(dict.fromkeys(hosts))

    def _final(self, domain: str, bounce_class: BounceClass, status: str, text: str) -> Unroutable:
        reply = Reply(
            code=556 if status == "5.1.10" else 550, status=status, text=f"{domain}: {text}", stage=Stage.CONNECT
        )
        return Unroutable(reply=reply, bounce_class=bounce_class, permanent=True, retry_after=0.0)

    def _missing(self, domain: str, record: _Record, now: float) -> Unroutable:
        if not record.missing:
            record.missing_since = now
        record.missing += 1
        if record.missing >= PROOF_COUNT and now - record.missing_since >= PROOF_SECONDS:
            return self._final(
                domain, BounceClass.UNKNOWN_DOMAIN, "5.1.2", "the name has not existed for days (NXDOMAIN)"
            )
        return self._unknown(record, f"{domain} does not exist (NXDOMAIN), to be confirmed")

    def _unknown(self, record: _Record, text: str) -> Unroutable:
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(record.failures, 20))
        record.failures += 1
        reply = Reply(code=0, text=text, stage=Stage.CONNECT)
        return Unroutable(reply=reply, bounce_class=BounceClass.DNS_FAILURE, permanent=False, retry_after=wait)


def _fits(relay: Relay, domain: str, stream: str) -> bool:
    if relay.streams and stream not in relay.streams:
        return False
    patterns = [pattern.lower().rstrip(".") for pattern in relay.domains]
    return not patterns or any(domain == p or (p.startswith("*.") and domain.endswith(p[1:])) for p in patterns)
