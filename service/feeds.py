"""Wires the watches of DNS, blocklists and postmaster feeds, and says what they know.

Contract: `build_feeds` builds what the settings ask for and starts nothing; `jobs` are for the timetable (real
seconds), which gives each a lease, so one node of many does the work; what is known is read from storage, so that
every node can tell it.  In a sandbox nothing is asked of the world: there are no jobs.  Raises InvalidInput when a
secret cannot be read, ConfigError when a table cannot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import aiohttp

from alerts.conditions import Observed
from alerts.watching import CHANGE_TOLD_FOR, ActiveListing, BlindZone, StaleFeed
from collectors.dns.blocklist import ListingWatch
from collectors.dns.finding import Finding
from collectors.dns.history import RecordWatch, Watched, watched_domain
from collectors.dns.listings import Ledger
from collectors.dns.reach import source_addresses
from collectors.dns.sheets import SheetResult
from collectors.dns.zones import Subject, zones_in_use
from collectors.postmaster.feed import Account
from collectors.postmaster.table import FEEDS
from collectors.postmaster.watch import FeedWatch, Polled, is_stale
from config.load import load_zones
from config.model import Feed, Settings
from config.secrets import read_secret
from core.address import normal_domain
from core.events import RecordChanged
from core.lane import DAY, HOUR, cohort_of
from core.metrics import Metric
from core.ports import Clock, Counters, Observations, Resolver, ResolverFailed
from core.state import CounterKey
from service.doctor import examine_dns
from service.job import Job
from service.listings import ListingDesk
from service.resolver import DnsResolver
from service.sheets import evidence, judged
from storage.stores import Stores

_LISTINGS_EVERY = 60.0  # real seconds; what is asked is bounded by each zone's interval
_FEEDS_EVERY = 300.0
_FINDINGS_KEPT = 900.0  # seconds that DNS findings serve the sheets
_VOLUMES_KEPT = 600.0
_CHANGES = 200


class Feeds:
    """See the module.  Build with `build_feeds`."""

    def __init__(
        self,
        *,
        settings: Settings,
        resolver: Resolver,
        stores: Stores,
        clock: Clock,
        desk: ListingDesk | None,
        records: RecordWatch | None,
        feeds: FeedWatch | None,
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._stores = stores
        self._clock = clock
        self._desk = desk
        self._records = records
        self._feeds = feeds
        self._findings: tuple[float, list[Finding]] | None = None
        self._asking = asyncio.Lock()

    @property
    def clock(self) -> Clock:
        """The clock that what is known is dated by."""
        return self._clock

    @property
    def observations(self) -> Observations:
        """Figures of the postmaster feeds."""
        return self._stores.observations

    @property
    def jobs(self) -> list[Job]:
        """What the timetable has to run."""
        found: list[Job] = []
        if self._desk is not None:
            found.append(Job(name="blocklists", seconds=_LISTINGS_EVERY, work=self._desk.look))
        if self._records is not None:
            seconds = max(1.0, self._settings.records.poll_minutes * 60 / self._clock.rate)
            found.append(Job(name="dns records", seconds=seconds, work=self._records.look))
        if self._feeds is not None:
            found.append(Job(name="postmaster feeds", seconds=_FEEDS_EVERY, work=self._feeds.look))
        return found

    async def ledger(self) -> Ledger:
        """What is known about blocklists."""
        return await self._desk.watch.ledger() if self._desk is not None else Ledger()

    async def complete(self, seen: Observed, now: float) -> Observed:
        """`seen` with what these watches know: for alerts.conditions."""
        ledger = await self.ledger()
        changes = [
            logged.event
            for logged in await self._stores.log.recent(["RecordChanged"], _CHANGES)
            if isinstance(logged.event, RecordChanged) and now - logged.event.at < CHANGE_TOLD_FOR
        ]
        return replace(
            seen,
            listings=tuple(
                ActiveListing(
                    kind=mark.kind, name=mark.name, subject=mark.subject, zone=mark.zone, since=mark.since,
                    text=mark.text, delist=mark.delist, holds=mark.weight != "warn",
                )
                for mark in ledger.listings
            ),
            blind_zones=tuple(
                BlindZone(zone=one.zone, since=one.blind_since, problem=one.problem) for one in ledger.blind
            ),
            records=tuple(changes),
            stale_feeds=await self._stale(now),
        )  # fmt: skip

    async def sheets(self) -> list[SheetResult]:
        """The requirement sheets; DNS is asked at most every quarter of an hour."""
        async with self._asking:  # several viewers ask DNS once
            now = self._clock.now()
            kept = self._findings
            if kept is None or not 0 <= now - kept[0] < self._clock.real(_FINDINGS_KEPT):
                kept = self._findings = (now, await examine_dns(self._settings, self._resolver))
        counters, observations = await evidence(self._stores.counters, self._stores.observations, now)
        return judged(self._settings, kept[1], counters, observations, kept[0])

    async def _stale(self, now: float) -> tuple[StaleFeed, ...]:
        if self._feeds is None:
            return ()
        health = await self._feeds.health()
        found = []
        for feed in self._settings.feeds:
            one = health[feed.name]
            if is_stale(one, now, stale_days=feed.stale_days):
                newest = (one.newest_day + 1) * DAY if one.newest_day else one.first
                since = one.failing_since or newest
                found.append(StaleFeed(name=feed.name, kind=feed.kind, since=since, problem=one.problem or one.unkept))
        return tuple(found)


def build_feeds(
    settings: Settings,
    *,
    resolver: Resolver,
    stores: Stores,
    clock: Clock,
    session: aiohttp.ClientSession,
    sandbox: bool = False,
) -> Feeds:
    """See the module."""
    watching = not sandbox
    return Feeds(
        settings=settings, resolver=resolver, stores=stores, clock=clock,
        desk=_desk(settings, resolver, stores, clock) if settings.blocklists.enabled and watching else None,
        records=_records(settings, resolver, stores, clock) if settings.records.enabled and watching else None,
        feeds=_feeds(settings, stores, clock, session) if settings.feeds and watching else None,
    )  # fmt: skip


def _desk(settings: Settings, resolver: Resolver, stores: Stores, clock: Clock) -> ListingDesk:
    given = settings.blocklists
    keys = {key.name: read_secret(key.key_file).strip() for key in given.keys}
    watch = ListingWatch(
        zones=zones_in_use(load_zones(settings), also=given.also, skip=given.skip, keys=keys),
        subjects=lambda: _subjects(settings, resolver),
        # half the queries of `addresses`, which asks for IPv6 as well
        ask=resolver.ipv4 if isinstance(resolver, DnsResolver) else resolver.addresses,
        texts=resolver.txt, log=stores.log, meta=stores.meta, clock=clock, interval=given.interval_hours * HOUR,
    )  # fmt: skip
    return ListingDesk(
        watch=watch, controls=stores.controls, counters=stores.counters, clock=clock, spare=settings.transactional,
        probe=given.probe_messages,
    )  # fmt: skip


async def _subjects(settings: Settings, resolver: Resolver) -> list[Subject]:
    """Public addresses of every source ('' while they cannot be known) and every sending domain."""
    found: list[Subject] = []
    for source in settings.sources:
        addresses = await _addresses(resolver, source.bind, source.ehlo)
        found += [Subject(kind="source", name=source.name, value=value) for value in addresses or [""]]
    found += [
        Subject(kind="sending_domain", name=domain.name, value=normal_domain(domain.name))
        for domain in settings.sending_domains
    ]
    return found


async def _addresses(resolver: Resolver, bind: str, ehlo: str) -> list[str]:
    try:
        return await source_addresses(resolver, bind, ehlo)
    except ResolverFailed:
        return []


def _records(settings: Settings, resolver: Resolver, stores: Stores, clock: Clock) -> RecordWatch:
    async def watched() -> Sequence[Watched]:
        found: list[Watched] = []
        for domain in settings.sending_domains:
            selectors = [key.selector for key in domain.dkim]
            found += watched_domain(normal_domain(domain.name), normal_domain(domain.return_path), selectors)
        for source in settings.sources:
            found += [Watched(name=ip, type="PTR") for ip in await _addresses(resolver, source.bind, source.ehlo)]
        return found

    return RecordWatch(watched=watched, resolver=resolver, log=stores.log, meta=stores.meta, clock=clock)


def _feeds(settings: Settings, stores: Stores, clock: Clock, session: aiohttp.ClientSession) -> FeedWatch:
    return FeedWatch(
        feeds=[_polled(feed) for feed in settings.feeds], session=session, store=stores.observations,
        volumes=Volumes(stores.counters, clock).delivered, meta=stores.meta, clock=clock,
    )  # fmt: skip


def _polled(feed: Feed) -> Polled:
    row = FEEDS[feed.kind]
    account = Account(
        name=feed.name, subjects=tuple(feed.subjects), secret=read_secret(feed.secret_file).strip(),
        secret_file=feed.secret_file,
        url=(feed.url or row.url).rstrip("/"), token_url=(feed.token_url or row.token_url).rstrip("/"),
    )  # fmt: skip
    return Polled(row=row, account=account, poll=feed.poll_hours * HOUR)


class Volumes:
    """What we delivered, by provider, sending domain and day; counters are read at most every ten minutes."""

    def __init__(self, counters: Counters, clock: Clock) -> None:
        self._counters = counters
        self._clock = clock
        self._kept: tuple[float, int, dict[CounterKey, int]] | None = None

    async def delivered(self, provider: str, subject: str, day: int) -> int:
        """Messages first sent on that UTC day that `provider` took from sending domain `subject`."""
        first = cohort_of(day * DAY)
        now = self._clock.now()
        if self._kept is None or now - self._kept[0] > _VOLUMES_KEPT or first < self._kept[1]:
            self._kept = (now, first, await self._counters.load(first))
        total = 0
        for key, n in self._kept[2].items():
            lane, cohort = key.attribution.traffic.lane, key.attribution.cohort
            if (
                key.metric == Metric.DELIVERED
                and first <= cohort < first + 24
                and (lane.provider, lane.sending_domain) == (provider, subject)
            ):
                total += n
        return total
