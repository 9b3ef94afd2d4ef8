"""The Transport port without a network: attempts are answered by the provider models, for simulation.

Contract: as core.ports.Transport.  The sending address of a source is its name (models tell senders apart by address
and return-path domain).  Waiting goes through the clock in domain time, so that weeks run under a VirtualClock.
Complaints and bounce mails are put into the outbox: run `outbox.run(deliver)` beside the sender, and hand each
ReturnedMail to the collector as it came (`mail_from`, `rcpt_to`, `content`: whole mails as bytes).
A host that no provider has is answered as an unreachable one: Reply with code 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from core.lane import SendingDomain, Source
from core.ports import Clock, Connection
from core.reply import Reply, Stage, parse_reply
from core.state import AttemptResult, Envelope
from core.tls import FREE_PASSAGE, Passage
from sandbox.host import ProviderHost
from sandbox.model import Situation

TLS = "TLSv1.3"


class MemoryTransport:
    """`hosts` maps each mail exchanger's name to its provider (see `hosts_by_name`).

    `connect_seconds` and `message_seconds` are mean domain seconds that a connection and a message take.
    """

    def __init__(
        self,
        hosts: Mapping[str, ProviderHost],
        clock: Clock,
        rng: Random,
        *,
        connect_seconds: float = 0.3,
        message_seconds: float = 0.2,
    ) -> None:
        self._hosts = hosts
        self._clock = clock
        self._rng = rng
        self._connect_seconds = connect_seconds
        self._message_seconds = message_seconds

    async def connect(
        self, source: Source, hosts: Sequence[str], sending_domain: SendingDomain, *, passage: Passage = FREE_PASSAGE
    ) -> Connection | AttemptResult:
        """A greeted connection to the first host that greets, or the last refusal.  Emulated hosts have no policies."""
        refusal = AttemptResult(
            reply=Reply(code=0, text="no host to connect to", stage=Stage.CONNECT), remote="", tls="", reusable=False
        )
        for name in hosts:
            await self._clock.sleep(self._connect_seconds * self._rng.uniform(0.5, 1.5))
            host = self._hosts.get(name)
            if host is None:
                reply = Reply(code=0, text=f"connection to {name} refused", stage=Stage.CONNECT)
                refusal = AttemptResult(reply=reply, remote=name, tls="", reusable=False)
                continue
            verdict = host.greet(source)
            if verdict.situation is Situation.GREETING:
                return MemoryConnection(self, host, name, source)
            refusal = AttemptResult(reply=verdict.reply, remote=_remote(name, host), tls="", reusable=False)
        return refusal

    async def wait(self) -> None:
        """The time that one message takes."""
        await self._clock.sleep(self._message_seconds * self._rng.uniform(0.5, 1.5))


class MemoryConnection:
    """One connection to one host of a provider."""

    def __init__(self, transport: MemoryTransport, host: ProviderHost, name: str, source: Source) -> None:
        self._transport = transport
        self._host = host
        self._name = name
        self._source = source
        self._messages = 0
        self._open = True

    async def send(self, envelope: Envelope) -> AttemptResult:
        """Answer as the provider would.  A closed connection gives a Reply with code 0."""
        if not self._open:
            return self._result(Reply(code=0, text="connection lost", stage=Stage.MAIL), reusable=False)
        await self._transport.wait()
        verdict = self._host.begin(self._source, self._messages)
        if verdict is None:
            size = len(envelope.content)
            verdict = self._host.recipient(self._source, envelope.mail_from, envelope.rcpt_to, size)
        self._messages += 1
        if verdict.accepted:
            self._host.take(
                self._source,
                self._source,
                TLS,
                envelope.mail_from,
                envelope.rcpt_to,
                envelope.content,
                verdict,
            )
        if verdict.closes:
            await self.close()
        return self._result(parse_reply(list(verdict.lines), verdict.stage), reusable=not verdict.closes)

    async def close(self) -> None:
        """Hang up; again is harmless."""
        if self._open:
            self._open = False
            self._host.hang_up(self._source)

    def _result(self, reply: Reply, *, reusable: bool) -> AttemptResult:
        return AttemptResult(reply=reply, remote=_remote(self._name, self._host), tls=TLS, reusable=reusable)


def hosts_by_name(hosts: Sequence[ProviderHost]) -> dict[str, ProviderHost]:
    """Every mail exchanger's name to its provider."""
    return {name: host for host in hosts for name in host.behaviour.mx}


def _remote(name: str, host: ProviderHost) -> str:
    return f"{name} [{host.behaviour.address}]"
