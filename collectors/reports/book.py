"""Folds the log into what receivers' reports are compared with: deliveries by hour, TLS sessions by day.  Pure.

A delivery counts in the hour in which the receiver took it, for that is when the receiver counted it; a message that
was refused only after its end had been seen may be in the receiver's count or not, so it is kept beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, replace
from typing import TypeAlias

from core.events import Bounced, Deferred, Delivered, Event, TlsNegotiated
from core.lane import DAY, HOUR, Provider, SendingDomain, Source, Stream
from core.reply import Stage
from core.reports import SentCount, SentKey, TlsCount

_SEEN = frozenset({Stage.FINAL})
# a SentKey's fields; made for each event it would cost as much as everything else here
_Key: TypeAlias = tuple[int, Source, SendingDomain, Provider, Stream]
MAX_REASON = 120  # characters of what went wrong: kinds of failure, not their every wording


def fold_sent(events: Iterable[Event]) -> tuple[list[SentCount], list[TlsCount]]:
    """What one batch adds."""
    delivered: Counter[_Key] = Counter()
    refused: Counter[_Key] = Counter()
    sessions: Counter[TlsCount] = Counter()
    for event in events:
        match event:
            case Delivered():
                delivered[_key(event)] += 1
            case Bounced() | Deferred() if event.reply.stage in _SEEN:
                refused[_key(event)] += 1
            case TlsNegotiated():
                sessions[_session(event)] += 1
            case _:
                pass
    sent = [
        SentCount(key=_named(key), delivered=delivered[key], refused=refused[key])
        for key in dict.fromkeys([*delivered, *refused])
    ]
    tls = [replace(one, sessions=n) for one, n in sorted(sessions.items(), key=lambda item: astuple(item[0]))]
    return sent, tls


def _session(event: TlsNegotiated) -> TlsCount:
    failed = bool(event.facts.failure)
    return TlsCount(
        day=int(event.at // DAY), domain=event.domain, host=event.host, failure=str(event.facts.failure), sessions=0,
        policy=str(event.facts.policy), host_ip=event.ip if failed else "", source_ip=event.source_ip if failed else "",
        reason=event.detail[:MAX_REASON] if failed else "",
    )  # fmt: skip


def _key(event: Delivered | Bounced | Deferred) -> _Key:
    traffic = event.attribution.traffic
    lane = traffic.lane
    return int(event.at // HOUR), lane.source, lane.sending_domain, lane.provider, traffic.stream


def _named(key: _Key) -> SentKey:
    hour, source, sending_domain, provider, stream = key
    return SentKey(hour=hour, source=source, sending_domain=sending_domain, provider=provider, stream=stream)
