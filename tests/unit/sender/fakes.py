"""In-memory ports for the sender's tests: small, and faithful to the words of core.ports."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from config.model import Delivery, SendingDomain, Settings, Source, StreamSettings
from config.tables import ProviderRow
from core.classify import Classifier
from core.clock import VirtualClock, VirtualTimeLoop
from core.decision import Admit, Decision
from core.events import (
    TERMINAL,
    Delivered,
    Held,
)
from core.lane import (
    Campaign,
    Pool,
    Stream,
    Traffic,
)
from core.lane import SendingDomain as Domain
from core.lane import Source as SourceName
from core.messages import Body, BodyId, Node, Submission
from core.ports import Connection, NameMissing, NullMx, ResolverFailed
from core.reply import Reply, Stage, parse_reply
from core.state import AttemptResult, Envelope, MxHost, Snapshot
from core.tokens import MessageId, TokenSigner, new_message_id
from sender.compose import Composer
from sender.dispatch import Dispatcher
from sender.limiting.memory import MemoryRates
from sender.route import Router
from sender.schedule import RetrySchedule
from tests.unit.sender.fake_queue import FakeLog, FakeQueue

START = 1_800_000_000.0
T = TypeVar("T")
Answer = Callable[[str, Envelope], str]  # (source, envelope) → reply line, '' for a lost connection


def virtually(main: Callable[[], Awaitable[T]]) -> T:
    """Run a test's story under virtual time; waiting for what no timer brings is an error."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main(), 60 * 86400))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class NoDkim:
    """Signs with a word that tests can look for."""

    def signature(self, head: bytes, body: bytes, sending_domain: str, now: float) -> bytes:
        return b"DKIM-Signature: d=" + sending_domain.encode() + b"\r\n"


def make_settings(sources: Sequence[str] = ("a",), **delivery: float) -> Settings:
    return Settings(
        sending_domains=[SendingDomain(name="example.com", return_path="rp.example.com", dkim=[])],
        sources=[Source(name=name, ehlo=f"{name}.example.com") for name in sources],
        streams=[
            StreamSettings(name="receipts", kind="transactional", priority=0, unsubscribe=False),
            StreamSettings(name="bulk", priority=5),
        ],
        delivery=Delivery.model_validate(delivery),
        data_dir=Path("unused"),
    )


def make_signer() -> TokenSigner:
    return TokenSigner({"a": b"k" * 16})


PROVIDERS = [
    ProviderRow(name="gmail", mx=["google.test"], connections=3, messages_per_connection=10),
    ProviderRow(name="yahoo", mx=["yahoo.test"], connections=2, messages_per_connection=5),
    ProviderRow(name="mailru", mx=["mail.test"], connections=3),
]
ZONE = {
    "gmail.test": [MxHost(preference=5, host="mx1.google.test"), MxHost(preference=10, host="mx2.google.test")],
    "yahoo.test": [MxHost(preference=1, host="mx.yahoo.test")],
    "small.test": [MxHost(preference=0, host="small.test")],
}


class FakeResolver:
    """`answers` maps a domain to its MX hosts or to the exception that DNS gives; an unlisted name is NXDOMAIN."""

    def __init__(self, answers: dict[str, list[MxHost] | Exception] | None = None) -> None:
        self.answers: dict[str, list[MxHost] | Exception] = {**ZONE, **(answers or {})}
        self.asked: Counter[str] = Counter()

    async def mx(self, domain: str) -> list[MxHost]:
        self.asked[domain] += 1
        found = self.answers.get(domain, NameMissing(domain))
        if isinstance(found, NameMissing | NullMx | ResolverFailed):
            raise found
        assert isinstance(found, list)
        return found

    async def addresses(self, host: str) -> list[str]:
        return ["192.0.2.1"]

    async def txt(self, name: str) -> list[str]:
        return []

    async def ptr(self, ip: str) -> list[str]:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message that the remote host saw."""

    at: float
    source: str
    host: str
    envelope: Envelope
    reply: str


class FakeTransport:
    """Hosts that answer as `answer` says, each message after `seconds`; `refuse` speaks at the connection."""

    def __init__(self, clock: VirtualClock, answer: Answer | None = None, seconds: float = 0.1) -> None:
        self.clock = clock
        self.answer: Answer = answer or (lambda _source, _envelope: "250 2.0.0 Ok")
        self.refuse: Callable[[str, Sequence[str]], str | None] = lambda _source, _hosts: None
        self.unbindable: set[str] = set()  # sources whose address this machine does not have
        self.unaddressed: set[tuple[str, str]] = set()  # (source, host): the host has no address of its family
        self.seconds = seconds
        self.sent: list[Sent] = []
        self.connects: list[tuple[float, str, tuple[str, ...]]] = []
        self.open: Counter[str] = Counter()  # by source
        self.most: Counter[str] = Counter()
        self.stage = Stage.FINAL

    async def connect(
        self, source: SourceName, hosts: Sequence[str], sending_domain: Domain, **_wishes: object
    ) -> Connection | AttemptResult:
        self.connects.append((self.clock.now(), source, tuple(hosts)))
        await self.clock.sleep(self.seconds)
        if source in self.unbindable:
            reply = Reply(code=0, text="cannot send from it", stage=Stage.CONNECT)
            return AttemptResult(reply=reply, remote="", tls="", reusable=False, source_fault=True)
        if (source, hosts[0]) in self.unaddressed:
            reply = Reply(code=0, text="no address that can be reached", stage=Stage.CONNECT)
            return AttemptResult(reply=reply, remote="", tls="", reusable=False, wrong_family=True)
        refusal = self.refuse(source, hosts)
        if refusal is not None:
            reply = parse_reply(refusal, Stage.CONNECT)
            return AttemptResult(reply=reply, remote="", tls="", reusable=False)
        self.open[source] += 1
        self.most[source] = max(self.most[source], self.open[source])
        return FakeConnection(self, source, hosts[0])

    @property
    def delivered(self) -> list[str]:
        return [sent.envelope.rcpt_to for sent in self.sent if sent.reply.startswith("2")]


class FakeConnection:
    def __init__(self, transport: FakeTransport, source: str, host: str) -> None:
        self.transport = transport
        self.source = source
        self.host = host
        self.closed = False

    async def send(self, envelope: Envelope) -> AttemptResult:
        assert not self.closed, "sent on a closed connection"
        await self.transport.clock.sleep(self.transport.seconds)
        line = self.transport.answer(self.source, envelope)
        self.transport.sent.append(
            Sent(at=self.transport.clock.now(), source=self.source, host=self.host, envelope=envelope, reply=line)
        )
        reply = parse_reply(line, self.transport.stage) if line else Reply(code=0, text="lost", stage=Stage.DATA)
        return AttemptResult(
            reply=reply, remote=f"{self.host} [192.0.2.1]", tls="TLSv1.3", reusable=reply.code not in (0, 421)
        )

    async def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        self.transport.open[self.source] -= 1


class OpenAdmission:
    """Admits everything, unless `rule` says otherwise for this traffic."""

    def __init__(self) -> None:
        self.rule: Callable[[Traffic, int, int, float], Decision | None] = lambda *_: None

    def decide(self, traffic: Traffic, fresh: int, retries: int, snapshot: Snapshot, now: float) -> Decision:
        assert fresh + retries > 0, "asked about nothing"
        return self.rule(traffic, fresh, retries, now) or Admit(messages=fresh + retries)


class MovableClock(VirtualClock):
    """Virtual time that can be set back or forward by `moved` seconds."""

    moved = 0.0

    def now(self) -> float:
        return super().now() + self.moved


class House:
    """A dispatcher with everything around it, under virtual time."""

    def __init__(
        self,
        *,
        sources: Sequence[str] = ("a",),
        answer: Answer | None = None,
        resolver: FakeResolver | None = None,
        seconds: float = 0.1,
        poll: float = 60.0,
        changes: Mapping[str, object] | None = None,
        share: tuple[int, int] = (0, 1),
        rates: MemoryRates | None = None,
        **delivery: float,
    ) -> None:
        self.clock = MovableClock(START)
        self.log = FakeLog()
        self.queue = FakeQueue(self.log, self.clock)
        self.settings = make_settings(sources, **delivery).model_copy(update=changes)
        self.transport = FakeTransport(self.clock, answer, seconds)
        self.resolver = resolver or FakeResolver()
        self.admission = OpenAdmission()
        self.snapshot = Snapshot()
        self.rates = rates or MemoryRates()
        rng = random.Random(7)
        self.dispatcher = Dispatcher(
            node=Node("n1"), settings=self.settings, queue=self.queue, spool=self.queue, log=self.log, clock=self.clock,
            router=Router(self.resolver, PROVIDERS, rng), transport=self.transport, admission=self.admission,
            composer=Composer(make_signer(), self.settings, NoDkim()), classifier=Classifier([]),
            schedule=RetrySchedule(self.settings.delivery, rng), providers=PROVIDERS, snapshot=lambda: self.snapshot,
            poll_seconds=poll, rng=rng, rates=self.rates, share=share,
        )  # fmt: skip

    async def put(
        self,
        *recipients: str,
        stream: str = "bulk",
        campaign: str = "c",
        max_age: float = 72 * 3600.0,
        after: float = 0.0,
        pool: str = "",
        deadline: float = 0.0,
    ) -> list[MessageId]:
        """Accept one message to each recipient."""
        now = self.clock.now()
        body = Body(
            body_id=BodyId(f"b{len(self.queue.bodies)}"), kind="mime",
            content=b"From: Shop <news@example.com>\r\nSubject: hi\r\n\r\nhello\r\n",
        )  # fmt: skip
        submissions = [
            Submission(
                message_id=new_message_id(now), recipient=recipient, stream=Stream(stream), campaign=Campaign(campaign),
                sending_domain=Domain("example.com"), body_id=body.body_id, accepted_at=now, not_before=now + after,
                expires_at=now + after + max_age, priority=0 if stream == "receipts" else 5,
                pool=Pool(pool), deadline=now + deadline if deadline else 0.0,
            )
            for recipient in recipients
        ]  # fmt: skip
        await self.queue.accept([body], submissions, [])
        self.dispatcher.wake()
        return [s.message_id for s in submissions]

    async def work(self, seconds: float) -> None:
        """Let the dispatcher run for so long, then stop it."""
        task = asyncio.get_running_loop().create_task(self.dispatcher.run())
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done:
            await task
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    def ends(self) -> Counter[str]:
        """Terminal events by message."""
        return Counter(str(e.message_id) for e in self.log.events if isinstance(e, TERMINAL))

    def delivered(self) -> list[Delivered]:
        return self.log.of(Delivered)

    def held(self) -> list[Held]:
        return self.log.of(Held)
