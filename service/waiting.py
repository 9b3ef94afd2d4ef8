"""What mail waits for right now: the state of limits, and each thing that stands between a message and its sending.

Contract: reads stores and settings alone, so it says the same in the service and at the command line.  Rates are known
from their buckets; whether connections are full is known to each sender only, and shows as a Held event.
"""

from __future__ import annotations

from dataclasses import dataclass

from config.load import load_providers
from config.model import Settings
from config.provider_limits import owner_rows
from config.tables import OTHER_ROW
from core.clock import iso
from core.events import Deferred, GateState, Held
from core.gcra import Rate, available, opens_at, parse_rate
from core.lane import NO_POOL, UNROUTED, Lane, Source, Traffic, parse_scope
from core.messages import QueueGroup, Submission
from core.ports import Clock
from sender.crew import relay_rows
from sender.limiting.book import LimitBook
from sender.pools import Pools
from service.alerting import sources_now
from service.explain import StoryLine
from storage.stores import Stores

MAX_BUCKETS = 1000
_CLOSED = (GateState.PAUSED, GateState.HARD_STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketState:
    """One bucket of a limit.  `values`: what it is counted by, in the order of `each`; '' when all mail is one."""

    limit: str
    kind: str  # 'messages' or 'openings'
    values: str
    rate: str
    burst: int
    free: int
    opens_at: float  # epoch seconds; the present when something is free


async def bucket_states(stores: Stores, settings: Settings, now: float) -> list[BucketState]:
    """Every bucket that was used lately, fullest first, at most MAX_BUCKETS."""
    if not settings.limits:
        return []
    rates: dict[tuple[str, str], Rate] = {}
    for limit in settings.limits:
        for kind, text in (("messages", limit.messages), ("openings", limit.new_connections)):
            if text:
                rates[kind, limit.name] = parse_rate(text, burst=limit.burst)
    found = []
    for name, tat in (await stores.rates.look()).items():
        kind, _, rest = name.partition(":")
        limit_name, _, values = rest.partition(":")
        rate = rates.get((kind, limit_name))
        if rate is None:
            continue  # of a limit that is configured no more
        found.append(BucketState(
            limit=limit_name, kind=kind, values=values, rate=str(rate), burst=rate.burst,
            free=available(rate, tat, now), opens_at=opens_at(rate, tat, now),
        ))  # fmt: skip
    return sorted(found, key=lambda b: (-b.opens_at, b.free / b.burst, b.limit, b.values))[:MAX_BUCKETS]


async def waits_of(stores: Stores, settings: Settings, message: Submission, clock: Clock) -> list[StoryLine]:
    """What a queued message waits for, as far as it is known."""
    now = clock.now()
    if message.not_before > now:
        return [_line(now, f"not before {iso(message.not_before)}, as its sender asked")]
    last = [e.event for e in await stores.log.of_message(message.message_id) if isinstance(e.event, Deferred)]
    if last and last[-1].retry_at > now:
        return [_line(now, f"the next attempt is at {iso(last[-1].retry_at)}, after: {last[-1].reply}")]
    if message.provider == UNROUTED:
        return [_line(now, "the mail hosts of its domain are not known yet")]
    group = QueueGroup(
        sending_domain=message.sending_domain, provider=message.provider, site=message.site, stream=message.stream,
        campaign=message.campaign, priority=message.priority, fresh=1, retries=0, oldest=now, pool=message.pool,
    )  # fmt: skip
    pools = Pools(settings)
    pool = pools.name(group)
    lines: dict[str, StoryLine] = {}
    table = owner_rows(load_providers(), settings.provider_limits)
    rows = {row.name: row for row in table} | relay_rows(settings.relays)
    book = LimitBook(settings.limits, rows, rows[OTHER_ROW.name], stores.rates, clock)
    tats = await stores.rates.look() if settings.limits else {}
    out = {event.source: event for event in await sources_now(stores.log, now)}
    gates = [gate for gate in await stores.controls.gates() if gate.state in _CLOSED]
    sources = pools.own(group)
    for source in sources:
        traffic = _traffic(message, source)
        for gate in gates:
            if gate.scope.covers(traffic, message.site, pool):
                until = f" until {iso(gate.until)}" if gate.until else ", until somebody resumes it"
                _note(lines, now, f"{gate.scope.key} is {gate.state} by {gate.by}{until}: {gate.reason}")
        if source in out:
            _note(lines, now, f"source {source} is out until {iso(out[source].until)}: {out[source].detail}")
        bounds = book.of(traffic, message.site, pool)
        for bucket in (*bounds.messages, *bounds.openings):
            tat = tats.get(bucket.name, 0.0)
            if not bucket.local and available(bucket.rate, tat, now) == 0:
                _note(
                    lines, now, f"{bucket.label}: nothing free until {iso(opens_at(bucket.rate, tat, now))} ({source})"
                )
    for logged in await stores.log.recent(["Held"], 200):
        held = logged.event
        if isinstance(held, Held) and held.until > now and held.traffic in {_traffic(message, s) for s in sources}:
            why = f"{held.reason} ({held.detail})" if held.detail else held.reason
            _note(lines, now, f"held since {iso(held.at)}: {why}, asked again at {iso(held.until)}")
    if pool != NO_POOL:
        _note(lines, now, f"it goes by pool {pool}: {', '.join(sources)}")
    return list(lines.values()) or [_line(now, "nothing of ours holds it: it goes when a connection is free")]


async def waits_of_lane(stores: Stores, settings: Settings, lane: Lane, now: float) -> list[StoryLine]:
    """Limits that leave a lane's mail nothing at the moment."""
    names = set()
    for limit in settings.limits:
        scope = parse_scope(limit.scope)
        wanted = (
            (scope.source, lane.source),
            (scope.sending_domain, lane.sending_domain),
            (scope.provider, lane.provider),
        )
        if all(part in ("", value) for part, value in wanted):
            names.add(limit.name)
    return [
        _line(now, f"limit {b.limit} {b.values or '(all)'}: {b.rate} {b.kind}: nothing free until {iso(b.opens_at)}")
        for b in await bucket_states(stores, settings, now)
        if b.limit in names and not b.free
    ]


def _traffic(message: Submission, source: Source) -> Traffic:
    lane = Lane(source=source, sending_domain=message.sending_domain, provider=message.provider)
    return Traffic(lane=lane, stream=message.stream, campaign=message.campaign)


def _note(lines: dict[str, StoryLine], now: float, text: str) -> None:
    lines.setdefault(text, _line(now, text))


def _line(now: float, text: str) -> StoryLine:
    return StoryLine(at=now, kind="Waiting", text=f"waits: {text}")
