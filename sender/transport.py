"""SMTP over sockets: opens connections for SmtpSession and carries its bytes.  Implements core.ports.Transport.

Contract: hosts are tried in their order, each at its addresses, MAX_TRIES in all; a host that cannot be reached, or
that puts us off (4xx) before a message, is passed over for the next; a 5xx ends the search.  Never raises for what
the network or the remote host does.  A local address that this machine cannot use is told as such.

TLS: 'opportunistic' encrypts where the host offers it and never asks who the host is (RFC 7435): without DNSSEC or
MTA-STS there is no name to trust, and plain text would be worse.  When the handshake fails the same host is called
again in plain text, and is spared further tries for an hour.  'required' (setting, or `tls_required` of the
provider whose host it is) takes the same encryption and refuses plain text: a transient Reply with Stage.STARTTLS.
'off' never encrypts.

Time-outs are real seconds: connect and handshake `connect_timeout_seconds`, each reply `command_timeout_seconds`,
and a whole transaction two thirds of the lease, so that no other sender can hold the message meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import replace

from config.model import Settings
from config.model import Source as SourceRow
from config.tables import ProviderRow
from core.errors import InvalidInput
from core.lane import SendingDomain, Source
from core.ports import Clock, NameMissing, Resolver, ResolverFailed
from core.reply import Reply, Stage
from core.state import AttemptResult, Envelope
from sender.channel import Channel
from sender.session import Answer, Command, HangUp, Opened, SmtpSession, StartTls, Tls, Write
from sender.session_table import State

MAX_TRIES = 6  # addresses called in one `connect`
GOODBYE_SECONDS = 3.0  # for the reply to QUIT
PLAIN_SECONDS = 3600.0  # real seconds that a host with a broken TLS is called in plain text
MAX_REMEMBERED = 1000
SLOWEST_BYTES_PER_SECOND = 10_000  # a message that is taken more slowly runs into the time-out


class _HandshakeFailed(Exception):
    """The host offered STARTTLS and could not keep the promise."""


class SmtpConnection:
    """A greeted connection.  One task at a time; implements core.ports.Connection.

    A connection that the host closed between two messages answers with code 0 and Stage.CONNECT: nothing was tried.
    """

    def __init__(
        self, channel: Channel, session: SmtpSession, *, host: str, remote: str, settings: Settings, tls: ssl.SSLContext
    ) -> None:
        self._channel = channel
        self._session = session
        self._host = host
        self._remote = remote
        self._delivery = settings.delivery
        self._context = tls
        self._tls = ""
        self._idle_end = ""
        self._used = False

    async def open(self) -> Reply | None:
        """Await the greeting and introduce ourselves.  None when messages can be sent."""
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
        return AttemptResult(reply=reply, remote=self._remote, tls=self._tls, reusable=reusable)

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
            queue = list(commands)
            reply: Reply | None = None
            done = False
            while queue:
                command = queue.pop(0)
                if isinstance(command, Write):
                    queue += await self._write(command, end)
                elif isinstance(command, StartTls):
                    queue += await self._shake_hands()
                elif isinstance(command, Answer):
                    reply, done = command.reply, True
                elif isinstance(command, Opened):
                    done = True
                elif isinstance(command, HangUp):
                    self._channel.abort()
                    done = True
            if done or (not expect and self._session.state is State.READY):
                return reply
            if self._session.state is not state:
                waiting_since, state = loop.time(), self._session.state
            # the time-out is over the whole reply: a host that drips bytes gains nothing by it
            deadline = min(end, waiting_since + self._delivery.command_timeout_seconds)
            try:
                async with asyncio.timeout_at(deadline):
                    data = await self._channel.read()
            except TimeoutError:
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
            async with asyncio.timeout_at(min(end, loop.time() + allowed)):
                if await self._channel.flush():
                    return self._session.flushed()
        except TimeoutError:
            return self._session.lost(f"the host took longer than {allowed:.0f} s to read it")
        said = await self._channel.read()  # a host may refuse a message in mid-stream and close
        commands = self._session.receive(said) if said else []
        return commands or self._session.lost(self._channel.why)

    async def _shake_hands(self) -> list[Command]:
        if self._channel.pending:
            raise _HandshakeFailed("the host spoke before the handshake")
        try:
            await self._channel.start_tls(self._context, self._host, self._delivery.connect_timeout_seconds)
        except OSError as error:
            raise _HandshakeFailed(_cause(error)) from error
        self._tls = self._channel.tls
        return self._session.tls_up()


class SmtpTransport:
    """Opens connections from our sources.  `providers` tell which hosts must be spoken to under TLS."""

    def __init__(self, settings: Settings, resolver: Resolver, providers: Sequence[ProviderRow], clock: Clock) -> None:
        self._settings = settings
        self._resolver = resolver
        self._clock = clock
        self._sources = {row.name: row for row in settings.sources}
        self._encrypted_only = tuple(s.lower().strip(".") for row in providers if row.tls_required for s in row.mx)
        self._plain_until: dict[str, float] = {}
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    async def connect(
        self, source: Source, hosts: Sequence[str], sending_domain: SendingDomain
    ) -> SmtpConnection | AttemptResult:
        """See core.ports.Transport.  Raises InvalidInput for a source that is not configured."""
        row = self._sources.get(source)
        if row is None:
            raise InvalidInput("source", f"{source!r} is not configured", "Add it under [[sources]]")
        best = _no_reply("", "no host to connect to")
        tries = MAX_TRIES
        for host in hosts:
            addresses = await self._addresses(host, row)
            if isinstance(addresses, AttemptResult):
                best = _better(best, addresses)
                continue
            for ip in addresses[:tries]:
                tries -= 1
                found = await self._call(row, host, ip)
                if isinstance(found, SmtpConnection) or found.reply.is_permanent:
                    return found
                best = _better(best, found)
            if tries <= 0:
                break
        return best

    async def _addresses(self, host: str, row: SourceRow) -> list[str] | AttemptResult:
        try:
            addresses = await self._resolver.addresses(host)
        except NameMissing:
            return _no_reply(host, f"the mail host {host} does not exist in DNS")
        except ResolverFailed as error:
            return _no_reply(host, f"the address of {host} could not be looked up ({error})")
        if row.bind:
            version = ipaddress.ip_address(row.bind).version
            addresses = [ip for ip in addresses if ipaddress.ip_address(ip).version == version]
        return addresses or _no_reply(host, f"{host} has no address that can be reached from {row.bind or 'here'}")

    def _policy(self, host: str) -> Tls:
        wanted = Tls(self._settings.delivery.tls)
        if wanted is Tls.OPPORTUNISTIC:
            name = host.lower().strip(".")
            if any(name == s or name.endswith("." + s) for s in self._encrypted_only):
                return Tls.REQUIRED
            if self._plain_until.get(name, 0.0) > self._clock.now():
                return Tls.OFF
        return wanted

    async def _call(self, row: SourceRow, host: str, ip: str) -> SmtpConnection | AttemptResult:
        policy = self._policy(host)
        try:
            return await self._open(row, host, ip, policy)
        except _HandshakeFailed as error:
            if policy is Tls.REQUIRED:
                text = f"TLS is required and the handshake failed: {error}"
                reply = Reply(code=451, status="4.7.5", text=text, stage=Stage.STARTTLS)
                return AttemptResult(reply=reply, remote=f"{host} [{ip}]", tls="", reusable=False)
        if len(self._plain_until) >= MAX_REMEMBERED:
            self._plain_until.pop(next(iter(self._plain_until)))
        self._plain_until[host.lower().strip(".")] = self._clock.now() + self._clock.real(PLAIN_SECONDS)
        return await self._open(row, host, ip, Tls.OFF)

    async def _open(self, row: SourceRow, host: str, ip: str, policy: Tls) -> SmtpConnection | AttemptResult:
        remote = f"{host} [{ip}]"
        port = self._settings.delivery.port
        try:
            async with asyncio.timeout(self._settings.delivery.connect_timeout_seconds):
                _, channel = await asyncio.get_running_loop().create_connection(
                    Channel, ip, port, local_addr=(row.bind, 0) if row.bind else None
                )
        except TimeoutError:
            return _no_reply(remote, f"could not connect to {remote}: no answer")
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and row.bind:
                text = f"cannot send from {row.bind} (source {row.name}): this machine does not have that address"
                return _no_reply(remote, text)
            return _no_reply(remote, f"could not connect to {remote}: {_cause(error)}")
        session = SmtpSession(row.ehlo, policy)
        connection = SmtpConnection(
            channel, session, host=host, remote=remote, settings=self._settings, tls=self._context
        )
        refusal = await connection.open()
        if refusal is None:
            return connection
        await channel.close(GOODBYE_SECONDS)
        return connection.result(refusal)


def _better(one: AttemptResult, other: AttemptResult) -> AttemptResult:
    """Of two failures the one that tells more: what a host said, then what the network said, then the later."""
    return one if one.reply.code and not other.reply.code else other


def _no_reply(remote: str, text: str) -> AttemptResult:
    return AttemptResult(reply=Reply(code=0, text=text, stage=Stage.CONNECT), remote=remote, tls="", reusable=False)


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS error"
    return os.strerror(error.errno) if error.errno else str(error)
