"""The transport against scripted hosts on loopback: real sockets, and every way a connection can end."""

from __future__ import annotations

import asyncio

import pytest

from core import lane
from core.errors import InvalidInput
from core.ports import Connection, ResolverFailed, Transport
from core.reply import Reply, Stage
from core.state import AttemptResult, Envelope
from sender.connection import SmtpConnection
from sender.session_table import MAYBE_TAKEN
from tests.unit.sender.scripted_host import (
    DOMAIN,
    DROP,
    MAIL,
    OUR,
    PIPED,
    PLAIN,
    RESET,
    SILENCE,
    TAKES,
    Host,
    Names,
    listening,
    opened,
    refused,
    transport,
)
from tests.waiting import Leap


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
    assert result.wrong_family is (hosts == ["six.test"])


async def test_an_unknown_source_is_a_mistake_of_ours() -> None:
    with pytest.raises(InvalidInput, match="two"):
        await transport(25).connect(lane.Source("two"), ["mx1.test"], DOMAIN)


# --- a connection that ends at every stage -------------------------------------------------------
@pytest.mark.parametrize("end", [DROP, RESET])
@pytest.mark.parametrize(
    ("script", "stage"),
    [([], Stage.CONNECT), (["220 x"], Stage.HELO), (["220 x", "502 ?"], Stage.HELO)],
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
    host = Host([*PLAIN, *TAKES[:replies], SILENCE])
    leap = Leap()
    # a host that has the whole message gets twice the time: who gives up on it early sends it twice
    patience = 40 if stage is Stage.FINAL else 20
    host.on_silence = lambda: leap(patience + 1)
    async with listening(host) as port:
        found = await transport(port, seconds=20).connect(OUR, ["mx1.test"], DOMAIN)
        assert isinstance(found, SmtpConnection)
        result = await found.send(MAIL)
        await found.close()
    assert (result.reply.code, result.reply.stage, result.reusable) == (0, stage, False)
    assert f"no answer within {patience} s" in result.reply.text


async def test_a_host_that_talks_without_end_is_cut_off() -> None:
    async with listening(Host(["220 x", "\r\n".join(["250-more"] * 50_000)])) as port:
        result = await refused(await transport(port).connect(OUR, ["mx1.test"], DOMAIN))
    assert result.reply.code == 0


class Deaf(Host):
    """Offers PIPELINING and hears the first command of those that come together (a firewall drops the rest)."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard, answers = list[str](), {"EHLO": PIPED[1], "DATA": "354 go", "Subject:": "250 2.0.0 taken"}
        self.heard.append(heard)
        writer.write(b"220 mx\r\n")
        while data := await reader.read(65536):
            line, _, dropped = data.decode().partition("\r\n")
            heard.append(line)
            word = line.split(" ")[0]
            writer.write(f"{answers.get(word, '250 ok')}\r\n".encode())
            await writer.drain()
            if dropped and word == "MAIL":
                for _turn in range(50):  # of the loop: by then the client has this reply and waits for the next
                    await asyncio.sleep(0)
                self.on_silence()
        writer.close()


async def test_a_host_that_loses_commands_that_come_together_gets_them_one_by_one_from_then_on() -> None:
    host, leap = Deaf(PIPED), Leap()
    host.on_silence = lambda: leap(21)
    async with listening(host) as port:
        ours = transport(port, seconds=20)
        replies: list[int] = []
        for _ in range(2):
            found = await ours.connect(OUR, ["mx1.test"], DOMAIN)
            assert isinstance(found, SmtpConnection)
            replies.append((await found.send(MAIL)).reply.code)
            await found.close()
    assert replies == [0, 250]
    assert host.heard[1][1:4] == ["MAIL FROM:<t@rp.example.com>", "RCPT TO:<ann@example.net>", "DATA"]


async def test_a_cancelled_transaction_leaves_no_open_connection() -> None:
    ended = asyncio.Event()

    class Watching(Host):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await super().serve(reader, writer)
            ended.set()

    host = Watching([*PLAIN, SILENCE])
    async with listening(host) as port:
        connection = await opened(port)
        silent = asyncio.Event()
        host.on_silence = silent.set
        sending = asyncio.ensure_future(connection.send(MAIL))
        await silent.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await ended.wait()
        await connection.close()


# --- which address -------------------------------------------------------------------------------
async def test_the_addresses_of_a_host_are_tried_in_their_order() -> None:
    host = Host(PLAIN)
    async with listening(host) as port:
        found = await transport(port, Names(mx1=["127.0.0.77", "127.0.0.1"])).connect(OUR, ["mx1.test"], DOMAIN)
        assert isinstance(found, SmtpConnection)
        await found.close()
    assert len(host.heard) == 1


@pytest.mark.parametrize("bind", ["", "::1"])
async def test_ipv6_is_used_where_ipv4_cannot_be_or_the_source_has_no_other(bind: str) -> None:
    host = Host(PLAIN)
    try:
        server = await asyncio.start_server(host.serve, "::1", 0)
    except OSError:
        print("NOT TESTED: IPv6, which this machine does not have")
        return
    port = server.sockets[0].getsockname()[1]
    found = await transport(port, Names(mx1=["127.0.0.77", "::1"]), bind=bind).connect(OUR, ["mx1.test"], DOMAIN)
    assert isinstance(found, SmtpConnection)
    await found.close()
    server.close()
    await server.wait_closed()
    assert host.peers == ["::1"]
