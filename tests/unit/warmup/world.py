"""What the warm-up's tests share: plans, lanes, snapshots, and in-memory allowances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.model import Settings
from config.tables import Plan
from core.errors import StorageConflict
from core.events import Event, GateChanged, GateState, Logged, StepChanged
from core.lane import Lane, Provider, Scope, SendingDomain, Source, Stream, Traffic, day_of
from core.state import CounterKey, Gate, StepState
from core.tokens import MessageId

DAY = 86400.0
MIDNIGHT = 20_000 * DAY
NOON = MIDNIGHT + DAY / 2
SETTINGS = Settings.model_validate(
    {
        "sending_domains": [{"name": "news.example", "return_path": "rp.news.example"}],
        "sources": [{"name": "a", "ehlo": "a.news.example"}],
    }
)


def lane(provider: str = "gmail", source: str = "a") -> Lane:
    return Lane(source=Source(source), sending_domain=SendingDomain("news.example"), provider=Provider(provider))


def traffic(provider: str = "gmail", stream: str = "bulk", source: str = "a") -> Traffic:
    return Traffic(lane=lane(provider, source), stream=Stream(stream))


def plan(**changes: Any) -> Plan:
    return Plan.model_validate({"name": "p", "start": 100, "growth": 1.5, "target": 1000, **changes})


def state(cap: int = 100, step: int = 0, now: float = NOON, **changes: Any) -> StepState:
    given: dict[str, Any] = {
        "lane": lane(), "plan": "p", "step": step, "cap": cap, "day": day_of(now), "started_day": day_of(now),
        "last_sent_day": day_of(now), "peak": 0, "finished": False, "reason": "", **changes,
    }  # fmt: skip
    return StepState(**given)


def gate(to: GateState, until: float = 0.0, limit: int = 0, **scope: Any) -> Gate:
    return Gate(
        scope=Scope(**scope), state=to, pause_id="p1", rule="r", since=NOON, until=until, reason="why", by="guard",
        limit=limit,
    )  # fmt: skip


def closing(at: float, by: str = "guard", **scope: Any) -> GateChanged:
    return GateChanged(
        at=at, pause_id="p1", scope=Scope(**scope), before=GateState.OPEN, after=GateState.PAUSED, reason="", until=0.0,
        by=by, evidence=None, limit=0,
    )  # fmt: skip


@dataclass
class Memory:
    """Allowances, counters and the log's recent events in memory."""

    states: dict[Lane, StepState] = field(default_factory=dict)
    units: Counter[tuple[str, int]] = field(default_factory=Counter)
    sums: dict[CounterKey, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    async def used(self, keys: Iterable[str], day: int) -> dict[str, int]:
        return {key: self.units[key, day] for key in keys}

    async def reserve(self, key: str, day: int, cap: int, n: int) -> int:
        granted = max(0, min(n, cap - self.units[key, day]))
        self.units[key, day] += granted
        return granted

    async def steps(self) -> list[StepState]:
        return list(self.states.values())

    async def put_step(self, state: StepState, event: Event, *, before: StepState | None = None) -> None:
        if before is not None and self.states.get(state.lane) != before:
            raise StorageConflict("changed meanwhile")
        self.states[state.lane] = state
        self.events.append(event)

    async def load(self, since_cohort: int) -> dict[CounterKey, int]:
        return {k: n for k, n in self.sums.items() if k.attribution.cohort >= since_cohort}

    async def cursor(self, name: str) -> int:
        return 0

    async def commit(
        self, name: str, before: int, after: int, deltas: dict[CounterKey, int], gates: Sequence[tuple[Gate, Event]],
        events: Sequence[Event] = (),
    ) -> None:  # fmt: skip
        raise AssertionError("warm-up counts nothing")

    async def append(self, events: Sequence[Event]) -> None:
        self.events += events

    async def read(self, after: int, limit: int = 2000) -> list[Logged]:
        return [Logged(seq=i + 1, event=e) for i, e in enumerate(self.events)][after : after + limit]

    async def head(self) -> int:
        return len(self.events)

    async def of_message(self, message_id: MessageId) -> list[Logged]:
        return []

    async def of_pause(self, pause_id: str) -> list[Logged]:
        return []

    async def recent(self, kinds: Sequence[str], limit: int, *, before: int = 0) -> list[Logged]:
        return [x for x in await self.read(0, 10**9) if type(x.event).__name__ in kinds][::-1][:limit]

    async def changed(self, timeout: float) -> None:
        return None

    def moves(self) -> list[StepChanged]:
        return [e for e in self.events if isinstance(e, StepChanged)]
