"""The in-memory transport: weeks of mail without a socket, with complaints and bounces coming back as mail."""

from __future__ import annotations

import asyncio
import email
from collections.abc import Awaitable, Callable
from random import Random

from core.clock import VirtualClock, VirtualTimeLoop
from core.errors import Unavailable
from core.lane import DAY, SendingDomain, Source
from core.reply import Stage
from core.state import AttemptResult, Envelope
from sandbox.behaviour import shipped_behaviours
from sandbox.host import Judged, make_hosts
from sandbox.memory import MemoryTransport, hosts_by_name
from sandbox.outbox import MAX_TRIES, Outbox, ReturnedMail
from sandbox.people import Engagement, Person

START = 1_700_000_000.0 // DAY * DAY
DOMAIN = SendingDomain("meadow.example")
MX = "outlook-com.olc.protection.outlook.com"
CONTENT = b"Message-ID: <mtoken@meadow.example>\r\nFrom: a@meadow.example\r\nTo: x@y\r\nSubject: Hi\r\n\r\nText\r\n"


def people(address: str) -> Person:
    return Person(
        exists=not address.startswith("dead"), engagement=Engagement.ENGAGED, annoyed=address.startswith("angry")
    )


def envelope(to: str) -> Envelope:
    return Envelope(mail_from="btoken@rp.meadow.example", rcpt_to=to, content=CONTENT)


class Sim:
    """A transport over the shipped providers under the running loop's virtual time."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START)
        self.outbox = Outbox(self.clock)
        self.judged: list[Judged] = []
        self.hosts = make_hosts(
            shipped_behaviours().values(),
            people=people,
            clock=self.clock,
            seed=1,
            outbox=self.outbox,
            complaints_to="fbl@rp.meadow.example",
            observe=self.judged.append,
        )
        self.transport = MemoryTransport(hosts_by_name(list(self.hosts.values())), self.clock, Random(1))


def virtually(scenario: Callable[[Sim], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(Sim())

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_a_message_is_delivered_and_takes_domain_time() -> None:
    async def scenario(sim: Sim) -> None:
        connection = await sim.transport.connect(Source("a"), [MX], DOMAIN)
        assert not isinstance(connection, AttemptResult)
        result = await connection.send(envelope("ann@outlook.example"))
        assert result.reply.code == 250
        assert result.reusable
        assert result.remote == f"{MX} [127.7.0.3]"
        assert START < sim.clock.now() < START + 5
        await connection.close()
        assert (await connection.send(envelope("ann@outlook.example"))).reply.code == 0

    virtually(scenario)


def test_a_dead_address_is_refused_at_rcpt() -> None:
    async def scenario(sim: Sim) -> None:
        connection = await sim.transport.connect(Source("a"), ["gmail-smtp-in.l.google.com"], DOMAIN)
        assert not isinstance(connection, AttemptResult)
        result = await connection.send(envelope("dead@gmail.example"))
        assert (result.reply.code, result.reply.stage, result.reusable) == (550, Stage.RCPT, True)
        assert [j.provider for j in sim.judged] == ["gmail"]

    virtually(scenario)


def test_the_eleventh_connection_of_one_source_is_turned_away_until_one_closes() -> None:
    async def scenario(sim: Sim) -> None:
        held = [await sim.transport.connect(Source("a"), [MX], DOMAIN) for _ in range(10)]
        refused = await sim.transport.connect(Source("a"), [MX], DOMAIN)
        assert isinstance(refused, AttemptResult)
        assert (refused.reply.code, refused.reply.stage) == (421, Stage.CONNECT)
        assert not isinstance(await sim.transport.connect(Source("b"), [MX], DOMAIN), AttemptResult)
        first = held[0]
        assert not isinstance(first, AttemptResult)
        await first.close()
        assert not isinstance(await sim.transport.connect(Source("a"), [MX], DOMAIN), AttemptResult)

    virtually(scenario)


def test_a_connection_carries_only_so_many_messages() -> None:
    async def scenario(sim: Sim) -> None:
        connection = await sim.transport.connect(Source("a"), [MX], DOMAIN)
        assert not isinstance(connection, AttemptResult)
        results = [await connection.send(envelope(f"u{n}@outlook.example")) for n in range(61)]
        assert all(r.reply.code == 250 for r in results[:60])
        assert (results[60].reply.code, results[60].reusable) == (421, False)

    virtually(scenario)


def test_an_unknown_host_is_no_reply_at_all() -> None:
    async def scenario(sim: Sim) -> None:
        result = await sim.transport.connect(Source("a"), ["mx.nowhere.example"], DOMAIN)
        assert isinstance(result, AttemptResult)
        assert (result.reply.code, result.reply.is_transient) == (0, True)

    virtually(scenario)


def test_complaints_come_back_as_mail_after_domain_hours() -> None:
    async def scenario(sim: Sim) -> None:
        got: list[tuple[float, ReturnedMail]] = []

        async def deliver(mail: ReturnedMail) -> None:
            got.append((sim.clock.now(), mail))

        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(sim.outbox.run(deliver))
            connection = await sim.transport.connect(Source("a"), [MX], DOMAIN)
            assert not isinstance(connection, AttemptResult)
            for n in range(20):
                await connection.send(envelope(f"angry{n}@outlook.example"))
            await sim.clock.sleep(3 * DAY)
            run.cancel()
        assert len(got) >= 15
        assert all(at > START + 60 for at, _ in got)
        assert {m.rcpt_to for _, m in got} == {"fbl@rp.meadow.example"}
        report = email.message_from_bytes(got[0][1].content)
        assert report.get_param("report-type") == "feedback-report"

    virtually(scenario)


def test_what_cannot_be_delivered_is_tried_again_and_in_the_end_given_up() -> None:
    async def scenario(sim: Sim) -> None:
        tries: list[float] = []

        async def deliver(mail: ReturnedMail) -> None:
            tries.append(sim.clock.now())
            raise Unavailable("the inbound listener is down")

        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(sim.outbox.run(deliver))
            sim.outbox.put(START + 10, ReturnedMail(mail_from="", rcpt_to="b@rp.meadow.example", content=b"x"))
            await sim.clock.sleep(DAY)
            run.cancel()
        assert len(tries) == MAX_TRIES
        assert tries[1] - tries[0] == 600

    virtually(scenario)


def test_waiting_reports_survive_a_restart() -> None:
    async def scenario(sim: Sim) -> None:
        mail = ReturnedMail(mail_from="", rcpt_to="b@rp.meadow.example", content=b"\xff\r\n", from_ip="127.7.0.3")
        sim.outbox.put(START + 50, mail)
        again = Outbox(sim.clock)
        again.load(sim.outbox.dump())
        assert again.take(START + 49) == []
        assert again.take(START + 50) == [mail]

    virtually(scenario)
