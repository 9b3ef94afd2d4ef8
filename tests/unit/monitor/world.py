"""What the monitor's tests share: makers of events and verdicts, and an in-memory log, counters and controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from config.tables import Rule
from core.classify import BounceClass
from core.errors import StorageConflict
from core.events import Bounced, ComplaintReceived, Deferred, Delivered, Event, GateState, Logged
from core.lane import Attribution, Campaign, Lane, Provider, Scope, SendingDomain, Source, Stream, Traffic, cohort_of
from core.reply import Reply
from core.state import CounterKey, Gate
from core.tokens import MessageId

NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86400 + 43200
OK = Reply(code=250, text="ok", status="2.0.0")
NO_USER = Reply(code=550, text="no such user", status="5.1.1")


def traffic(provider: str = "yahoo", stream: str = "bulk", campaign: str = "") -> Traffic:
    lane = Lane(source=Source("a"), sending_domain=SendingDomain("news.example"), provider=Provider(provider))
    return Traffic(lane=lane, stream=Stream(stream), campaign=Campaign(campaign))


def under(at: float = NOON, **parts: str) -> Attribution:
    return Attribution(traffic=traffic(**parts), cohort=cohort_of(at))


def delivered(at: float = NOON, attempt: int = 1, **parts: str) -> Delivered:
    return Delivered(
        at=at, message_id=MessageId("m"), recipient="r@x.example", attribution=under(at, **parts), site="mx",
        remote="mx", reply=OK, attempt=attempt, tls="", latency=1.0,
    )  # fmt: skip


def bounced(
    at: float = NOON, attempt: int = 1, bounce_class: BounceClass = BounceClass.UNKNOWN_USER, **parts: str
) -> Bounced:
    return Bounced(
        at=at, message_id=MessageId("m"), recipient="r@x.example", attribution=under(at, **parts), site="mx",
        remote="mx", reply=NO_USER, bounce_class=bounce_class, attempt=attempt,
    )  # fmt: skip


def deferred(
    at: float = NOON, attempt: int = 1, bounce_class: BounceClass = BounceClass.RATE_LIMITED, **parts: str
) -> Deferred:
    return Deferred(
        at=at, message_id=MessageId("m"), recipient="r@x.example", attribution=under(at, **parts), site="mx",
        remote="mx", reply=NO_USER, bounce_class=bounce_class, attempt=attempt, retry_at=at + 600,
    )  # fmt: skip


def complaint(sent_at: float = NOON, at: float = NOON, kind: str = "abuse", **parts: str) -> ComplaintReceived:
    return ComplaintReceived(
        at=at, message_id=MessageId("m"), recipient="r@x.example", attribution=under(sent_at, **parts),
        feedback_type=kind, reporter="yahoo",
    )  # fmt: skip


def rule(**changes: Any) -> Rule:
    given: dict[str, Any] = {
        "name": "bounces", "signal": "hard_bounce_rate", "by": ["provider", "stream"], "threshold": 0.02, **changes,
    }  # fmt: skip
    return Rule.model_validate(given)


@dataclass
class Memory:
    """Log, counters and controls over one list of events, with the ports' contract on cursors and races."""

    events: list[Event] = field(default_factory=list)
    sums: Counter[CounterKey] = field(default_factory=Counter)
    stored: dict[tuple[str, str], Gate] = field(default_factory=dict)
    at: int = 0
    lose_next: int = 0  # so many commits lose a race
    commits: int = 0

    async def append(self, events: Sequence[Event]) -> None:
        self.events += events

    async def read(self, after: int, limit: int = 2000) -> list[Logged]:
        return [Logged(seq=after + i + 1, event=e) for i, e in enumerate(self.events[after : after + limit])]

    async def head(self) -> int:
        return len(self.events)

    async def of_message(self, message_id: MessageId) -> list[Logged]:
        return []

    async def of_pause(self, pause_id: str) -> list[Logged]:
        return [x for x in await self.read(0, 10**9) if getattr(x.event, "pause_id", "") == pause_id]

    async def recent(self, kinds: Sequence[str], limit: int, *, before: int = 0) -> list[Logged]:
        found = [i for i, event in enumerate(self.events) if type(event).__name__ in kinds]
        return [Logged(seq=i + 1, event=self.events[i]) for i in found[::-1][:limit]]

    async def changed(self, timeout: float) -> None:
        return None

    async def gates(self) -> list[Gate]:
        return list(self.stored.values())

    async def put(self, gate: Gate, event: Event, expected: GateState | None) -> None:
        before = self.stored.get((gate.scope.key, gate.rule))
        if (before.state if before else None) != expected:
            raise StorageConflict("the gate moved")
        self.stored[gate.scope.key, gate.rule] = gate
        self.events.append(event)

    async def load(self, since_cohort: int) -> dict[CounterKey, int]:
        return {k: n for k, n in self.sums.items() if k.attribution.cohort >= since_cohort}

    async def cursor(self, name: str) -> int:
        return self.at

    async def commit(
        self,
        name: str,
        before: int,
        after: int,
        deltas: dict[CounterKey, int],
        gates: Sequence[tuple[Gate, Event]],
        events: Sequence[Event] = (),
    ) -> None:
        if self.lose_next:
            self.lose_next -= 1
            raise StorageConflict("another projector was faster")
        if before != self.at:
            raise StorageConflict("the cursor moved")
        self.commits += 1
        self.at = after
        self.sums.update(deltas)
        for gate, event in gates:
            self.stored[gate.scope.key, gate.rule] = gate
            self.events.append(event)
        self.events += events


def scope(**parts: Any) -> Scope:
    return Scope(**parts)
