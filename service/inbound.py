"""Our inbound SMTP listener: bounces, complaints, unsubscribes by mail, DMARC reports.  Never a relay.

Contract: RCPT is answered by `ReturnMail.accepts`; 250 after DATA only when `ReturnMail.receive` has stored what the
mail says.  Bounded: message size, recipients, one connection's idle time, connections at once.  An error of ours
answers 451 so that the other side keeps the mail.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from collectors.returnmail import ReturnMail
from config.model import Settings
from core.errors import InvalidInput, PenstockError

logger = logging.getLogger("penstock.inbound")
MAX_RECIPIENTS = 100
MAX_CONNECTIONS = 200


class InboundHandler:
    """The transactions."""

    def __init__(self, returns: ReturnMail) -> None:
        self._returns = returns

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        refusal = await self._returns.accepts(address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
        try:
            await self._returns.receive(envelope.mail_from or "", list(envelope.rcpt_tos), content)
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

    open_now = 0

    def connection_made(self, transport: Any) -> None:
        cls = type(self)
        cls.open_now += 1
        if cls.open_now > MAX_CONNECTIONS:
            transport.write(b"421 4.3.2 Too many connections, try again later\r\n")
            transport.close()
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        type(self).open_now -= 1
        super().connection_lost(error)


class InboundServer:
    """The listener."""

    def __init__(self, settings: Settings, returns: ReturnMail) -> None:
        self._listener = settings.inbound
        handler = InboundHandler(returns)
        hostname = settings.sending_domains[0].return_path
        options: dict[str, Any] = {
            "hostname": hostname, "ident": "Penstock", "data_size_limit": self._listener.max_size,
            "enable_SMTPUTF8": True, "timeout": 120,
        }  # fmt: skip
        self._make = lambda: _Bounded(handler, **options)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(
            self._make, self._listener.host, self._listener.port
        )

    async def stop(self) -> None:
        """Close the listening socket."""
        if self._server is not None:
            self._server.close()
