"""What mail waits for right now: the state of limits, and each thing that stands between a message and its sending.

Contract: reads stores and settings alone, so it says the same in the service and at the command line.  Rates are known
from their buckets; whether connections are full is known to each sender only, and shows as a Held event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alerts.words import Language
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
from core.state import Gate
from sender.crew import relay_rows
from sender.limiting.book import LimitBook
from sender.pools import Pools
from service.alerting import sources_now
from service.telling import Teller, reasons_of
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


async def waits_of(
    stores: Stores, settings: Settings, message: Submission, clock: Clock, language: Language = "en"
) -> list[str]:
    """What a queued message waits for besides gates, as far as it is known."""
    now, t = clock.now(), Teller(language)
    if message.not_before > now:
        return [_line(t, "not_before", at=iso(message.not_before))]
    last = [e.event for e in await stores.log.of_message(message.message_id) if isinstance(e.event, Deferred)]
    if last and last[-1].retry_at > now:
        return [_line(t, "next_attempt", at=iso(last[-1].retry_at), reply=last[-1].reply)]
    if message.provider == UNROUTED:
        return [_line(t, "no_host")]
    group, pools = _group(message, now), Pools(settings)
    pool, sources = pools.name(group), pools.own(group)
    lines: list[str] = []
    table = owner_rows(load_providers(), settings.provider_limits)
    rows = {row.name: row for row in table} | relay_rows(settings.relays)
    book = LimitBook(settings.limits, rows, rows[OTHER_ROW.name], stores.rates, clock)
    tats = await stores.rates.look() if settings.limits else {}
    out = {event.source: event for event in await sources_now(stores.log, now)}
    for source in sources:
        if source in out:
            lines.append(_line(t, "source_out", source=source, until=iso(out[source].until), detail=out[source].detail))
        bounds = book.of(_traffic(message, source), message.site, pool)
        for bucket in (*bounds.messages, *bounds.openings):
            tat = tats.get(bucket.name, 0.0)
            if not bucket.local and available(bucket.rate, tat, now) == 0:
                until = iso(opens_at(bucket.rate, tat, now))
                lines.append(_line(t, "bucket", label=t.reason(bucket.label), until=until, source=source))
    held = [
        e.event
        for e in await stores.log.recent(["Held"], 200)
        if isinstance(e.event, Held) and e.event.until > now and _concerns(e.event, message, sources)
    ]
    if held:
        gates = [e.event for e in await stores.log.recent(["GateChanged"], 200)]
        t = Teller(language, reasons_of(gates, language))
        for event in held:
            why, detail = t.name(event.reason), t.detail(event.detail)
            lines.append(_line(t, "held_since", since=iso(event.at), reason=why, detail=detail, until=iso(event.until)))
    closed = any(gate.state in _CLOSED for gate in covering(settings, message, await stores.controls.gates()))
    if pool != NO_POOL:
        lines.append(_line(t, "pool", pool=pool, sources=", ".join(sources)))
    return list(dict.fromkeys(lines)) or ([] if closed else [_line(t, "free")])


def ways_of(settings: Settings, message: Submission) -> list[Traffic]:
    """Each way that a queued message may go; none while its route is unknown."""
    if message.provider == UNROUTED:
        return []
    return [_traffic(message, source) for source in Pools(settings).own(_group(message, 0.0))]


def covering(settings: Settings, message: Submission, gates: Iterable[Gate]) -> list[Gate]:
    """The gates over some way that a queued message may go."""
    if message.provider == UNROUTED:
        return []
    pool = Pools(settings).name(_group(message, 0.0))
    ways = ways_of(settings, message)
    return [gate for gate in gates if any(gate.scope.covers(way, message.site, pool) for way in ways)]


def _concerns(held: Held, message: Submission, sources: Sequence[Source]) -> bool:
    return held.traffic in {_traffic(message, source) for source in sources}


def _group(message: Submission, now: float) -> QueueGroup:
    return QueueGroup(
        sending_domain=message.sending_domain, provider=message.provider, site=message.site, stream=message.stream,
        campaign=message.campaign, priority=message.priority, fresh=1, retries=0, oldest=now, pool=message.pool,
        list_source=message.list_source,
    )  # fmt: skip


async def waits_of_lane(
    stores: Stores, settings: Settings, lane: Lane, now: float, language: Language = "en"
) -> list[str]:
    """Limits that leave a lane's mail nothing at the moment."""
    names, t = set(), Teller(language)
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
        _line(
            t, "limit", limit=b.limit, values=b.values or t.say("all"), rate=b.rate, kind=t.name(b.kind),
            until=iso(b.opens_at),
        )
        for b in await bucket_states(stores, settings, now)
        if b.limit in names and not b.free
    ]  # fmt: skip


def _traffic(message: Submission, source: Source) -> Traffic:
    lane = Lane(source=source, sending_domain=message.sending_domain, provider=message.provider)
    return Traffic(
        lane=lane, stream=message.stream, campaign=message.campaign, list_source=message.list_source
    )  # fmt: skip


def _line(t: Teller, key: str, **fields: object) -> str:
    return "  " + t.say("waits", what=t.say(key, **fields))
