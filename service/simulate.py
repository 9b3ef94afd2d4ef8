"""Runs the real sender, monitor and warm-up against provider models under virtual time (docs/simulation.md).

Contract: queue and storage (in memory, inline), dispatcher, admission, steps, projector, rules, guard and the reader
of returned mail are those of the service; only the network, the clock and the signature are not.  The same request
gives the same result.  Each day as much mail is injected as the lane's cap takes, at most the wished daily volume:
the surplus of a real sender goes over its warm sources.  Delays of a pause are of the log's time; a look at the gates
is taken every `LOOK` domain seconds in place of every 0.4 real ones, so that a pause may hold that much later.
Memory is bounded by the log of the run, about 1 kB a message.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from random import Random
from typing import ParamSpec, TypeVar

from collectors.dmarc.intake import DmarcIntake
from collectors.returnmail import ReturnMail
from config.model import Settings
from config.reactions import load_reaction_rules, load_retries
from config.replies import shipped_classifier
from config.tables import Plan, ProviderRow, Rule
from core.clock import VirtualClock, VirtualTimeLoop
from core.decision import Decision, Defer
from core.events import Accepted, Delivered, Door, GateChanged, Placement, ReplyRuleActed, SeedPlaced, StepChanged
from core.lane import DAY, HOUR, Campaign, Lane, Provider, SendingDomain, Source, Stream, Traffic
from core.messages import Body, BodyId, Node, Submission
from core.ports import Admission
from core.replyrules import RuleBook
from core.state import Snapshot
from core.tokens import Token, TokenSigner, new_message_id
from monitor.projector import Projector
from sandbox.behaviour import Behaviour
from sandbox.dns import provider_zone
from sandbox.host import Judged, ProviderHost, Taken
from sandbox.memory import MemoryTransport, hosts_by_name
from sandbox.outbox import Outbox, ReturnedMail
from sandbox.simulated import SimulatedProvider, SimulationModel, address_of, person
from sender.compose import Composer
from sender.dispatch import Dispatcher
from sender.replies.exchange import Replies
from sender.route import Router
from sender.schedule import RetrySchedule
from service.control import Control, StartingAdmission
from service.lateness import EVERY, Delays
from service.simulated_truth import Result, Truth
from storage.stores import Stores, open_stores
from warmup.admission import GateAdmission
from warmup.steps import Steps

START = 20_000 * DAY  # a Thursday
LOOK = 1800.0
SEEDS = 4  # mails a day and provider that we can look at
DOMAIN, RETURN_PATH, SOURCE, STREAM = "sim.example", "rp.sim.example", "sim", "bulk"
CONTENT = f"From: News <news@{DOMAIN}>\r\nSubject: Hello\r\n\r\nGood morning\r\n".encode()
SETTINGS = Settings.model_validate(
    {
        "sending_domains": [{"name": DOMAIN, "return_path": RETURN_PATH}],
        "sources": [{"name": SOURCE, "ehlo": f"out.{DOMAIN}"}],
        "delivery": {"idle_seconds": 0, "lease_seconds": 7200},
        "inbound": {"feedback_address": f"fbl@{RETURN_PATH}"},
    }
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked: `daily` is the wished volume of all providers together.

    `steady`: so much comes in each day, whatever still waits, as from callers who do not look at the queue."""

    plan: Plan
    rules: Sequence[Rule]
    models: Sequence[SimulationModel]
    days: int
    daily: int
    seed: int
    steady: bool = False


class _Unsigned:
    """Signing costs most of a sender's work and no model reads it."""

    def signature(self, head: bytes, body: bytes, sending_domain: str, now: float) -> bytes:
        return b""


class _AtOnce(Executor):
    """No threads under virtual time: their end is no timer."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _InTicks:
    """Admission whose waits end on multiples of LOOK: mail goes in handfuls, and a day costs 48 looks."""

    def __init__(self, inner: Admission) -> None:
        self._inner = inner

    def decide(self, traffic: Traffic, fresh: int, retries: int, snapshot: Snapshot, now: float) -> Decision:
        decision = self._inner.decide(traffic, fresh, retries, snapshot, now)
        if isinstance(decision, Defer):
            return replace(decision, until=math.ceil(decision.until / LOOK) * LOOK)
        return decision


def simulate(request: Request) -> Result:
    """Run it.  Blocks; call it in a thread of its own when an event loop runs already."""

    async def main() -> Result:
        stores = await open_stores("sqlite:///:memory:", inline=True)
        try:
            return await _Simulation(stores, request).run()
        finally:
            await stores.close()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


class _Simulation:
    def __init__(self, stores: Stores, request: Request) -> None:
        self._stores = stores
        self._request = request
        self._plan = request.plan.model_copy(update={"sources": [], "sending_domains": []})
        self._rng = Random(f"{request.seed} audience")
        self._clock = clock = VirtualClock(START)
        self._signer = TokenSigner({"a": b"simulation-only!"})
        behaviours = {model.provider: model.built() for model in request.models}
        self._truth = Truth(request.models, behaviours, START)
        self._outbox = Outbox(clock)
        self._seeds: list[tuple[str, str, bool]] = []  # (token, mailbox, junk)
        hosts = [
            ProviderHost(
                behaviours[model.provider], people=person, clock=clock, outbox=self._outbox,
                rng=Random(f"{request.seed} {model.name}"), complaints_to=SETTINGS.inbound.feedback_address,
                observe=self._observe, keepers=(self._keep_seed,),
                model=SimulatedProvider(model, behaviours[model.provider], START),
            )
            for model in request.models
        ]  # fmt: skip
        zone = provider_zone(behaviours.values())
        providers = [_row(behaviour) for behaviour in behaviours.values()]
        rng = Random(request.seed)
        classifier = shipped_classifier()
        self._projector = Projector(
            log=stores.log, counters=stores.counters, controls=stores.controls, rules=request.rules,
            transactional=SETTINGS.transactional, clock=clock, on_change=self._gates_changed, poll=LOOK,
            no_feedback=frozenset(p.name for p in providers if not p.complaint_feedback), monotonic=lambda: 0.0,
        )  # fmt: skip
        self._delays = Delays(stores.lateness, self._projector, clock)
        self._steps = Steps(
            plans=[self._plan],
            allowances=stores.allowances,
            counters=stores.counters,
            log=stores.log,
            clock=clock,
            words={rule.name: rule.warmup for rule in request.rules},
        )
        self._room: dict[Provider, tuple[int, int, int]] = {}  # (day, mail of the day so far, wished)
        self._control: Control | None = Control(
            controls=stores.controls, allowances=stores.allowances, projector=self._projector, steps=self._steps,
            clock=clock, on_change=self._wake,
        )  # fmt: skip
        self._dispatcher = Dispatcher(
            node=Node("sim"), settings=SETTINGS, queue=stores.queue, spool=stores.spool, log=stores.log, clock=clock,
            router=Router(zone, providers, rng), transport=MemoryTransport(hosts_by_name(hosts), clock, rng),
            admission=_InTicks(StartingAdmission(GateAdmission([self._plan], SETTINGS), self._control)),
            composer=Composer(self._signer, SETTINGS, _Unsigned()), classifier=classifier,
            schedule=RetrySchedule(SETTINGS.delivery, rng, load_retries(SETTINGS)), providers=providers,
            snapshot=self._control.snapshot, spent=self._control.spent, poll_seconds=LOOK, rng=rng,
            replies=Replies(
                RuleBook(load_reaction_rules(SETTINGS), [p.name for p in providers]), stores.lore, "sim", every=LOOK
            ),
        )  # fmt: skip
        self._returns = ReturnMail(
            settings=SETTINGS, signer=self._signer, classifier=classifier, log=stores.log,
            suppressions=stores.suppressions, dmarc=DmarcIntake(store=stores.dmarc, log=stores.log, clock=clock),
            clock=clock, executor=_AtOnce(),
        )  # fmt: skip

    async def run(self) -> Result:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work)
                for work in (
                    self._projector.run(), self._dispatcher.run(), self._outbox.run(self._returned), self._look(),
                )
            ]  # fmt: skip
            for day in range(1, self._request.days + 1):
                await self._start_day(day)
                await self._clock.sleep(START + day * DAY - self._clock.now() + 1)
            for task in tasks[1:]:
                task.cancel()
            await self._clock.sleep(LOOK)
            while await self._projector.step():
                continue
            tasks[0].cancel()
        moves: list[GateChanged | StepChanged] = []
        after, acted = 0, Counter[str]()
        while batch := await self._stores.log.read(after, 2000):
            moves += [x.event for x in batch if isinstance(x.event, GateChanged | StepChanged)]
            acted.update(x.event.rule for x in batch if isinstance(x.event, ReplyRuleActed))
            after = batch[-1].seq
        rules = {rule.name: rule for rule in self._request.rules}
        told = self._truth.result(moves, rules, days=self._request.days, daily=self._request.daily)
        return replace(told, reply_rules=dict(sorted(acted.items())))

    async def _start_day(self, day: int) -> None:
        now = self._clock.now()
        for model in self._request.models:
            await self._steps.ensure(lane_of(model.provider), now)
        caps = {state.lane.provider: state.cap for state in await self._stores.allowances.steps()}
        finished = {state.lane.provider for state in await self._stores.allowances.steps() if state.finished}
        queued = await self._stores.queue.depth()
        weights = sum(model.weight for model in self._request.models)
        for model in self._request.models:
            wanted = round(self._request.daily * model.weight / weights)
            provider = Provider(model.provider)
            room = wanted if provider in finished else min(wanted, caps.get(provider, wanted))
            waiting = 0 if self._request.steady else queued.get(provider, 0)
            self._room[provider] = (day, max(room, min(wanted, waiting)), wanted)
            fresh = max(0, room - waiting)
            seeds = [f"seed.d{day}.{i}@{model.provider}.example" for i in range(SEEDS)] if room > 10 * SEEDS else []
            people = [address_of(model, day, serial, self._rng) for serial in range(max(0, fresh - len(seeds)))]
            await self._inject(day, model, [*seeds, *people], now)
        self._dispatcher.wake()

    async def _top_up(self) -> None:
        """Mail for what an adaptive lane's cap was raised by within its day."""
        caps = {state.lane.provider: state.cap for state in await self._stores.allowances.steps()}
        for model in self._request.models:
            provider = Provider(model.provider)
            day, room, wanted = self._room.get(provider, (0, 0, 0))
            more = min(wanted, caps.get(provider, 0)) - room
            if more > 0:
                self._room[provider] = (day, room + more, wanted)
                people = [address_of(model, day, 1_000_000 + room + i, self._rng) for i in range(more)]
                await self._inject(day, model, people, self._clock.now())
                self._dispatcher.wake()

    async def _inject(self, day: int, model: SimulationModel, addresses: Sequence[str], now: float) -> None:
        given = SETTINGS.stream(STREAM)
        assert given is not None
        body = Body(body_id=BodyId(f"{day}-{model.provider}"), kind="mime", content=CONTENT)
        rows = [
            Submission(
                message_id=new_message_id(now, self._rng.getrandbits), recipient=address, stream=Stream(STREAM),
                campaign=Campaign(f"day-{day:03d}"), sending_domain=SendingDomain(DOMAIN), body_id=body.body_id,
                accepted_at=now, not_before=now, expires_at=now + given.max_age_hours * HOUR,
                priority=given.priority,
            )
            for address in addresses
        ]  # fmt: skip
        if rows:
            await self._stores.queue.accept([body], rows, [_accepted(row) for row in rows])

    async def _look(self) -> None:
        assert self._control is not None
        fitted_at = START
        while True:
            if self._clock.now() >= fitted_at + EVERY:
                fitted_at = self._clock.now()
                await self._delays.refresh()
            if await self._steps.within_day(self._clock.now()):
                await self._top_up()
            await self._control.refresh()
            await self._tell_seeds()
            await self._clock.sleep(LOOK)

    async def _tell_seeds(self) -> None:
        """What the seed watcher does, in short."""
        waiting, self._seeds = self._seeds, []
        for text, mailbox, junk in waiting:
            token = self._signer.verify(text, self._clock.now())
            if not isinstance(token, Token):
                continue
            sent = [x.event for x in await self._stores.log.of_message(token.message_id)]
            delivered = next((event for event in sent if isinstance(event, Delivered)), None)
            if delivered is None:
                self._seeds.append((text, mailbox, junk))
                continue
            placement = Placement.SPAM if junk else Placement.INBOX
            event = SeedPlaced(
                at=self._clock.now(), message_id=token.message_id, mailbox=mailbox, attribution=delivered.attribution,
                placement=placement, folder="Junk" if junk else "INBOX", seconds=1.0,
            )  # fmt: skip
            await self._stores.log.append([event])

    def _keep_seed(self, behaviour: Behaviour, taken: Taken) -> None:
        if taken.sent.recipient.startswith("seed."):
            token = taken.sent.mail_from.partition("@")[0]
            self._seeds.append((token, taken.sent.recipient, taken.verdict.junk))

    def _observe(self, judged: Judged) -> None:
        self._truth.judged(judged)

    def _gates_changed(self) -> None:
        if self._control is not None:
            self._control.gates_changed()

    def _wake(self) -> None:
        self._dispatcher.wake()

    async def _returned(self, mail: ReturnedMail) -> None:
        await self._returns.receive(mail.mail_from, [mail.rcpt_to], mail.content)


def lane_of(provider: str) -> Lane:
    """The simulated lane to a provider."""
    return Lane(source=Source(SOURCE), sending_domain=SendingDomain(DOMAIN), provider=Provider(provider))


def _row(behaviour: Behaviour) -> ProviderRow:
    return ProviderRow(
        name=behaviour.name, mx=[f"{behaviour.name}.example"], connections=5,
        messages_per_connection=behaviour.limits.messages_per_connection,
        complaint_feedback=behaviour.complaints.form != "none",
    )  # fmt: skip


def _accepted(row: Submission) -> Accepted:
    return Accepted(
        at=row.accepted_at, message_id=row.message_id, recipient=row.recipient, stream=row.stream,
        campaign=row.campaign, sending_domain=row.sending_domain, door=Door.HTTP, size=len(CONTENT),
    )  # fmt: skip
