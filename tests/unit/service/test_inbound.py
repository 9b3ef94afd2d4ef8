"""The inbound listener: unknown recipients are refused at RCPT, and no client address may have it all."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from config.model import InboundListener, SendingDomain, Settings, Source
from core.errors import InvalidInput
from service.clientlimits import ClientLimits, client_of
from service.inbound import InboundServer
from tests.daemons.certificate import make_certificate
from tests.unit.collectors.return_world import RETURN_PATH, World, dsn, world


class Client:
    """Speaks line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def hear(self) -> str:
        line = (await self._reader.readline()).decode()
        while line[3:4] == "-":
            line = (await self._reader.readline()).decode()
        return line.strip()

    async def say(self, text: str) -> str:
        self._writer.write(text.encode() + b"\r\n")
        return await self.hear()

    async def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def listening(here: World, listener: InboundListener) -> AsyncIterator[tuple[str, int]]:
    settings = Settings(
        sending_domains=[SendingDomain(name="news.example", return_path=RETURN_PATH)],
        sources=[Source(name="s1", ehlo="s1.news.example")], inbound=listener.model_copy(update={"port": 0}),
    )  # fmt: skip
    server = InboundServer(settings, here.returns)
    await server.start()
    try:
        assert server.address is not None
        yield server.address
    finally:
        await server.stop()


async def connect(address: tuple[str, int]) -> Client:
    return Client(*await asyncio.open_connection(*address))


async def deliver(client: Client, to: str, content: bytes) -> str:
    await client.say("MAIL FROM:<>")
    answer = await client.say(f"RCPT TO:<{to}>")
    if not answer.startswith("250"):
        return answer
    await client.say("DATA")
    return await client.say(content.decode().replace("\n", "\r\n") + "\r\n.")


async def test_a_bounce_with_a_token_is_stored_and_a_stranger_refused_at_rcpt() -> None:
    async with world() as here, listening(here, InboundListener()) as address:
        client = await connect(address)
        assert (await client.hear()).startswith("220")
        await client.say("EHLO mx.shop.example")
        assert (await deliver(client, f"somebody@{RETURN_PATH}", b"")).startswith("550 5.1.1")
        await client.say("RSET")
        assert (await deliver(client, here.bounce_address, dsn())).startswith("250")
        assert list(await here.suppressed()) == ["ann@shop.example"]
        await client.close()


async def test_mail_comes_over_tls_once_a_certificate_is_named(tmp_path: Path) -> None:
    chain, key = make_certificate(tmp_path, "mx.news.example")
    listener = InboundListener(tls_cert=chain, tls_key=key, connections_per_client=1)
    async with world() as here, listening(here, listener) as address:
        for _ in range(2):  # the second is let in: a connection counts once, within TLS and without
            reader, writer = await asyncio.open_connection(*address)
            client = Client(reader, writer)
            await client.hear()
            writer.write(b"EHLO mx.shop.example\r\n")
            offered = [await reader.readline()]
            while offered[-1][3:4] == b"-":
                offered.append(await reader.readline())
            assert any(line[4:].strip() == b"STARTTLS" for line in offered)
            assert (await client.say("STARTTLS")).startswith("220")
            await writer.start_tls(ssl.create_default_context(cafile=str(chain)), server_hostname="mx.news.example")
            await client.say("EHLO mx.shop.example")
            assert (await client.say("STARTTLS")).startswith("503")
            assert (await deliver(client, here.bounce_address, dsn())).startswith("250")
            await client.say("QUIT")
            assert await client.hear() == ""
            await client.close()


async def test_a_certificate_that_cannot_be_read_is_told_by_its_key(tmp_path: Path) -> None:
    chain, key = make_certificate(tmp_path, "mx.news.example")
    key.write_text("no key")
    async with world() as here:
        with pytest.raises(InvalidInput, match=r"inbound\.tls_cert"):
            async with listening(here, InboundListener(tls_cert=chain, tls_key=key)):
                pass


async def test_who_guesses_addresses_is_disconnected() -> None:
    async with world() as here, listening(here, InboundListener(refused_per_minute=5)) as address:
        client = await connect(address)
        await client.hear()
        await client.say("EHLO x.example")
        await client.say("MAIL FROM:<>")
        answers = [await client.say(f"RCPT TO:<guess{n}@{RETURN_PATH}>") for n in range(6)]
        assert [answer[:3] for answer in answers] == ["550"] * 5 + ["421"]
        assert await client.hear() == ""
        await client.close()


async def test_too_many_messages_and_connections_of_one_client_are_put_off() -> None:
    listener = InboundListener(messages_per_minute=2, connections_per_client=2)
    async with world() as here, listening(here, listener) as address:
        first, second = await connect(address), await connect(address)
        for client in (first, second):
            await client.hear()
            await client.say("EHLO x.example")
        third = await connect(address)
        assert (await third.hear()).startswith("421")
        assert (await first.say("MAIL FROM:<>")).startswith("250")
        assert (await second.say("MAIL FROM:<>")).startswith("250")
        await first.say("RSET")
        assert (await first.say("MAIL FROM:<>")).startswith("450")
        for client in (first, second, third):
            await client.close()


def test_a_new_minute_forgives_and_clients_do_not_share() -> None:
    now = [0.0]
    limits = ClientLimits(connections=9, per_client=9, messages=1, guesses=1, monotonic=lambda: now[0])
    assert [limits.may_send("a"), limits.may_send("a"), limits.may_send("b")] == [True, False, True]
    assert [limits.may_guess("a"), limits.may_guess("a")] == [True, False]
    now[0] = 61.0
    assert limits.may_send("a")


def test_an_ipv6_client_is_its_network() -> None:
    assert client_of(("2001:db8::1", 25, 0, 0)) == client_of(("2001:db8::ffff:2", 25, 0, 0)) == "2001:db8::/64"
    assert client_of(("::ffff:192.0.2.1", 25)) == client_of(("192.0.2.1", 25)) == "192.0.2.1"
    assert client_of(None) == ""


def test_who_has_guessed_too_much_waits_for_the_next_minute() -> None:
    now = 0.0
    limits = ClientLimits(connections=9, per_client=9, messages=0, guesses=2, monotonic=lambda: now)
    assert not limits.guessed_out("a")
    assert limits.may_guess("a")
    assert not limits.guessed_out("a")
    assert limits.may_guess("a")
    assert limits.guessed_out("a")
    assert not limits.guessed_out("b")
    now = 61.0
    assert not limits.guessed_out("a")
