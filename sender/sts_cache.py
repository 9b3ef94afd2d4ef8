"""MTA-STS policies of recipient domains: found, kept and renewed (RFC 8461 sections 3.1, 3.3 and 5.1).

Contract: `policy` never raises and never asks the web for a domain that announces nothing.  A policy is kept, also
over restarts, until its `max_age` is over: a host that hinders the fetch, or takes the TXT record away, cannot undo
it.  It is fetched anew when the announced id changes, and once a day before it runs out.  After a failed fetch the
domain is left alone for FAILED_SECONDS, with the policy known before, if any.  Equal questions at one time are asked
once.  `failure` of what comes back tells why there is none, for TLS reports.

Bounded: MAX_REMEMBERED domains in memory; on disk BUCKETS values of at most BUCKET_SIZE policies, the newest ones.
The store is shared by all processes; two that write one bucket at the same moment cost a fetch later, nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections import OrderedDict
from dataclasses import dataclass

from core.ports import Clock, Meta, NameMissing, PolicyFetcher, Resolver, ResolverFailed
from core.tls import StsMode, StsProblem, TlsFailure
from sender.sts import Policy, parse_policy, parse_record

logger = logging.getLogger("penstock.sender")
MAX_REMEMBERED = 20_000
BUCKETS = 1024
BUCKET_SIZE = 16
FAILED_SECONDS = 300.0  # RFC 8461 section 3.3: no more than one try in five minutes
RENEW_SECONDS = 86_400.0
NO_POLICY = Policy(mode=StsMode.NONE, max_age=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of a domain: its policy (mode NONE without one) and why there is none, if something failed."""

    policy: Policy = NO_POLICY
    failure: TlsFailure = TlsFailure.NONE


@dataclass(slots=True, kw_only=True)
class _Entry:
    """`id` of the policy, `at` when it was fetched, `tried_at` when a fetch was last begun."""

    id: str = ""
    policy: Policy = NO_POLICY
    at: float = 0.0
    tried_at: float = float("-inf")
    failure: TlsFailure = TlsFailure.NONE

    def valid(self, now: float) -> bool:
        return bool(self.id) and now < self.at + self.policy.max_age


class StsPolicies:
    """See the module."""

    def __init__(self, resolver: Resolver, fetcher: PolicyFetcher, meta: Meta, clock: Clock) -> None:
        self._resolver = resolver
        self._fetcher = fetcher
        self._meta = meta
        self._clock = clock
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._flights: dict[str, asyncio.Future[None]] = {}

    async def policy(self, domain: str) -> Found:
        """The policy that holds now for a recipient domain (A-labels, lower case)."""
        while (flight := self._flights.get(domain)) is not None:
            await asyncio.wait([flight])  # a plain wait: one asker's cancellation is not the others'
        flight = asyncio.get_running_loop().create_future()
        self._flights[domain] = flight
        try:
            return await self._find(domain)
        finally:
            del self._flights[domain]
            flight.cancel()

    async def _find(self, domain: str) -> Found:
        entry = self._known.get(domain)
        if entry is None:
            entry = await _stored(self._meta, domain)
            self._known[domain] = entry
        self._known.move_to_end(domain)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        now = self._clock.now()
        announced = await self._announced(domain)
        wanted = announced and (
            announced != entry.id or not entry.valid(now) or now - entry.at >= min(RENEW_SECONDS, entry.policy.max_age)
        )
        if wanted and now - entry.tried_at >= FAILED_SECONDS:
            await self._fetch(domain, announced, entry, now)
        if entry.valid(now):
            return Found(policy=entry.policy)
        return Found(failure=entry.failure if announced else TlsFailure.NONE)

    async def _announced(self, domain: str) -> str:
        try:
            return parse_record(await self._resolver.txt(f"_mta-sts.{domain}"))
        except (NameMissing, ResolverFailed):
            return ""

    async def _fetch(self, domain: str, announced: str, entry: _Entry, now: float) -> None:
        entry.tried_at = now
        try:
            policy = parse_policy(await self._fetcher.fetch(domain))
        except StsProblem as problem:
            entry.failure = problem.failure
            logger.info("MTA-STS policy of %s: %s", domain, problem)
            return
        entry.id, entry.policy, entry.at, entry.failure = announced, policy, now, TlsFailure.NONE
        await self._store(domain, entry)

    # --- the store -------------------------------------------------------------------------------
    async def _store(self, domain: str, entry: _Entry) -> None:
        bucket = await _bucket(self._meta, domain)
        bucket.pop(domain, None)
        bucket[domain] = {
            "id": entry.id, "at": entry.at, "mode": str(entry.policy.mode), "max_age": entry.policy.max_age,
            "mx": list(entry.policy.mx),
        }  # fmt: skip
        while len(bucket) > BUCKET_SIZE:
            bucket.pop(next(iter(bucket)))
        await self._meta.put(_name(domain), json.dumps(bucket))


async def stored_policy(meta: Meta, domain: str) -> Policy:
    """The policy that was fetched last, by whichever process; mode NONE when there is none."""
    return (await _stored(meta, domain)).policy


async def _stored(meta: Meta, domain: str) -> _Entry:
    row = (await _bucket(meta, domain)).get(domain)
    if not isinstance(row, dict):
        return _Entry()
    try:
        policy = Policy(mode=StsMode(row["mode"]), max_age=int(row["max_age"]), mx=tuple(map(str, row["mx"])))
        return _Entry(id=str(row["id"]), policy=policy, at=float(row["at"]))
    except (KeyError, TypeError, ValueError):
        return _Entry()  # written by another version: it is fetched again


async def _bucket(meta: Meta, domain: str) -> dict[str, object]:
    try:
        found = json.loads(await meta.get(_name(domain)) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _name(domain: str) -> str:
    return f"mta-sts/{zlib.crc32(domain.encode()) % BUCKETS}"
