"""Scripted SMTP hosts on loopback, a closed world of names, and a transport that lives in it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from config.model import Delivery, Relay, SendingDomain, Settings
from config.model import Source as SourceRow
from config.tables import ProviderRow
from core import lane
from core.clock import FixedClock
from core.ports import NameMissing, SessionBook, TlsaSource
from core.state import AttemptResult, Envelope, MxHost
from sender.connection import SmtpConnection
from sender.transport import SmtpTransport

MAIL = Envelope(mail_from="t@rp.example.com", rcpt_to="ann@example.net", content=b"Subject: x\r\n\r\n.hello\r\n")
DOMAIN = lane.SendingDomain("example.com")
OUR = lane.Source("one")
NOW = 1_800_000_000.0

DROP = "<drop>"
RESET = "<reset>"
TLS = "<tls>"
SILENCE = "<silence>"
NO_TLS = "<no tls>"  # 220 to STARTTLS, then plain text instead of a handshake
NO_ONE = "<no one>"  # 220 to STARTTLS, then the end
PLAIN = ["220 mx ready", "250 mx"]
PIPED = ["220 mx ready", "250-mx\r\n250 PIPELINING"]
OFFERING = ["220 mx ready", "250-mx\r\n250 STARTTLS"]
TAKES = ["250 ok", "250 ok", "354 go", "250 2.0.0 taken"]


class Host:
    """Answers line by line from its script: one script a connection, the last one again and again."""

    def __init__(self, *scripts: Sequence[str], context: ssl.SSLContext | None = None) -> None:
        self.scripts = list(scripts)
        self.heard: list[list[str]] = []
        self.peers: list[str] = []
        self.context = context
        self.on_silence: Callable[[], object] = lambda: None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        heard: list[str] = []
        self.heard.append(heard)
        self.peers.append(writer.get_extra_info("peername")[0])
        try:
            for number, step in enumerate(script):
                if number and script[number - 1] != TLS:
                    heard.append(await self._listen(reader, content=script[number - 1].startswith("354")))
                if step == DROP:
                    break
                if step in (NO_TLS, NO_ONE):
                    writer.write(b"220 go\r\n")
                    await reader.read(1)
                    writer.write(b"500 what is this?\r\n" if step == NO_TLS else b"")
                    break
                if step == RESET:
                    writer.transport.abort()
                    break
                if step == SILENCE:
                    self.on_silence()
                    await reader.read()
                    break
                if step == TLS:
                    assert self.context is not None
                    heard.append("<tls>")
                    writer.write(b"220 go\r\n")
                    await writer.start_tls(self.context)
                    heard.append(await self._listen(reader))
                    continue
                writer.write(step.encode() + b"\r\n")
                await writer.drain()
            else:
                heard.append(await self._listen(reader))
                if heard[-1] == "QUIT":
                    writer.write(b"221 bye\r\n")
        except (ConnectionError, ssl.SSLError):
            heard.append("<broken>")
        finally:
            writer.close()

    @staticmethod
    async def _listen(reader: asyncio.StreamReader, *, content: bool = False) -> str:
        try:
            end = b"\r\n.\r\n" if content else b"\r\n"
            return (await reader.readuntil(end)).decode().removesuffix("\r\n")
        except asyncio.IncompleteReadError:
            return "<end>"


class Names:
    """A closed world of names: an unlisted one does not exist."""

    def __init__(self, **hosts: list[str] | Exception) -> None:
        self._hosts = hosts

    async def mx(self, domain: str) -> list[MxHost]:
        raise NameMissing(domain)

    async def addresses(self, host: str) -> list[str]:
        found = self._hosts.get(host.split(".")[0], NameMissing(host))
        if isinstance(found, Exception):
            raise found
        return found

    async def txt(self, name: str) -> list[str]:
        return []

    async def ptr(self, ip: str) -> list[str]:
        return []


@asynccontextmanager
async def listening(*hosts: Host, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Hosts at 127.0.0.1, 127.0.0.2 … on one port, with `tls` from the first byte."""
    servers: list[asyncio.Server] = []
    port = 0
    for number, host in enumerate(hosts, 1):
        servers.append(await asyncio.start_server(host.serve, f"127.0.0.{number}", port, ssl=tls))
        port = port or servers[0].sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()


def transport(
    port: int,
    names: Names | None = None,
    *,
    tls: str = "opportunistic",
    bind: str = "",
    seconds: float = 20,
    providers: Sequence[ProviderRow] = (),
    ca_file: Path | None = None,
    relays: Sequence[Relay] = (),
    tlsa: TlsaSource | None = None,
    book: SessionBook | None = None,
) -> SmtpTransport:
    settings = Settings(
        sending_domains=[SendingDomain(name="example.com", return_path="rp.example.com")],
        sources=[SourceRow(name="one", ehlo="out.example.com", bind=bind)],
        delivery=Delivery.model_validate(
            {"port": port, "tls": tls, "connect_timeout_seconds": seconds, "command_timeout_seconds": seconds,
             "ca_file": ca_file}
        ),
        relays=list(relays),
    )  # fmt: skip
    names = names or Names(mx1=["127.0.0.1"], mx2=["127.0.0.2"])
    return SmtpTransport(settings, names, providers, FixedClock(NOW), tlsa=tlsa, book=book)


async def opened(port: int, **settings: str) -> SmtpConnection:
    connection = await transport(port, **settings).connect(OUR, ["mx1.test"], DOMAIN)  # type: ignore[arg-type]
    assert isinstance(connection, SmtpConnection), connection
    return connection


async def refused(found: SmtpConnection | AttemptResult) -> AttemptResult:
    assert isinstance(found, AttemptResult)
    assert not found.reusable
    return found
