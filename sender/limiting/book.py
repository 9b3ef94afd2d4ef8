"""The limits in force: which of them bound one kind of mail by one source at one site, and what they say now.

Contract: `of` finds the bounds of a kind (remembered); the rest answers for bounds.  Message rates and openings of
`[[limits]]` live in buckets that every process shares (core.rate_ports.Rates): `take` and `open` are the truth, `room`
and `blocked` a hint from what this process last heard, believed for BELIEVED seconds.  Openings of the provider table
are counted here, each process having the part of them that it has of the connections.  Open connections are counted
here and divided among the processes of the node.  Without a limit nothing is asked of storage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from config.egress import Limit
from config.tables import ProviderRow
from core.decision import Defer, DeferReason
from core.gcra import Rate, available, given_back, opens_at, parse_rate, taken
from core.lane import Scope, Traffic, parse_scope
from core.ports import Clock
from core.rate_ports import Rates
from sender.board import Kind
from sender.limiting.turns import Turns

BELIEVED = 10.0  # real seconds that a bucket is taken to be as it was last heard to be
ASK_AGAIN = 1.0  # real seconds, where the end of a connection is awaited: it wakes the loop anyway
MAX_KNOWN = 20_000
_MAIL = frozenset({"stream", "campaign", "pool"})  # what a connection as such has not
_Key: TypeAlias = tuple[Traffic, str, str]


@dataclass(slots=True)
class Bucket:
    """One rate of one limit for one combination of values.  `local`: of this process alone."""

    name: str
    label: str
    rate: Rate
    local: bool
    turns: Turns[Kind]
    tat: float = 0.0
    heard_at: float = 0.0

    def wait(self, now: float) -> Defer:
        """Until a unit is free."""
        return Defer(until=max(opens_at(self.rate, self.tat, now), now), reason=DeferReason.LIMITED, detail=self.label)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Connections that are counted together: at most `most` in this process."""

    name: str
    label: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What bounds one kind of mail by one source at one site."""

    messages: tuple[Bucket, ...] = ()
    openings: tuple[Bucket, ...] = ()
    open: tuple[Crowd, ...] = ()  # connections, whatever they carry
    busy: tuple[Crowd, ...] = ()  # connections that carry such mail at the moment
    per_connection: int = 0  # messages; 0: as the provider table says

    @property
    def is_elsewhere(self) -> bool:
        """True where there are fewer connections than processes and this one has none: others carry that mail."""
        return any(crowd.most == 0 for crowd in (*self.open, *self.busy))


NO_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class _Row:
    """A limit of the settings, read."""

    limit: Limit
    scope: Scope
    mail: bool  # looks at what a connection carries, not only at where it goes
    messages: Rate | None = field(default=None)
    openings: Rate | None = field(default=None)


class LimitBook:
    """See the module.  `share`: (which, of how many) of the node's processes."""

    def __init__(
        self,
        limits: Sequence[Limit],
        rows: Mapping[str, ProviderRow],
        other: ProviderRow,
        rates: Rates,
        clock: Clock,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._limits = [_read(limit) for limit in limits]
        self._rows = rows
        self._other = other
        self._rates = rates
        self._clock = clock
        self._share = share
        self._buckets: dict[str, Bucket] = {}
        self._known: dict[_Key, Bounds] = {}
        self._count: Counter[str] = Counter()

    def of(self, traffic: Traffic, site: str, pool: str) -> Bounds:
        """The bounds of this mail."""
        key = (traffic, site, pool)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
                self._buckets = {n: b for n, b in self._buckets.items() if b.tat > self._clock.now()}
            found = self._known[key] = self._find(traffic, site, pool)
        return found

    # --- messages ----------------------------------------------------------------------------------------------------
    def room(self, bounds: Bounds, kind: Kind, priority: int, wanted: int, now: float) -> int | Defer:
        """How many messages may go now, as far as is known here; or until when none may."""
        room, wait = wanted, None
        for bucket in bounds.messages:
            free = available(bucket.rate, bucket.tat, now)
            if free == 0 and now - bucket.heard_at > self._clock.real(BELIEVED):
                free = 1  # others may have given back what they took: ask
            if free == 0 or not bucket.turns.may(kind, priority, now):
                found = bucket.wait(now)
                wait = found if wait is None or found.until > wait.until else wait
            room = min(room, free)
        if wait is not None:
            for bucket in bounds.messages:
                bucket.turns.refused(kind, priority, now)
            return wait
        return max(1, room)

    async def take(self, bounds: Bounds, kind: Kind, priority: int, wanted: int, now: float) -> int:
        """Take up to so many from every bucket.  How many were granted."""
        granted = await self._take(bounds.messages, wanted, now)
        for bucket in bounds.messages:
            if granted:
                bucket.turns.took(kind, priority, granted, now)
            else:
                bucket.turns.refused(kind, priority, now)
        return granted

    async def give_back(self, bounds: Bounds, units: int) -> None:
        """So many of what was granted were not used."""
        await self._rates.give_back([(b.name, b.rate) for b in bounds.messages], units)
        for bucket in bounds.messages:
            bucket.tat = given_back(bucket.rate, bucket.tat, units)

    # --- connections -------------------------------------------------------------------------------------------------
    def blocked(self, bounds: Bounds, now: float) -> Defer | None:
        """Why no connection may be opened for such mail now; None when one may."""
        for crowd in (*bounds.open, *bounds.busy):
            if self._count[crowd.name] >= crowd.most:
                return self._full(crowd, now)
        for bucket in bounds.openings:
            believed = bucket.local or now - bucket.heard_at <= self._clock.real(BELIEVED)
            if believed and available(bucket.rate, bucket.tat, now) == 0:
                return bucket.wait(now)
        return None

    def crowded(self, bounds: Bounds, now: float) -> Defer | None:
        """Why no further connection may carry such mail now."""
        return next((self._full(c, now) for c in bounds.busy if self._count[c.name] >= c.most), None)

    async def open(self, bounds: Bounds, now: float) -> bool:
        """A connection is about to be opened.  False when it may not be."""
        local = [bucket for bucket in bounds.openings if bucket.local]
        if any(available(bucket.rate, bucket.tat, now) == 0 for bucket in local):
            return False
        shared = [bucket for bucket in bounds.openings if not bucket.local]
        if shared and not await self._take(shared, 1, now):
            return False
        for bucket in local:
            bucket.tat = taken(bucket.rate, bucket.tat, now, 1)
        return True

    def enter(self, crowds: Sequence[Crowd]) -> None:
        """One connection more."""
        self._count.update(crowd.name for crowd in crowds)

    def leave(self, crowds: Sequence[Crowd]) -> None:
        """One connection less."""
        for crowd in crowds:
            self._count[crowd.name] -= 1
            if self._count[crowd.name] <= 0:
                del self._count[crowd.name]

    @property
    def connections(self) -> dict[str, int]:
        """Open connections by the name of each crowd that a limit counts."""
        return dict(self._count)

    # --- parts -------------------------------------------------------------------------------------------------------
    async def _take(self, buckets: Sequence[Bucket], units: int, now: float) -> int:
        granted, tats = await self._rates.take([(b.name, b.rate) for b in buckets], units, now)
        for bucket in buckets:
            bucket.tat, bucket.heard_at = tats[bucket.name], now
        return granted

    def _full(self, crowd: Crowd, now: float) -> Defer:
        return Defer(until=now + self._clock.real(ASK_AGAIN), reason=DeferReason.LIMITED, detail=crowd.label)

    def _find(self, traffic: Traffic, site: str, pool: str) -> Bounds:
        messages: list[Bucket] = []
        openings: list[Bucket] = []
        crowds: dict[bool, list[Crowd]] = {False: [], True: []}
        per_connection = 0
        values = values_of(traffic, site, pool)
        for row in self._limits:
            limit = row.limit
            if not row.scope.covers(traffic, site, pool):
                continue
            name = bucket_name(limit, values)
            if row.messages is not None:
                messages.append(self._bucket(f"messages:{name}", _label(limit, row.messages, "messages"), row.messages))
            if row.openings is not None:
                openings.append(self._bucket(f"openings:{name}", _label(limit, row.openings, "openings"), row.openings))
            if limit.connections:
                most = part_of(limit.connections, *self._share)
                label = f"limit {limit.name}: {limit.connections} connections"
                crowds[row.mail].append(Crowd(f"connections:{name}", label, most))
            if limit.messages_per_connection:
                per_connection = min(per_connection or limit.messages_per_connection, limit.messages_per_connection)
        openings += self._row_openings(traffic, site)
        return Bounds(
            messages=tuple(messages), openings=tuple(openings), open=tuple(crowds[False]), busy=tuple(crowds[True]),
            per_connection=per_connection,
        )  # fmt: skip

    def _row_openings(self, traffic: Traffic, site: str) -> list[Bucket]:
        counted = site if site.startswith("relay:") else traffic.lane.provider
        row = self._rows.get(counted, self._other)
        part = part_of(row.connections, *self._share) / row.connections
        if not row.new_connections_per_minute or not part:
            return []
        rate = Rate(
            count=row.new_connections_per_minute * part, seconds=60.0, burst=max(1, round(row.connections * part))
        )
        label = f"{counted}: {row.new_connections_per_minute} new connections a minute from {traffic.lane.source}"
        return [self._bucket(f"table:{traffic.lane.source}|{counted}", label, rate, local=True)]

    def _bucket(self, name: str, label: str, rate: Rate, *, local: bool = False) -> Bucket:
        found = self._buckets.get(name)
        if found is None:
            turns: Turns[Kind] = Turns(self._clock.real(1.0))
            found = self._buckets[name] = Bucket(name, label, rate, local, turns)
        return found


def part_of(connections: int, index: int, of: int) -> int:
    """The connections of one of `of` processes: together they have exactly so many; where there are fewer than
    processes, some have none there and leave that place to the others."""
    return connections // of + (index < connections % of)


def bucket_name(limit: Limit, values: Mapping[str, str]) -> str:
    """The limit's name and the values that it is counted by."""
    return ":".join([limit.name, *(values[dimension] for dimension in limit.each)])


def values_of(traffic: Traffic, site: str, pool: str) -> dict[str, str]:
    """What a limit may be counted by."""
    lane = traffic.lane
    return {
        "source": lane.source, "sending_domain": lane.sending_domain, "provider": lane.provider, "lane": lane.key,
        "site": site, "pool": pool, "stream": traffic.stream, "campaign": traffic.campaign,
    }  # fmt: skip


def _read(limit: Limit) -> _Row:
    scope = parse_scope(limit.scope)
    return _Row(
        limit=limit, scope=scope, mail=bool(_MAIL & {*limit.each}) or any(getattr(scope, name) for name in _MAIL),
        messages=parse_rate(limit.messages, burst=limit.burst) if limit.messages else None,
        openings=parse_rate(limit.new_connections, burst=limit.burst) if limit.new_connections else None,
    )  # fmt: skip


def _label(limit: Limit, rate: Rate, what: str) -> str:
    return f"limit {limit.name}: {rate} {what}"
