"""The transport against scripted hosts on loopback: real sockets, real TLS, every way a connection can end."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.model import Delivery, SendingDomain, Settings
from config.model import Source as SourceRow
from config.tables import ProviderRow
from core import lane
from core.clock import FixedClock
from core.errors import InvalidInput
from core.ports import Connection, NameMissing, ResolverFailed, Transport
from core.reply import Reply, Stage
from core.state import AttemptResult, Envelope, MxHost
from sender.session_table import MAYBE_TAKEN
from sender.transport import SmtpConnection, SmtpTransport

MAIL = Envelope(mail_from="t@rp.example.com", rcpt_to="ann@example.net", content=b"Subject: x\r\n\r\n.hello\r\n")
DOMAIN = lane.SendingDomain("example.com")
OUR = lane.Source("one")

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
async def listening(*hosts: Host) -> AsyncIterator[int]:
    """Hosts at 127.0.0.1, 127.0.0.2 … on one port."""
    servers: list[asyncio.Server] = []
    port = 0
    for number, host in enumerate(hosts, 1):
        servers.append(await asyncio.start_server(host.serve, f"127.0.0.{number}", port))
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
) -> SmtpTransport:
    settings = Settings(
        sending_domains=[SendingDomain(name="example.com", return_path="rp.example.com")],
        sources=[SourceRow(name="one", ehlo="out.example.com", bind=bind)],
        delivery=Delivery.model_validate(
            {"port": port, "tls": tls, "connect_timeout_seconds": seconds, "command_timeout_seconds": seconds}
        ),
    )
    return SmtpTransport(settings, names or Names(mx1=["127.0.0.1"], mx2=["127.0.0.2"]), providers, FixedClock(0.0))


async def opened(port: int, **settings: str) -> SmtpConnection:
    connection = await transport(port, **settings).connect(OUR, ["mx1.test"], DOMAIN)  # type: ignore[arg-type]
    assert isinstance(connection, SmtpConnection), connection
    return connection


async def refused(found: SmtpConnection | AttemptResult) -> AttemptResult:
    assert isinstance(found, AttemptResult)
    assert not found.reusable
    return found


async def test_it_is_the_port_that_dispatch_knows() -> None:
    async with listening(Host(PLAIN)) as port:
        port_of_core: Transport = transport(port)
        connection = await port_of_core.connect(OUR, ["mx1.test"], DOMAIN)
        assert not isinstance(connection, AttemptResult)
        as_known: Connection = connection
        await as_known.close()


@pytest.mark.parametrize("greeting", [PLAIN, PIPED])
async def test_two_messages_over_one_connection(greeting: list[str]) -> None:
    host = Host(greeting + TAKES + TAKES)
    async with listening(host) as port:
        connection = await opened(port)
        for _ in range(2):
            result = await connection.send(MAIL)
            assert result.reply == Reply(code=250, status="2.0.0", text="taken")
            assert (result.remote, result.tls, result.reusable) == ("mx1.test [127.0.0.1]", "", True)
        await connection.close()
    message = ["MAIL FROM:<t@rp.example.com>", "RCPT TO:<ann@example.net>", "DATA", "Subject: x\r\n\r\n..hello\r\n."]
    assert host.heard == [["EHLO out.example.com", *message, *message, "QUIT"]]


async def test_it_speaks_from_the_address_of_the_source() -> None:
    host = Host(PLAIN)
    async with listening(host) as port:
        await (await opened(port, bind="127.0.0.9")).close()
    assert host.peers == ["127.0.0.9"]


async def test_multi_line_replies_become_one_line_and_a_refused_recipient_leaves_the_connection_usable() -> None:
    host = Host([*PLAIN, "250 ok", "550-5.1.1 The account\r\n550 5.1.1 does not exist", "250 reset", *TAKES])
    async with listening(host) as port:
        connection = await opened(port)
        first = await connection.send(MAIL)
        assert first.reply == Reply(code=550, status="5.1.1", text="The account does not exist", stage=Stage.RCPT)
        assert first.reusable
        assert (await connection.send(MAIL)).reply.code == 250
        await connection.close()


# --- which host ----------------------------------------------------------------------------------
async def test_the_next_host_is_called_when_one_cannot_be_reached_or_puts_us_off() -> None:
    busy, good = Host(["421 4.3.2 busy"]), Host(PLAIN)
    names = Names(dead=["127.0.0.77"], mx1=["127.0.0.1"], mx2=["127.0.0.2"], slow=ResolverFailed("SERVFAIL"))
    async with listening(busy, good) as port:
        hosts = ["gone.test", "slow.test", "dead.test", "mx1.test", "mx2.test"]
        connection = await transport(port, names).connect(OUR, hosts, DOMAIN)
        assert isinstance(connection, SmtpConnection)
        await connection.close()
    assert len(busy.heard) == len(good.heard) == 1


async def test_a_5xx_greeting_ends_the_search() -> None:
    first, second = Host(["554 5.7.1 you are listed"]), Host(PLAIN)
    async with listening(first, second) as port:
        result = await refused(await transport(port).connect(OUR, ["mx1.test", "mx2.test"], DOMAIN))
    assert (result.reply.code, result.reply.stage) == (554, Stage.CONNECT)
    assert not second.heard


async def test_of_several_failures_what_a_host_said_is_reported() -> None:
    names = Names(dead=["127.0.0.77"], mx1=["127.0.0.1"])
    async with listening(Host(["421 4.7.28 rate"])) as port:
        result = await refused(
            await transport(port, names).connect(OUR, ["dead.test", "mx1.test", "dead.test"], DOMAIN)
        )
    assert (result.reply.code, result.remote) == (421, "mx1.test [127.0.0.1]")


@pytest.mark.parametrize(
    ("hosts", "bind", "said"),
    [
        ([], "", "no host"),
        (["gone.test"], "", "does not exist"),
        (["slow.test"], "", "could not be looked up"),
        (["dead.test"], "", "Connection refused"),
        (["six.test"], "127.0.0.1", "no address that can be reached from 127.0.0.1"),
        (["dead.test"], "192.0.2.1", "this machine does not have that address"),
    ],
)
async def test_no_connection_is_a_reply_with_code_0(hosts: list[str], bind: str, said: str) -> None:
    names = Names(dead=["127.0.0.77"], slow=ResolverFailed("time-out"), six=["::1"])
    async with listening(Host(PLAIN)) as port:
        result = await refused(await transport(port, names, bind=bind).connect(OUR, hosts, DOMAIN))
    assert (result.reply.code, result.reply.stage) == (0, Stage.CONNECT)
    assert said in result.reply.text


async def test_an_unknown_source_is_a_mistake_of_ours() -> None:
    with pytest.raises(InvalidInput, match="two"):
        await transport(25).connect(lane.Source("two"), ["mx1.test"], DOMAIN)


# --- TLS -----------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS context with a self-signed certificate for another name: nobody would verify it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone.else.test")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = Path(tmp_path_factory.mktemp("tls")) / "host.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


SECURED = [*OFFERING, TLS, "250-mx\r\n250 PIPELINING", *TAKES]


@pytest.mark.parametrize("tls", ["opportunistic", "required"])
async def test_encrypted_where_offered_whoever_the_host_is(context: ssl.SSLContext, tls: str) -> None:
    host = Host(SECURED, context=context)
    async with listening(host) as port:
        connection = await opened(port, tls=tls)
        result = await connection.send(MAIL)
        await connection.close()
    assert (result.reply.code, result.tls) == (250, "TLSv1.3")
    assert host.heard[0][:4] == ["EHLO out.example.com", "STARTTLS", "<tls>", "EHLO out.example.com"]
    assert host.heard[0][-1] == "QUIT"


async def test_a_failed_handshake_falls_back_to_plain_text_in_a_new_connection_and_is_remembered() -> None:
    host = Host([*OFFERING, NO_TLS], OFFERING + TAKES)
    async with listening(host) as port:
        sender = transport(port)
        for _ in range(2):
            connection = await sender.connect(OUR, ["mx1.test"], DOMAIN)
            assert isinstance(connection, SmtpConnection)
            result = await connection.send(MAIL)
            assert (result.reply.code, result.tls) == (250, "")
            await connection.close()
    assert [lines[1].split(":")[0] for lines in host.heard] == ["STARTTLS", "MAIL FROM", "MAIL FROM"]


async def test_a_host_that_hangs_up_in_the_handshake_gets_the_mail_in_plain_text() -> None:
    host = Host([*OFFERING, NO_ONE], OFFERING + TAKES)
    async with listening(host) as port:
        connection = await opened(port)
        assert (await connection.send(MAIL)).reply.code == 250
        await connection.close()


GMAIL = ProviderRow(name="gmail", mx=["test"], tls_required=True)


@pytest.mark.parametrize("settings", [("required", ()), ("opportunistic", (GMAIL,))])
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (PLAIN, "does not offer"),
        ([*OFFERING, "454 4.7.0 no certificate"], "no certificate"),
        ([*OFFERING, NO_TLS], "handshake failed"),
    ],
)
async def test_where_tls_is_required_there_is_no_plain_text(
    settings: tuple[str, Sequence[ProviderRow]], script: list[str], said: str
) -> None:
    tls, providers = settings
    host = Host(script)
    async with listening(host) as port:
        result = await refused(await transport(port, tls=tls, providers=providers).connect(OUR, ["mx1.test"], DOMAIN))
    assert (result.reply.stage, result.reply.is_transient) == (Stage.STARTTLS, True)
    assert said in result.reply.text
    assert len(host.heard) == 1


async def test_a_provider_is_recognised_at_a_label_boundary() -> None:
    row = ProviderRow(name="est", mx=["est"], tls_required=True)
    async with listening(Host(PLAIN)) as port:
        connection = await transport(port, providers=[row]).connect(OUR, ["mx1.test"], DOMAIN)
        assert isinstance(connection, SmtpConnection)
        await connection.close()


# --- a connection that ends at every stage -------------------------------------------------------
@pytest.mark.parametrize("end", [DROP, RESET])
@pytest.mark.parametrize(
    ("script", "stage"),
    [([], Stage.CONNECT), (["220 x"], Stage.HELO), (["220 x", "502 ?"], Stage.HELO), (OFFERING, Stage.STARTTLS)],
)
async def test_a_connection_that_ends_while_opening(script: list[str], stage: Stage, end: str) -> None:
    async with listening(Host([*script, end])) as port:
        result = await refused(await transport(port).connect(OUR, ["mx1.test"], DOMAIN))
    assert (result.reply.code, result.reply.stage) == (0, stage)
    assert "connection lost" in result.reply.text


@pytest.mark.parametrize("end", [DROP, RESET, "garbage of another protocol"])
@pytest.mark.parametrize("greeting", [PLAIN, PIPED])
@pytest.mark.parametrize(("replies", "stage"), [(0, Stage.MAIL), (1, Stage.RCPT), (2, Stage.DATA), (3, Stage.FINAL)])
async def test_a_connection_that_ends_in_a_transaction(
    greeting: list[str], replies: int, stage: Stage, end: str
) -> None:
    async with listening(Host([*greeting, *TAKES[:replies], end])) as port:
        connection = await opened(port)
        result = await connection.send(MAIL)
        assert (result.reply.code, result.reply.stage, result.reusable) == (0, stage, False)
        assert (MAYBE_TAKEN in result.reply.text) == (stage is Stage.FINAL)
        again = await connection.send(MAIL)
        assert (again.reply.code, again.reply.stage, again.reusable) == (0, Stage.CONNECT, False)
        await connection.close()


async def test_a_connection_closed_while_idle_says_that_nothing_was_tried() -> None:
    host = Host([*PLAIN, *TAKES[:3], "250 taken\r\n421 4.4.2 idle too long"])
    async with listening(host) as port:
        connection = await opened(port)
        first = await connection.send(MAIL)
        assert (first.reply.code, first.reply.text) == (250, "taken")
        second = await connection.send(MAIL)
        assert (second.reply.code, second.reply.stage, second.reusable) == (0, Stage.CONNECT, False)
        await connection.close()


@pytest.mark.parametrize("end", [DROP, RESET])
async def test_a_good_bye_that_crosses_our_next_message_says_so_too(end: str) -> None:
    async with listening(Host([*PIPED, *TAKES, end])) as port:
        connection = await opened(port)
        assert (await connection.send(MAIL)).reusable
        second = await connection.send(MAIL)
        assert (second.reply.code, second.reply.stage, second.reusable) == (0, Stage.CONNECT, False)
        await connection.close()


async def test_a_large_message_cut_off_in_the_middle_was_not_taken() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        for answer in (b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"):
            await reader.readline()
            writer.write(answer)
        await reader.readexactly(100_000)
        writer.transport.abort()

    host = Host(PLAIN)
    host.serve = cut  # type: ignore[method-assign]
    async with listening(host) as port:
        connection = await opened(port)
        large = Envelope(mail_from="a@b.c", rcpt_to="d@e.f", content=b"x" * 70 + b"\r\n" * 10_000_000)
        result = await connection.send(large)
        await connection.close()
    assert (result.reply.code, result.reply.stage) == (0, Stage.DATA)
    assert MAYBE_TAKEN not in result.reply.text


@pytest.mark.parametrize(("replies", "stage"), [(0, Stage.MAIL), (1, Stage.RCPT), (2, Stage.DATA), (3, Stage.FINAL)])
async def test_a_silent_host_runs_into_the_time_out(replies: int, stage: Stage) -> None:
    async with listening(Host([*PLAIN, *TAKES[:replies], SILENCE])) as port:
        found = await transport(port, seconds=0.2).connect(OUR, ["mx1.test"], DOMAIN)
        assert isinstance(found, SmtpConnection)
        result = await found.send(MAIL)
        await found.close()
    assert (result.reply.code, result.reply.stage, result.reusable) == (0, stage, False)
    assert "no answer" in result.reply.text


async def test_a_host_that_talks_without_end_is_cut_off() -> None:
    async with listening(Host(["220 x", "\r\n".join(["250-more"] * 50_000)])) as port:
        result = await refused(await transport(port).connect(OUR, ["mx1.test"], DOMAIN))
    assert result.reply.code == 0


async def test_a_cancelled_transaction_leaves_no_open_connection() -> None:
    ended = asyncio.Event()

    class Watching(Host):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await super().serve(reader, writer)
            ended.set()

    async with listening(Watching([*PLAIN, SILENCE])) as port:
        connection = await opened(port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.send(MAIL)
        await ended.wait()
        await connection.close()
