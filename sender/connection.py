"""One greeted SMTP connection over a socket: carries the bytes of an SmtpSession, keeps its times, checks who is there.

Contract: `open` shakes hands as the Demand says and raises HandshakeFailed, with its word for TLS reports, when the
demand is not met; nothing was said to the host then but EHLO.  `send` never raises for what the host does.

Time-outs are real seconds: connect and handshake `connect_timeout_seconds`, each reply `command_timeout_seconds`
(the one to the final dot twice that), and a whole transaction two thirds of the lease, so that no other sender can
hold the message meanwhile.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from config.model import Delivery
from core.reply import Reply, Stage
from core.state import AttemptResult, Envelope
from core.tls import TlsFacts, TlsFailure, Verified
from sender.certificate import cause, facts_of, failure_of, shown_chain
from sender.channel import Channel
from sender.dane import fits
from sender.security import Demand
from sender.session import Answer, Command, HangUp, Opened, SmtpSession, StartTls, Write
from sender.session_table import State

GOODBYE_SECONDS = 3.0  # for the reply to QUIT
PATIENCE_AFTER_DOT = 2  # times the other replies' (RFC 5321 section 4.5.3.2.6): who gives up early sends it twice
SLOWEST_BYTES_PER_SECOND = 10_000  # a message that is taken more slowly runs into the time-out


class HandshakeFailed(Exception):
    """The host offered TLS and could not keep the promise, or is not who it must be."""

    def __init__(self, text: str, failure: TlsFailure = TlsFailure.VALIDATION_FAILURE) -> None:
        super().__init__(text)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who is called, and what they must prove.  `names` are those that a certificate may be made for, under DANE."""

    host: str
    remote: str
    demand: Demand
    context: ssl.SSLContext
    names: Sequence[str]
    now: float
    lost_a_group: Callable[[], None]  # it answered a part of commands that came together, and then nothing


class SmtpConnection:
    """A greeted connection.  One task at a time; implements core.ports.Connection.

    A connection that the host closed between two messages answers with code 0 and Stage.CONNECT: nothing was tried.
    """

    def __init__(self, channel: Channel, session: SmtpSession, peer: Peer, delivery: Delivery) -> None:
        self._channel = channel
        self._session = session
        self._peer = peer
        self._delivery = delivery
        demand = peer.demand
        self._facts = TlsFacts(policy=demand.policy, failure=demand.failure)
        self._idle_end = ""
        self._used = False

    @property
    def facts(self) -> TlsFacts:
        """How the connection is secured."""
        return self._facts

    async def open(self) -> Reply | None:
        """Await the greeting and introduce ourselves.  None when messages can be sent.  Raises HandshakeFailed."""
        if self._channel.tls is not None:
            self._check()
        return await self._guarded([], self._delivery.command_timeout_seconds * 4)

    async def send(self, envelope: Envelope) -> AttemptResult:
        """See core.ports.Connection."""
        if self._channel.pending:
            # the host said or did something unasked between two messages: there is no good case of that
            said = (await self._channel.read()).decode("utf-8", "replace").strip()
            self._session.lost(said)
            self._idle_end = said[:200] or self._channel.why
        if self._session.state is not State.READY:
            self._channel.abort()
            text = f"the connection was closed between two messages ({self._idle_end or 'by us'})"
            return self.result(Reply(code=0, text=text, stage=Stage.CONNECT))
        longest = self._delivery.lease_seconds * 2 / 3
        reply = await self._guarded(self._session.send(envelope), longest)
        assert reply is not None
        if self._used and reply.code == 0 and reply.stage is Stage.MAIL and self._channel.pending:
            reply = replace(reply, stage=Stage.CONNECT)  # our MAIL crossed the host's good-bye on the way
        self._used = True
        return self.result(reply)

    async def close(self) -> None:
        """QUIT, if the host still listens, and close."""
        if self._session.state is State.READY and not self._channel.pending:
            await self._guarded(self._session.quit(), GOODBYE_SECONDS, expect=False)
        await self._channel.close(GOODBYE_SECONDS)

    def result(self, reply: Reply) -> AttemptResult:
        reusable = self._session.state is State.READY
        return AttemptResult(
            reply=reply, remote=self._peer.remote, tls=str(self._facts), reusable=reusable, facts=self._facts
        )

    async def _guarded(self, commands: list[Command], longest: float, *, expect: bool = True) -> Reply | None:
        try:
            return await self._converse(commands, longest, expect=expect)
        except BaseException:
            # cancelled, or an error of ours, in the middle of a dialogue: nobody could go on with it
            self._channel.abort()
            raise

    async def _converse(self, commands: list[Command], longest: float, *, expect: bool) -> Reply | None:
        """Carry out commands and feed replies until the session has an answer, is open, or has hung up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + longest
        waiting_since, state = loop.time(), self._session.state
        while True:
            reply: Reply | None = None
            done = False
            while commands:
                more: list[Command] = []
                for command in commands:
                    if isinstance(command, Write):
                        more += await self._write(command, end)
                    elif isinstance(command, Answer):
                        reply, done = command.reply, True
                    elif isinstance(command, StartTls):
                        more += await self._shake_hands()
                    elif isinstance(command, Opened):
                        done = True
                    elif isinstance(command, HangUp):
                        self._channel.abort()
                        done = True
                commands = more
            if done or (not expect and self._session.state is State.READY):
                return reply
            if self._session.state is not state:
                waiting_since, state = loop.time(), self._session.state
            # the time-out is over the whole reply: a host that drips bytes gains nothing by it
            allowed = self._delivery.command_timeout_seconds * (PATIENCE_AFTER_DOT if state is State.FINAL else 1)
            deadline = min(end, waiting_since + allowed)
            try:
                data = await self._channel.read(deadline)
            except TimeoutError:
                if state in (State.PIPED_RCPT, State.PIPED_DATA):
                    self._peer.lost_a_group()
                commands = self._session.lost(f"no answer within {deadline - waiting_since:.0f} s")
                continue
            commands = self._session.receive(data) if data else self._session.lost(self._channel.why)

    async def _write(self, command: Write, end: float) -> list[Command]:
        self._channel.write(command.chunks)
        if not command.content:
            return []
        size = sum(map(len, command.chunks))
        loop = asyncio.get_running_loop()
        allowed = self._delivery.command_timeout_seconds + size / SLOWEST_BYTES_PER_SECOND
        try:
            if await self._channel.flush(min(end, loop.time() + allowed)):
                return self._session.flushed()
        except TimeoutError:
            return self._session.lost(f"the host took longer than {allowed:.0f} s to read it")
        said = await self._channel.read()  # a host may refuse a message in mid-stream and close
        commands = self._session.receive(said) if said else []
        return commands or self._session.lost(self._channel.why)

    async def _shake_hands(self) -> list[Command]:
        if self._channel.pending:
            raise HandshakeFailed("the host spoke before the handshake")
        peer = self._peer
        try:
            await self._channel.start_tls(peer.context, peer.host, self._delivery.connect_timeout_seconds)
        except OSError as error:
            raise HandshakeFailed(cause(error), failure_of(error)) from error
        self._check()
        return self._session.tls_up()

    def _check(self) -> None:
        """Take down what the handshake showed; what OpenSSL did not verify under DANE is verified here."""
        tls, demand = self._channel.tls, self._peer.demand
        facts = facts_of(tls)
        self._facts = replace(facts, verified=demand.verify, policy=demand.policy, failure=demand.failure)
        if demand.verify is Verified.DANE and tls is not None:
            why = fits(demand.tlsa, shown_chain(tls), self._peer.names, self._peer.now)
            if why:
                raise HandshakeFailed(why, TlsFailure.TLSA_INVALID)
