"""SMTP over sockets: calls the hosts of a route, or the relay in their place.  Implements core.ports.Transport.

Contract: hosts are tried in their order, each at its addresses, MAX_TRIES in all; a host that cannot be reached, that
puts us off (4xx) before a message, or that does not meet the demand of a policy is passed over for the next; a 5xx
ends the search.  Never raises for what the network or the remote host does.  A local address that this machine cannot
use is told as such (`source_fault`).

TLS: what each host must offer and prove is the table of `sender.security`.  Opportunistic TLS encrypts where the host
offers it and never asks who the host is: without DNSSEC or MTA-STS there is no name to trust, and plain text would be
worse.  When the handshake fails the same host is called again in plain text, and is spared further tries for an hour.
Where TLS is required a failure is a transient Reply with Stage.STARTTLS.  Every connection that TLS was wanted for is
noted in the book.

A host that offers PIPELINING and answers a part of what came together, then nothing (a firewall between that drops the
rest), is spoken to one command at a time for the same hour: else its mail would expire after a week of time-outs.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from config.checks import is_loopback
from config.model import Relay, Settings
from config.model import Source as SourceRow
from config.secrets import read_secret
from config.tables import ProviderRow
from core.errors import InvalidInput
from core.lane import SendingDomain, Source
from core.ports import Clock, NameMissing, Resolver, ResolverFailed, SessionBook, TlsaSource
from core.reply import Reply, Stage
from core.state import AttemptResult
from core.tls import FREE_PASSAGE, Passage, PolicyType, TlsaAnswer, TlsFacts, TlsFailure, TlsSession, Verified
from sender.certificate import cause, failure_of
from sender.channel import Channel
from sender.connection import GOODBYE_SECONDS, HandshakeFailed, Peer, SmtpConnection
from sender.login import Login
from sender.security import Demand, Refusal, demand_of, demand_of_relay
from sender.session import SmtpSession, Tls

MAX_TRIES = 6  # addresses called in one `connect`
PLAIN_SECONDS = 3600.0  # real seconds that a host with a broken TLS, or broken pipelining, is called without it
MAX_REMEMBERED = 1000


class SmtpTransport:
    """Opens connections from our sources.  `providers` tell which hosts must be spoken to under TLS; without `tlsa`
    there is no DANE.  Raises InvalidInput when a relay's password or the CA file cannot be read."""

    def __init__(
        self,
        settings: Settings,
        resolver: Resolver,
        providers: Sequence[ProviderRow],
        clock: Clock,
        *,
        tlsa: TlsaSource | None = None,
        book: SessionBook | None = None,
    ) -> None:
        self._delivery = settings.delivery
        self._setting = Tls(settings.delivery.tls)
        self._resolver = resolver
        self._tlsa = tlsa
        self._book = book
        self._clock = clock
        self._sources = {row.name: row for row in settings.sources}
        self._relays = {relay.name: (relay, _login(relay)) for relay in settings.relays}
        self._encrypted_only = tuple(s.lower().strip(".") for row in providers if row.tls_required for s in row.mx)
        self._plain_until: dict[str, float] = {}
        self._lockstep_until: dict[str, float] = {}
        self._unverified = _context(None, verify=False)
        ca_file = settings.delivery.ca_file
        self._verified = _context(ca_file, verify=True) if ca_file else _of_the_system()

    async def connect(
        self, source: Source, hosts: Sequence[str], sending_domain: SendingDomain, *, passage: Passage = FREE_PASSAGE
    ) -> SmtpConnection | AttemptResult:
        """See core.ports.Transport.  Raises InvalidInput for a source or relay that is not configured."""
        row = self._sources.get(source)
        if row is None:
            raise InvalidInput("source", f"{source!r} is not configured", "Add it under [[sources]]")
        if passage.relay and passage.relay not in self._relays:
            raise InvalidInput("relay", f"{passage.relay!r} is not configured", "Add it under [[relays]]")
        best = _no_reply("", "no host to connect to")
        tries, called = MAX_TRIES, False
        for host in hosts:
            addresses = await self._addresses(host, row)
            if isinstance(addresses, AttemptResult):
                best = _better(best, addresses)
                continue
            demand = await self._demand(host, passage)
            if isinstance(demand, AttemptResult):
                best = _better(best, demand)
                continue
            called = True
            for ip in addresses[:tries]:
                tries -= 1
                found = await self._call(row, host, ip, demand, passage)
                if isinstance(found, SmtpConnection) or found.reply.is_permanent:
                    return found
                best = _better(best, found)
            if tries <= 0:
                break
        return replace(best, wrong_family=best.wrong_family and not called)

    async def _addresses(self, host: str, row: SourceRow) -> list[str] | AttemptResult:
        try:
            addresses = [host] if _is_ip(host) else await self._resolver.addresses(host)
        except NameMissing:
            return _no_reply(host, f"the mail host {host} does not exist in DNS")
        except ResolverFailed as error:
            return _no_reply(host, f"the address of {host} could not be looked up ({error})")
        if not row.bind:
            return addresses or _no_reply(host, f"{host} has no address that can be reached from here")
        version = ipaddress.ip_address(row.bind).version
        ours = [ip for ip in addresses if ipaddress.ip_address(ip).version == version]
        nothing = _no_reply(host, f"{host} has no address that can be reached from {row.bind}")
        return ours or replace(nothing, wrong_family=bool(addresses))

    # --- what the host must offer and prove ------------------------------------------------------
    async def _demand(self, host: str, passage: Passage) -> Demand | AttemptResult:
        if passage.relay:
            return demand_of_relay(self._relays[passage.relay][0])
        name = _name(host)
        try:
            tlsa = await self._tlsa_of(name, passage)
        except ResolverFailed as error:
            # a proof may exist that somebody keeps from us (RFC 7672 section 2.1.2)
            text = f"the TLSA records of {host} could not be looked up ({error})"
            refusal = Refusal(policy=PolicyType.TLSA, failure=TlsFailure.DNSSEC_INVALID, text=text[:300])
            return self._refuse(refusal, host, "", passage)
        encrypted_only = any(name == s or name.endswith("." + s) for s in self._encrypted_only)
        found = demand_of(self._setting, passage, name, tlsa, encrypted_only=encrypted_only)
        if isinstance(found, Refusal):
            return self._refuse(found, host, "", passage)
        plain = found.tls is Tls.OPPORTUNISTIC and found.verify is Verified.NONE
        if plain and self._plain_until.get(name, 0.0) > self._clock.now():
            return found.weaker(TlsFailure.VALIDATION_FAILURE, "the handshake failed a while ago") or found
        return found

    async def _tlsa_of(self, host: str, passage: Passage) -> TlsaAnswer:
        if self._tlsa is None or not passage.authentic or self._setting is Tls.OFF:
            return TlsaAnswer()
        return await self._tlsa.tlsa(host, self._delivery.port)

    # --- the call --------------------------------------------------------------------------------
    async def _call(
        self, row: SourceRow, host: str, ip: str, demand: Demand, passage: Passage
    ) -> SmtpConnection | AttemptResult:
        while True:
            try:
                found = await self._open(row, host, ip, demand, passage)
            except HandshakeFailed as error:
                weaker = demand.weaker(error.failure, str(error))
                if weaker is None:
                    text = f"TLS is required and the handshake failed: {error}"
                    refusal = Refusal(policy=demand.policy, failure=error.failure, text=text)
                    return self._refuse(refusal, host, ip, passage, row.bind)
                if weaker.tls is Tls.OFF:
                    self._remember(self._plain_until, host)
                demand = weaker
                continue
            self._note_opening(found, demand, host, ip, passage, row.bind)
            return found

    def _remember(self, until: dict[str, float], host: str) -> None:
        if len(until) >= MAX_REMEMBERED:
            until.pop(next(iter(until)))
        until[_name(host)] = self._clock.now() + self._clock.real(PLAIN_SECONDS)

    async def _open(
        self, row: SourceRow, host: str, ip: str, demand: Demand, passage: Passage
    ) -> SmtpConnection | AttemptResult:
        remote = f"{host} [{ip}]"
        relay, login = self._relays.get(passage.relay, (None, None))
        context = self._verified if demand.verify is Verified.WEBPKI else self._unverified
        try:
            async with asyncio.timeout(self._delivery.connect_timeout_seconds):
                _, channel = await asyncio.get_running_loop().create_connection(
                    Channel, ip, relay.port if relay is not None else self._delivery.port,
                    local_addr=(row.bind, 0) if row.bind else None,
                    ssl=context if demand.at_once else None, server_hostname=host if demand.at_once else None,
                )  # fmt: skip
        except TimeoutError:
            return _no_reply(remote, f"could not connect to {remote}: no answer")
        except ssl.SSLError as error:
            raise HandshakeFailed(cause(error), failure_of(error)) from error
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and row.bind:
                text = f"cannot send from {row.bind} (source {row.name}): this machine does not have that address"
                return _no_reply(remote, text, source_fault=True)
            return _no_reply(remote, f"could not connect to {remote}: {cause(error)}")
        names = [name for name in (_name(host), passage.domain) if name]
        peer = Peer(
            host=host, remote=remote, demand=demand, context=context, names=names, now=self._clock.now(),
            lost_a_group=functools.partial(self._remember, self._lockstep_until, host),
        )  # fmt: skip
        lockstep = self._lockstep_until.get(_name(host), 0.0) > self._clock.now()
        session = SmtpSession(row.ehlo, demand.tls, login, encrypted=demand.at_once, lockstep=lockstep)
        connection = SmtpConnection(channel, session, peer, self._delivery)
        try:
            refusal = await connection.open()
        except HandshakeFailed:
            await channel.close(GOODBYE_SECONDS)
            raise
        if refusal is None:
            return connection
        await channel.close(GOODBYE_SECONDS)
        if refusal.stage is Stage.STARTTLS and not refusal.code:
            raise HandshakeFailed(refusal.text)  # cut off, or answered with more than a 220, before it began
        return connection.result(refusal)

    # --- the book --------------------------------------------------------------------------------
    def _note_opening(
        self, found: SmtpConnection | AttemptResult, demand: Demand, host: str, ip: str, passage: Passage, bind: str
    ) -> None:
        """A connection that stands, or one that failed for want of TLS; what failed before tells nothing about it."""
        facts, detail = found.facts, demand.detail
        if isinstance(found, AttemptResult):
            if found.reply.stage is not Stage.STARTTLS:
                return
            facts, detail = _with_failure(facts, TlsFailure.STARTTLS_NOT_SUPPORTED), found.reply.text
        elif not facts.protocol and not facts.failure:
            facts = _with_failure(facts, TlsFailure.STARTTLS_NOT_SUPPORTED)
        if demand.tls is not Tls.OFF or demand.failure:
            self._note(host, ip, passage, facts, detail, bind)

    def _refuse(self, refusal: Refusal, host: str, ip: str, passage: Passage, bind: str = "") -> AttemptResult:
        facts = TlsFacts(policy=refusal.policy, failure=refusal.failure)
        self._note(host, ip, passage, facts, refusal.text, bind)
        reply = Reply(code=451, status="4.7.5", text=refusal.text, stage=Stage.STARTTLS)
        return AttemptResult(reply=reply, remote=f"{host} [{ip}]" if ip else host, tls="", reusable=False, facts=facts)

    def _note(self, host: str, ip: str, passage: Passage, facts: TlsFacts, detail: str, bind: str) -> None:
        if self._book is not None and not passage.relay:
            at, text = self._clock.now(), detail[:300]
            self._book.note(
                TlsSession(at=at, domain=passage.domain, host=host, ip=ip, facts=facts, detail=text, source_ip=bind)
            )


@functools.cache
def _of_the_system() -> ssl.SSLContext:
    return _context(None, verify=True)  # some 140 authorities: read once


def _context(ca_file: Path | None, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context() if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            problem = f"cannot be used ({error.strerror or type(error).__name__})"
            raise InvalidInput("delivery.ca_file", problem, "Name a PEM file of certificates") from error
    return context


def _login(relay: Relay) -> Login | None:
    if not relay.user or relay.password_file is None:
        return None
    return Login(
        user=relay.user, password=read_secret(relay.password_file),
        in_clear=relay.security == "none" and is_loopback(relay.host),
    )  # fmt: skip


def _name(host: str) -> str:
    return host.lower().strip(".")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _with_failure(facts: TlsFacts, failure: TlsFailure) -> TlsFacts:
    return facts if facts.failure else TlsFacts(policy=facts.policy, failure=failure)


def _better(one: AttemptResult, other: AttemptResult) -> AttemptResult:
    """Of two failures the one that tells more: what a host said, then what the network said, then the later."""
    return one if one.reply.code and not other.reply.code else other


def _no_reply(remote: str, text: str, *, source_fault: bool = False) -> AttemptResult:
    reply = Reply(code=0, text=text, stage=Stage.CONNECT)
    return AttemptResult(reply=reply, remote=remote, tls="", reusable=False, source_fault=source_fault)
