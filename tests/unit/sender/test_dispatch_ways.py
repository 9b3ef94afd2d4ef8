"""The sending loop over relays and under policies: which connection carries which mail, and what a failure stops."""

from __future__ import annotations

import random
from collections.abc import Sequence

from config.model import Relay
from core.classify import Classifier
from core.events import Delivered, SourceRested, SourceReturned
from core.lane import SendingDomain, Source
from core.messages import Node
from core.ports import Connection
from core.reply import Reply, Stage
from core.state import AttemptResult, MxHost
from core.tls import FREE_PASSAGE, Passage, PolicyType, StsMode, TlsFacts, TlsFailure
from sender.compose import Composer
from sender.dispatch import Dispatcher
from sender.route import Route, Router, Unroutable
from sender.schedule import RetrySchedule
from tests.unit.sender.fakes import PROVIDERS, FakeTransport, House, NoDkim, make_signer, virtually

ESP = Relay(name="esp", host="smtp.esp.test", streams=["receipts"], connections=2, messages_per_connection=3)


class Ways(FakeTransport):
    """Takes down the passages; `fail` answers an opening in the host's place."""

    passages: list[Passage]
    fail: AttemptResult | None = None

    async def connect(
        self, source: Source, hosts: Sequence[str], sending_domain: SendingDomain, **wishes: object
    ) -> Connection | AttemptResult:
        passage = wishes["passage"]
        assert isinstance(passage, Passage)
        self.passages.append(passage)
        if self.fail is not None and (passage.sts is StsMode.ENFORCE or self.fail.source_fault):
            return self.fail
        return await super().connect(source, hosts, sending_domain)


class Demanding(Router):
    """What is asked for some domains."""

    asks: dict[str, Passage]

    async def route(self, domain: str, now: float, stream: str = "") -> Route | Unroutable:
        found = await super().route(domain, now, stream)
        if isinstance(found, Route) and domain in self.asks:
            return Route(provider=found.provider, site=found.site, hosts=found.hosts, passage=self.asks[domain])
        return found


def house(relays: Sequence[Relay] = (), asks: dict[str, Passage] | None = None) -> tuple[House, Ways]:
    made = House()
    made.resolver.answers["twin.test"] = [MxHost(preference=0, host="small.test")]
    transport = Ways(made.clock)
    transport.passages = []
    made.transport = transport
    made.settings = made.settings.model_copy(update={"relays": list(relays)})
    rng = random.Random(7)
    router = Demanding(made.resolver, PROVIDERS, rng, relays=relays)
    router.asks = asks or {}
    made.dispatcher = Dispatcher(
        node=Node("n1"), settings=made.settings, queue=made.queue, spool=made.queue, log=made.log, clock=made.clock,
        router=router, transport=transport, admission=made.admission,
        composer=Composer(make_signer(), made.settings, NoDkim()), classifier=Classifier([]),
        schedule=RetrySchedule(made.settings.delivery, rng), providers=PROVIDERS, snapshot=lambda: made.snapshot,
        poll_seconds=60, rng=rng,
    )  # fmt: skip
    return made, transport


def test_a_stream_goes_by_its_relay_and_the_rest_of_the_domain_does_not() -> None:
    async def story() -> None:
        made, transport = house([ESP])
        await made.put(*[f"r{n}@{d}.test" for n in range(6) for d in ("gmail", "yahoo", "nowhere")], stream="receipts")
        await made.put("bulk@gmail.test")
        await made.work(600)
        by_host = {sent.envelope.rcpt_to: sent.host for sent in transport.sent}
        assert len(by_host) == 19
        assert {host for to, host in by_host.items() if to.startswith("r")} == {"smtp.esp.test"}
        assert by_host["bulk@gmail.test"].endswith("google.test")
        delivered = [e for e in made.log.events if isinstance(e, Delivered)]
        lanes = {e.recipient: (e.attribution.traffic.lane.provider, e.site) for e in delivered}
        assert lanes["r0@yahoo.test"] == ("yahoo", "relay:esp"), "counted as the recipient's provider"
        assert lanes["r0@nowhere.test"] == ("relay:esp", "relay:esp")
        relayed = [passage for passage in transport.passages if passage.relay]
        assert len(relayed) >= 6, "three messages a connection"
        assert transport.most["a"] <= 3, "two at the relay, one at gmail"

    virtually(story)


STRICT = Passage(sts=StsMode.ENFORCE, sts_hosts=("small.test",), domain="twin.test")


def test_mail_that_demands_more_gets_a_connection_of_its_own_which_then_serves_all() -> None:
    async def story() -> None:
        made, transport = house(asks={"twin.test": STRICT})
        await made.put("a@small.test", "b@twin.test", "c@small.test", "d@twin.test")
        await made.work(600)
        assert len(transport.delivered) == 4
        assert transport.passages[0] == FREE_PASSAGE
        assert transport.passages[1:] == [STRICT]

    virtually(story)


def test_a_policy_that_fails_for_one_domain_stops_no_other_at_the_same_site() -> None:
    async def story() -> None:
        made, transport = house(asks={"twin.test": STRICT})
        transport.fail = AttemptResult(
            reply=Reply(code=451, status="4.7.5", text="no", stage=Stage.STARTTLS), remote="", tls="", reusable=False,
            facts=TlsFacts(policy=PolicyType.STS, failure=TlsFailure.CERTIFICATE_NOT_TRUSTED),
        )  # fmt: skip
        await made.put("b@twin.test", "a@small.test", "c@small.test", "d@twin.test")
        await made.work(30)
        assert sorted(transport.delivered) == ["a@small.test", "c@small.test"]

    virtually(story)


def test_a_source_that_cannot_be_bound_is_told_and_comes_back() -> None:
    async def story() -> None:
        made, transport = house()
        reply = Reply(code=0, text="this machine does not have that address", stage=Stage.CONNECT)
        transport.fail = AttemptResult(reply=reply, remote="", tls="", reusable=False, source_fault=True)
        await made.put("a@small.test", "b@gmail.test")
        await made.work(100)
        transport.fail = None
        await made.work(4000)
        told = [type(e) for e in made.log.events if isinstance(e, SourceRested | SourceReturned)]
        assert told[0] is SourceRested
        assert told[-1] is SourceReturned
        assert len(transport.delivered) == 2

    virtually(story)


def test_mail_flows_on_after_the_clock_was_set_back() -> None:
    async def story() -> None:
        replies = iter(["451 4.4.5 too fast", *["250 Ok"] * 5])
        house = House(answer=lambda _s, _e: next(replies), poll=1.0)
        house.clock.moved = 30 * 86400.0  # the machine woke with a clock that ran ahead
        await house.put("ann@gmail.test")
        await house.work(5)
        house.clock.moved = 0.0
        await house.put("bob@gmail.test")
        await house.work(30)
        assert [event.recipient for event in house.delivered()] == ["bob@gmail.test"], "no rest of the future holds it"

    virtually(story)
