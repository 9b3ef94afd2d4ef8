"""Six weeks of warm-up under virtual time with the real parts: queue and storage, dispatcher, admission, steps,
projector, rules and guard, over the emulated providers without a socket.

What is claimed is recomputed from the event log alone: no lane sends more first attempts on a day than its step allows,
nothing passes a closed gate, every accepted message that ended did so once, and replaying the log gives the counters.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from config.load import load_providers
from config.model import Settings
from config.tables import Plan, Rule
from core.classify import BounceClass, Classifier
from core.clock import VirtualClock, VirtualTimeLoop
from core.events import (
    TERMINAL,
    Accepted,
    BounceReceived,
    ComplaintReceived,
    Delivered,
    Door,
    Event,
    GateChanged,
    GateState,
    StepChanged,
    StepMove,
)
from core.lane import DAY, SendingDomain, Stream
from core.messages import Body, BodyId, Node, Submission
from core.reply import Reply
from core.tokens import Purpose, Token, TokenSigner, new_message_id
from monitor.counters import fold
from monitor.projector import Projector
from sandbox.behaviour import shipped_behaviours
from sandbox.dns import provider_zone
from sandbox.host import make_hosts
from sandbox.memory import MemoryTransport, hosts_by_name
from sandbox.outbox import Outbox, ReturnedMail
from sandbox.people import Engagement, Person
from sender.compose import Composer
from sender.dispatch import Dispatcher
from sender.route import Router
from sender.schedule import RetrySchedule
from service.control import Control, StartingAdmission
from storage.stores import Stores, open_stores
from tests.sim.test_gate_six_weeks import assert_caps_hold
from warmup.admission import GateAdmission
from warmup.steps import Steps

START = 20_000 * DAY
LOOK = 1800.0  # domain seconds between two looks of what in the service looks every half second
SETTINGS = Settings.model_validate(
    {
        "sending_domains": [{"name": "meadow.example", "return_path": "rp.meadow.example"}],
        "sources": [{"name": "a", "ehlo": "a.meadow.example"}],
        "delivery": {"idle_seconds": 0, "lease_seconds": 7200},
    }
)
RULES = [
    Rule(name="bounces", signal="hard_bounce_rate", by=["provider", "stream"], threshold=0.02),
    Rule(name="complaints", signal="complaint_rate", by=["provider", "stream"], threshold=0.001, hard_limit=0.5),
]
CONTENT = b"From: News <news@meadow.example>\r\nSubject: Hello\r\n\r\nGood morning\r\n"
DOMAINS = ("outlook.example", "unlisted.example")


class NoDkim:
    """Signing costs most of a sender's work and proves nothing here."""

    def signature(self, head: bytes, body: bytes, sending_domain: str, now: float) -> bytes:
        return b""


@dataclass(frozen=True, kw_only=True)
class Audience:
    """`daily` bulk and `urgent` transactional messages a domain; on `bad_days` a share `dead` of bulk is dead."""

    daily: int = 60
    urgent: int = 3
    bad_days: tuple[int, ...] = ()
    dead: float = 0.5
    angry: float = 0.0


def people(address: str) -> Person:
    return Person(
        exists=not address.startswith("dead"), engagement=Engagement.ENGAGED, annoyed=address.startswith("angry")
    )


class Simulation:
    """The service's core, joined as service.app joins it, on one thread."""

    def __init__(self, stores: Stores, plan: Plan, audience: Audience, seed: int) -> None:
        self.stores = stores
        self.audience = audience
        self.rng = random.Random(seed)
        self.clock = clock = VirtualClock(START)
        self.signer = TokenSigner({"a": b"k" * 16})
        behaviours = shipped_behaviours()
        self.outbox = Outbox(clock)
        hosts = make_hosts(
            behaviours.values(), people=people, clock=clock, seed=seed, outbox=self.outbox,
            complaints_to="fbl@rp.meadow.example",
        )  # fmt: skip
        zone = provider_zone(behaviours.values())
        zone.add_mx("unlisted.example", [*behaviours["yahoo"].mx[:1], "mx.unlisted.example"])
        providers = load_providers()
        self.projector = Projector(
            log=stores.log, counters=stores.counters, controls=stores.controls, rules=RULES,
            transactional=SETTINGS.transactional, no_feedback=frozenset({"gmail", "other"}), clock=clock,
            on_change=self._gates_changed, poll=LOOK, monotonic=lambda: 0.0,
        )  # fmt: skip
        self.steps = Steps(
            plans=[plan], allowances=stores.allowances, counters=stores.counters, log=stores.log, clock=clock
        )
        self.control: Control | None = Control(
            controls=stores.controls, allowances=stores.allowances, projector=self.projector, steps=self.steps,
            clock=clock, on_change=self._wake,
        )  # fmt: skip
        self.dispatcher = Dispatcher(
            node=Node("n"), settings=SETTINGS, queue=stores.queue, spool=stores.spool, log=stores.log, clock=clock,
            router=Router(zone, providers, random.Random(seed)),
            transport=MemoryTransport(hosts_by_name(list(hosts.values())), clock, random.Random(seed)),
            admission=StartingAdmission(GateAdmission([plan], SETTINGS), self.control),
            composer=Composer(self.signer, SETTINGS, NoDkim()), classifier=Classifier(()),
            schedule=RetrySchedule(SETTINGS.delivery, random.Random(seed)), providers=providers,
            snapshot=self.control.snapshot, spent=self.control.spent, poll_seconds=LOOK, rng=random.Random(seed),
        )  # fmt: skip

    async def run(self, days: int) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work)
                for work in (
                    self.projector.run(),
                    self.dispatcher.run(),
                    self.outbox.run(self._returned),
                    self._look(),
                )
            ]
            for day in range(days):
                await self.steps.run_day(self.clock.now())
                await self._inject(day)
                await self.clock.sleep(START + (day + 1) * DAY - self.clock.now() + 1)
            for task in tasks[1:]:
                task.cancel()
            await self.clock.sleep(LOOK)
            while await self.projector.step():
                continue
            tasks[0].cancel()

    async def _look(self) -> None:
        assert self.control is not None
        while True:
            await self.control.refresh()
            await self.clock.sleep(LOOK)

    def _gates_changed(self) -> None:
        if self.control is not None:
            self.control.gates_changed()

    def _wake(self) -> None:
        self.dispatcher.wake()

    async def _inject(self, day: int) -> None:
        now, audience = self.clock.now(), self.audience
        for domain in DOMAINS:
            for stream, n in (("bulk", audience.daily), ("transactional", audience.urgent)):
                given = SETTINGS.stream(stream)
                assert given is not None
                body = Body(body_id=BodyId(f"{day}-{domain}-{stream}"), kind="mime", content=CONTENT)
                rows = [
                    Submission(
                        message_id=new_message_id(now, self.rng.getrandbits),
                        recipient=self._address(day, i, domain, stream),
                        stream=Stream(stream),
                        sending_domain=SendingDomain("meadow.example"),
                        body_id=body.body_id,
                        accepted_at=now,
                        not_before=now,
                        expires_at=now + given.max_age_hours * 3600,
                        priority=given.priority,
                    )
                    for i in range(n)
                ]
                await self.stores.queue.accept([body] if rows else [], rows, [_accepted(row) for row in rows])
                self.dispatcher.wake()

    def _address(self, day: int, i: int, domain: str, stream: str) -> str:
        kind = "ann"
        if stream == "bulk" and day in self.audience.bad_days and self.rng.random() < self.audience.dead:
            kind = "dead"
        elif stream == "bulk" and self.rng.random() < self.audience.angry:
            kind = "angry"
        return f"{kind}.{day}.{i}.{stream}@{domain}"

    async def _returned(self, mail: ReturnedMail) -> None:
        """What the collectors do, in short: the token names the message, the message its attribution."""
        found = re.search(rb"X-Penstock-Token: ([a-z2-7]+)", mail.content)
        text = mail.rcpt_to.partition("@")[0] if mail.mail_from == "" else (found[1].decode() if found else "")
        token = self.signer.verify(text, self.clock.now())
        if not isinstance(token, Token):
            return
        (sent,) = [
            x.event for x in await self.stores.log.of_message(token.message_id) if isinstance(x.event, Delivered)
        ]
        common: dict[str, Any] = {
            "at": self.clock.now(), "message_id": token.message_id, "recipient": sent.recipient,
            "attribution": sent.attribution,
        }  # fmt: skip
        event: Event = ComplaintReceived(**common, feedback_type="abuse", reporter="r")
        if token.purpose is Purpose.RETURN_PATH and mail.mail_from == "":
            reply = Reply(code=550, status="5.1.1", text="no such user")
            event = BounceReceived(**common, reply=reply, bounce_class=BounceClass.UNKNOWN_USER, terminal=True)
        await self.stores.log.append([event])


def simulated(plan: Plan, audience: Audience, seed: int, days: int = 42) -> list[Event]:
    """The log of one run; what holds for every log is checked here."""

    async def main() -> list[Event]:
        stores = await open_stores("sqlite:///:memory:", inline=True)
        try:
            simulation = Simulation(stores, plan, audience, seed)
            await simulation.run(days)
            events: list[Event] = []
            after = 0
            while batch := await stores.log.read(after, 5000):
                events += [logged.event for logged in batch]
                after = batch[-1].seq
            assert await stores.counters.load(0) == fold(events)
            return events
        finally:
            await stores.close()

    events = virtually(main())
    assert_caps_hold(events)
    assert_no_attempt_begins_behind_a_closed_gate(events)
    ends = Counter(e.message_id for e in events if isinstance(e, TERMINAL))
    assert max(ends.values(), default=1) == 1
    return events


def virtually(work: Coroutine[Any, Any, list[Event]]) -> list[Event]:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


def assert_no_attempt_begins_behind_a_closed_gate(events: list[Event]) -> None:
    """One message that was on the wire when the gate closed may still end; it ends within the seconds it takes."""
    closed: dict[str, GateChanged] = {}
    for event in events:
        if isinstance(event, GateChanged):
            if event.after in (GateState.PAUSED, GateState.HARD_STOPPED):
                closed[event.pause_id] = event
            else:
                closed.pop(event.pause_id, None)
        elif isinstance(event, Delivered):
            for gate in closed.values():
                assert not gate.scope.covers(event.attribution.traffic) or event.at - gate.at < 5


def _accepted(row: Submission) -> Accepted:
    return Accepted(
        at=row.accepted_at, message_id=row.message_id, recipient=row.recipient, stream=row.stream, campaign="",
        sending_domain=row.sending_domain, door=Door.HTTP, size=len(CONTENT),
    )  # fmt: skip


plans = st.builds(
    Plan,
    name=st.just("p"), start=st.integers(1, 8), growth=st.sampled_from([1.2, 1.5, 2.0]), target=st.integers(1, 20),
    hour_from=st.sampled_from([0, 6]), hour_to=st.sampled_from([18, 24]),
    advance_sent_share=st.sampled_from([0.5, 0.9]),
)  # fmt: skip
audiences = st.builds(
    Audience,
    daily=st.integers(0, 12), urgent=st.integers(0, 2),
    bad_days=st.lists(st.integers(0, 41), max_size=3).map(tuple), dead=st.floats(0.05, 1.0),
    angry=st.sampled_from([0.0, 0.02]),
)  # fmt: skip


@settings(max_examples=5 if os.environ.get("CI") else 1)
@given(plans, audiences, st.integers(0, 10**6))
def test_no_plan_failure_or_volume_passes_a_cap(plan: Plan, audience: Audience, seed: int) -> None:
    simulated(plan, audience, seed)


def test_a_dead_list_pauses_its_provider_and_the_ramp_recovers() -> None:
    plan = Plan(name="p", start=5, growth=1.5, target=20)
    events = simulated(plan, Audience(daily=20, urgent=2, bad_days=(6,)), seed=3, days=21)
    gates = [e for e in events if isinstance(e, GateChanged)]
    assert {e.scope.key for e in gates} == {"provider=outlook,stream=bulk"}
    assert {GateState.PAUSED, GateState.PROBING} <= {e.after for e in gates}
    assert gates[-1].after is GateState.OPEN
    moves = Counter((str(e.lane.provider), e.move) for e in events if isinstance(e, StepChanged))
    assert moves["outlook", StepMove.STEPPED_BACK] >= 1
    assert moves["other", StepMove.STEPPED_BACK] == 0
    assert moves["outlook", StepMove.FINISHED] == 2  # once before the bad day, once after it
    assert moves["other", StepMove.FINISHED] == 1
    ended = {e.message_id for e in events if isinstance(e, TERMINAL)}
    accepted = {e.message_id for e in events if isinstance(e, Accepted) and e.stream == "transactional"}
    assert accepted <= ended
