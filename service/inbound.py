"""Our inbound SMTP listener: bounces, complaints, unsubscribes by mail, DMARC reports.  Never a relay.

Contract: RCPT is answered by `ReturnMail.accepts`; 250 after DATA only when `ReturnMail.receive` has stored what the
mail says.  STARTTLS is offered where `[inbound]` names a certificate: senders that honour MTA-STS or DANE deliver to no
other host.  Bounded: message size, recipients, one connection's idle time, connections at once; and for each client
address connections at once, messages a minute (450 beyond) and unknown recipients a minute (421 beyond: somebody is
guessing).  An error of ours answers 451 so that the other side keeps the mail.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from collectors.returnmail import ReturnMail
from config.model import Settings
from core.errors import InvalidInput, PenstockError
from service.certificate import Certificate
from service.clientlimits import ClientLimits, client_of

logger = logging.getLogger("penstock.inbound")
MAX_RECIPIENTS = 100
MAX_CONNECTIONS = 200  # of all clients


class InboundHandler:
    """The transactions."""

    def __init__(self, returns: ReturnMail, limits: ClientLimits) -> None:
        self._returns = returns
        self._limits = limits

    async def handle_MAIL(
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self._limits.may_send(client_of(session.peer)):
            return "450 4.7.1 Too many messages from your address, try again in a minute"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        refusal = await self._returns.accepts(address)
        if refusal:
            if self._limits.may_guess(client_of(session.peer)):
                return refusal
            if server.transport is not None:  # closed once the reply, which is written at once, is under way
                asyncio.get_running_loop().call_soon(server.transport.close)
            return "421 4.7.1 Too many unknown recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
        try:
            peer = str(session.peer[0]) if session.peer else ""
            await self._returns.receive(envelope.mail_from or "", list(envelope.rcpt_tos), content, peer)
        except InvalidInput as error:
            return f"550 5.6.0 {' '.join(str(error).split())[:300]}"
        except PenstockError as error:
            logger.warning("inbound mail put off: %s", error)
            return "451 4.3.0 Cannot store this now, try again later"
        return "250 2.0.0 Ok: stored"

    async def handle_exception(self, error: Exception) -> str:
        logger.error("inbound mail failed", exc_info=error)
        return "451 4.3.0 Internal error, try again later"


class _Bounded(SMTP):
    """Counts open connections and turns away what is over the limit."""

    limits: ClientLimits
    client: str | None = None

    def connection_made(self, transport: Any) -> None:
        # called again inside TLS
        if self.client is None:
            self.client = client_of(transport.get_extra_info("peername"))
            if not self.limits.connect(self.client):
                transport.write(b"421 4.3.2 Too many connections, try again later\r\n")
                transport.close()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self.client is not None:
            self.limits.disconnect(self.client)
            self.client = None
        super().connection_lost(error)

    @syntax("STARTTLS")
    async def smtp_STARTTLS(self, arg: str) -> None:
        if self.session is not None and self.session.ssl is not None:
            await self.push("503 5.5.1 TLS is in use already")  # the library would begin a second one inside it
            return
        await super().smtp_STARTTLS(arg)


class InboundServer:
    """The listener.  Raises InvalidInput when its certificate cannot be read."""

    def __init__(self, settings: Settings, returns: ReturnMail) -> None:
        self._listener = settings.inbound
        limits = ClientLimits(
            connections=MAX_CONNECTIONS, per_client=self._listener.connections_per_client,
            messages=self._listener.messages_per_minute, guesses=self._listener.refused_per_minute,
        )  # fmt: skip
        handler = InboundHandler(returns, limits)
        hostname = settings.sending_domains[0].return_path
        options: dict[str, Any] = {
            "hostname": hostname, "ident": "Penstock", "data_size_limit": self._listener.max_size,
            "enable_SMTPUTF8": True, "timeout": 120,
        }  # fmt: skip

        certificate = Certificate("inbound", self._listener.tls_cert, self._listener.tls_key)

        def make() -> _Bounded:
            protocol = _Bounded(handler, tls_context=certificate.fresh(), **options)
            protocol.limits = limits
            return protocol

        self._make = make
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(
            self._make, self._listener.host, self._listener.port
        )

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens, None while it does not."""
        sockets = self._server.sockets if self._server is not None else ()
        return sockets[0].getsockname()[:2] if sockets else None

    async def stop(self) -> None:
        """Close the listening socket."""
        if self._server is not None:
            self._server.close()
