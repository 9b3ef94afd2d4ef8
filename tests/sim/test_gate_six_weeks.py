"""Six weeks of the closed gate loop under virtual time: admission, steps, projector, rules and guard, no database.

A small sender asks admission for every lane and stream every twenty minutes, reserves as the conditional UPDATE
does, and writes the outcomes that a provider's behaviour dictates, with complaints that come hours later.  What is
claimed is then recomputed from the event log alone.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from config.model import Settings
from config.tables import Plan, Rule
from core.classify import BounceClass
from core.clock import VirtualClock, VirtualTimeLoop
from core.decision import Admit
from core.events import (
    Bounced,
    ComplaintReceived,
    Deferred,
    Delivered,
    Event,
    GateChanged,
    GateState,
    StepChanged,
    StepMove,
)
from core.lane import DAY, HOUR, Attribution, Lane, Provider, SendingDomain, Source, Stream, Traffic, cohort_of, day_of
from core.reply import Reply
from core.state import Snapshot, StepState
from core.tokens import MessageId
from monitor.projector import BATCH, Projector
from tests.unit.monitor.world import Memory
from warmup.admission import GateAdmission, watched
from warmup.ramp import plan_lane
from warmup.steps import Steps

WEEKS = 6
TICK = 1200.0
START = 20_000 * DAY
STREAMS = ("bulk", "transactional")
SETTINGS = Settings.model_validate(
    {
        "sending_domains": [{"name": "news.example", "return_path": "rp.news.example"}],
        "sources": [{"name": "a", "ehlo": "a.news.example"}],
    }
)
RULES = [
    Rule(name="bounces", signal="hard_bounce_rate", by=["provider", "stream"], threshold=0.02),
    Rule(name="complaints", signal="complaint_rate", by=["provider", "stream"], threshold=0.001, hard_limit=0.5),
]
REPLY = Reply(code=550, text="refused")


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Chances of what a provider answers; `bad_days` are days (from the first) on which `bad_bounces` holds."""

    bounces: float = 0.005
    defers: float = 0.01
    blocks: float = 0.0
    complains: float = 0.0002
    bad_days: tuple[int, ...] = ()
    bad_bounces: float = 0.4


@dataclass
class World(Memory):
    """All stores in memory."""

    states: dict[Lane, StepState] = field(default_factory=dict)
    units: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def used(self, keys: Iterable[str], day: int) -> dict[str, int]:
        return {key: self.units[key, day] for key in keys}

    async def reserve(self, key: str, day: int, cap: int, n: int) -> int:
        granted = max(0, min(n, cap - self.units[key, day]))
        self.units[key, day] += granted
        return granted

    async def steps(self) -> list[StepState]:
        return list(self.states.values())

    async def put_step(self, state: StepState, event: Event, *, before: StepState | None = None) -> None:
        self.states[state.lane] = state
        self.events.append(event)


class Simulation:
    """One run: `daily` wished messages a provider and stream."""

    def __init__(
        self, plan: Plan, providers: dict[str, Behaviour], daily: dict[str, int], seed: int, days: int = 7 * WEEKS
    ) -> None:
        self.world = World()
        self.clock = VirtualClock(START)
        self.rng = random.Random(seed)
        self.providers = providers
        self.daily = daily
        self.days = days
        self.admission = GateAdmission([plan], SETTINGS)
        self.projector = Projector(
            log=self.world, counters=self.world, controls=self.world, rules=RULES,
            transactional=SETTINGS.transactional, no_feedback=frozenset(), clock=self.clock, on_change=lambda: None,
            monotonic=lambda: 0.0,
        )  # fmt: skip
        self.steps = Steps(plans=[plan], allowances=self.world, counters=self.world, log=self.world, clock=self.clock)
        self.backlog: Counter[Traffic] = Counter()
        self.retries: Counter[Traffic] = Counter()
        self.complaints: list[tuple[float, ComplaintReceived]] = []
        self.reports: list[tuple[float, Event]] = []

    async def run(self) -> None:
        while self.clock.now() < START + self.days * DAY:
            now = self.clock.now()
            await self.steps.run_day(now)
            due = [event for at, event in self.reports if at <= now]
            self.reports = [(at, event) for at, event in self.reports if at > now]
            await self.world.append(due)
            await self._follow()
            for provider in self.providers:
                for stream in STREAMS:
                    await self._send(_traffic(provider, stream), now)
                    await self._follow()
            await self.clock.sleep(TICK)

    async def _follow(self) -> None:
        while await self.projector.step() == BATCH:
            continue

    async def _send(self, traffic: Traffic, now: float) -> None:
        wished = self.daily[traffic.stream] * TICK / DAY
        self.backlog[traffic] = min(20_000, self.backlog[traffic] + int(wished) + (self.rng.random() < wished % 1))
        fresh, retries = self.backlog[traffic], self.retries[traffic]
        if not fresh + retries:
            return
        await self.steps.ensure(traffic.lane, now)
        answer = self.admission.decide(traffic, fresh, retries, await self._snapshot(now), now)
        if not isinstance(answer, Admit):
            return
        sent: list[Event] = []
        for waiting, attempt, bounds in ((fresh, 1, answer.allowances), (retries, 2, answer.retry_allowances)):
            left = [cap - self.world.units[key, period] for key, period, cap in bounds]
            n = max(0, min(waiting, answer.messages - len(sent), *left))
            for key, period, _ in bounds:
                self.world.units[key, period] += n
            (self.backlog if attempt == 1 else self.retries)[traffic] -= n
            sent += [self._outcome(traffic, attempt, now) for _ in range(n)]
        await self.world.append(sent)

    async def _snapshot(self, now: float) -> Snapshot:
        gates = self.projector.gates
        used = {
            (key, period): n
            for period, keys in watched(gates, self.world.states.values(), now).items()
            for key, n in (await self.world.used(keys, period)).items()
        }
        return Snapshot(gates=gates, steps=dict(self.world.states), used=used)

    def _outcome(self, traffic: Traffic, attempt: int, now: float) -> Event:
        behaviour = self.providers[traffic.lane.provider]
        bad = int((now - START) // DAY) in behaviour.bad_days and traffic.stream == "bulk"
        bounces = behaviour.bad_bounces if bad else behaviour.bounces
        common: dict[str, Any] = {
            "at": now, "message_id": MessageId("m"), "recipient": "r@x.example", "site": "mx", "remote": "mx",
            "attribution": Attribution(traffic=traffic, cohort=cohort_of(now)), "reply": REPLY, "attempt": attempt,
        }  # fmt: skip
        draw = self.rng.random()
        if draw < bounces:
            return Bounced(**common, bounce_class=BounceClass.UNKNOWN_USER)
        draw -= bounces
        if draw < behaviour.blocks + behaviour.defers:
            self.retries[traffic] += 1
            why = BounceClass.IP_BLOCKED if draw < behaviour.blocks else BounceClass.RATE_LIMITED
            return Deferred(**common, bounce_class=why, retry_at=now + HOUR)
        if self.rng.random() < behaviour.complains:
            report = ComplaintReceived(
                at=now, message_id=MessageId("m"), recipient="r@x.example", attribution=common["attribution"],
                feedback_type="abuse", reporter="r",
            )  # fmt: skip
            self.reports.append((now + self.rng.expovariate(1 / DAY), report))
        return Delivered(**common, tls="", latency=1.0)


def _traffic(provider: str, stream: str) -> Traffic:
    lane = Lane(source=Source("a"), sending_domain=SendingDomain("news.example"), provider=Provider(provider))
    return Traffic(lane=lane, stream=Stream(stream))


def run(work: Coroutine[Any, Any, None]) -> None:
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def first_attempts(events: Iterable[Event]) -> tuple[Counter[tuple[Lane, int]], Counter[tuple[Lane, int]]]:
    """(marketing, all) first attempts by planned lane and day."""
    marketing: Counter[tuple[Lane, int]] = Counter()
    every: Counter[tuple[Lane, int]] = Counter()
    for event in events:
        if isinstance(event, Delivered | Deferred | Bounced) and event.attempt == 1:
            traffic = event.attribution.traffic
            key = (plan_lane(traffic.lane), event.attribution.cohort // 24)
            every[key] += 1
            marketing[key] += traffic.stream != "transactional"
    return marketing, every


def assert_caps_hold(events: list[Event]) -> None:
    """Recomputed from the log: no lane sent more on a day than the step of that day allowed."""
    marketing, every = first_attempts(events)
    caps = {(e.lane, e.day): e for e in events if isinstance(e, StepChanged)}
    finished: set[Lane] = set()
    for (lane, day), event in sorted(caps.items(), key=lambda item: item[0][1]):
        if event.move in (StepMove.STEPPED_BACK, StepMove.STARTED):
            finished.discard(lane)
        elif event.move is StepMove.FINISHED:
            finished.add(lane)
        if lane not in finished:
            assert marketing[lane, day] <= event.cap_after
            assert every[lane, day] <= event.cap_after + math.ceil(event.cap_after * 0.2)
    assert set(every) <= set(caps)  # nothing was sent on a day without a step


def assert_closed_gates_hold(events: list[Event]) -> None:
    """In the log's order: no attempt of covered traffic lies between a closing and what ended it."""
    closed: dict[str, GateChanged] = {}
    for event in events:
        if isinstance(event, GateChanged):
            if event.after in (GateState.PAUSED, GateState.HARD_STOPPED):
                closed[event.pause_id] = event
            else:
                closed.pop(event.pause_id, None)
        elif isinstance(event, Delivered | Deferred | Bounced):
            assert not any(gate.scope.covers(event.attribution.traffic) for gate in closed.values())


behaviours = st.builds(
    Behaviour,
    bounces=st.sampled_from([0.0, 0.005, 0.03]), defers=st.sampled_from([0.0, 0.02, 0.3]),
    blocks=st.sampled_from([0.0, 0.01, 0.6]), complains=st.sampled_from([0.0, 0.0005, 0.01]),
    bad_days=st.lists(st.integers(0, 41), max_size=3).map(tuple),
)  # fmt: skip
plans = st.builds(
    Plan,
    name=st.just("p"), start=st.integers(1, 60), growth=st.sampled_from([1.2, 1.5, 2.0]), target=st.integers(1, 400),
    hour_from=st.sampled_from([0, 6]), hour_to=st.sampled_from([18, 24]),
    advance_sent_share=st.sampled_from([0.5, 0.9]),
)  # fmt: skip


@settings(max_examples=8 if os.environ.get("CI") else 2)
@given(plans, st.tuples(behaviours, behaviours), st.integers(0, 500), st.integers(0, 60), st.integers(0, 10**6))
def test_six_weeks_never_pass_a_cap_or_a_closed_gate(
    plan: Plan, pair: tuple[Behaviour, Behaviour], bulk: int, urgent: int, seed: int
) -> None:
    wishes = {"bulk": bulk, "transactional": urgent}
    simulation = Simulation(plan, {"yahoo": pair[0], "other:mx.x.example": pair[1]}, wishes, seed)
    run(simulation.run())
    assert_caps_hold(simulation.world.events)
    assert_closed_gates_hold(simulation.world.events)


def test_a_clean_lane_reaches_its_target_on_the_planned_day_and_pauses_nothing() -> None:
    plan = Plan(name="p", start=50, growth=1.4, target=500)
    simulation = Simulation(plan, {"yahoo": Behaviour()}, {"bulk": 600, "transactional": 5}, seed=1)
    run(simulation.run())
    moves = [e for e in simulation.world.events if isinstance(e, StepChanged)]
    assert [e.cap_after for e in moves[:8]] == [50, 70, 98, 137, 192, 268, 376, 500]
    assert moves[8].move is StepMove.FINISHED
    assert not [e for e in simulation.world.events if isinstance(e, GateChanged)]
    assert_caps_hold(simulation.world.events)


def test_a_list_of_dead_addresses_is_stopped_probed_and_let_go_on_while_transactional_mail_never_waits() -> None:
    plan = Plan(name="p", start=200, growth=1.4, target=1000)
    bad = Behaviour(bad_days=(20,))
    wishes = {"bulk": 1200, "transactional": 48}
    simulation = Simulation(plan, {"yahoo": bad, "gmail": Behaviour()}, wishes, seed=2)
    run(simulation.run())
    events = simulation.world.events
    gates = [e for e in events if isinstance(e, GateChanged)]
    assert {e.scope.provider for e in gates} == {"yahoo"}
    assert {e.scope.stream for e in gates} == {"bulk"}
    states = [e.after for e in gates if e.pause_id == gates[0].pause_id]
    assert GateState.PAUSED in states
    assert GateState.PROBING in states
    assert states[-1] is GateState.OPEN
    dead = [e for e in events if isinstance(e, Bounced) and day_of(e.at) - day_of(START) == 20]
    assert len(dead) < 60  # of some 480 that the day would have met
    back = [e for e in events if isinstance(e, StepChanged) and e.move is StepMove.STEPPED_BACK]
    assert [e.lane.provider for e in back] == ["yahoo"]
    assert all(simulation.backlog[_traffic(p, "transactional")] <= 1 for p in ("yahoo", "gmail"))
    assert not [e for e in gates if e.scope.covers(_traffic("yahoo", "transactional"))]
    assert_caps_hold(events)
    assert_closed_gates_hold(events)
