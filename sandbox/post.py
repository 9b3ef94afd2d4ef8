"""Delivers the providers' mail to our inbound listener: a small SMTP client (RFC 5321), one connection a mail.

Contract: returns when the listener took the mail, or refused it for good (that is its right: a report is not tried
twice); raises Unavailable on 4xx, a broken connection or silence of 20 real seconds, so that the outbox tries again.
"""

from __future__ import annotations

import asyncio
import logging

from core.errors import Unavailable
from core.reply import parse_reply
from sandbox.outbox import ReturnedMail

TIMEOUT_SECONDS = 20.0
MAX_REPLY_LINES = 50
_log = logging.getLogger(__name__)


class Postman:
    """Delivers to one listener."""

    def __init__(self, to: tuple[str, int], names: dict[str, str]) -> None:
        """`names` gives the EHLO name of each provider's address."""
        self._to = to
        self._names = names

    async def deliver(self, mail: ReturnedMail) -> None:
        """Hand over one mail.  Raises Unavailable when it has to be tried again."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._deliver(mail)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            raise Unavailable(f"The inbound listener did not take a report: {error}") from error

    async def _deliver(self, mail: ReturnedMail) -> None:
        local = (mail.from_ip, 0) if mail.from_ip else None
        reader, writer = await asyncio.open_connection(*self._to, local_addr=local)
        try:
            await self._expect(reader, 220)
            name = self._names.get(mail.from_ip, "mail.sandbox.example")
            for command, wanted in (
                (f"EHLO {name}", 250),
                (f"MAIL FROM:<{mail.mail_from}>", 250),
                (f"RCPT TO:<{mail.rcpt_to}>", 250),
                ("DATA", 354),
            ):
                writer.write(command.encode() + b"\r\n")
                if not await self._expect(reader, wanted):
                    return
            lines = mail.content.replace(b"\r\n.", b"\r\n..")
            writer.write((b"." if lines.startswith(b".") else b"") + lines)
            writer.write(b".\r\n" if lines.endswith(b"\r\n") else b"\r\n.\r\n")
            await self._expect(reader, 250)
            writer.write(b"QUIT\r\n")
        finally:
            writer.close()

    async def _expect(self, reader: asyncio.StreamReader, wanted: int) -> bool:
        """True for the wanted code, False for a final refusal.  Raises Unavailable for a temporary one."""
        lines: list[str] = []
        for _ in range(MAX_REPLY_LINES):
            line = await reader.readline()
            if not line:
                raise EOFError("connection closed")
            lines.append(line.decode("utf-8", "replace").rstrip())
            if lines[-1][3:4] != "-":
                break
        reply = parse_reply(lines)
        if reply.code == wanted:
            return True
        if reply.is_permanent:
            _log.warning("our inbound listener refused a report: %s", reply)
            return False
        raise Unavailable(f"The inbound listener answered {reply}")
