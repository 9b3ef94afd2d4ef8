"""The resolver against a small real name server on loopback: UDP, TCP, TTLs and every way to say nothing."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from config.model import Dns
from core.clock import FixedClock, SystemClock
from core.errors import InvalidInput
from core.ports import NameMissing, NullMx, Resolver, ResolverFailed
from core.state import MxHost
from service.resolver import DnsResolver
from tests.waiting import Leap

SOA = "test. 900 IN SOA ns.test. host.test. 1 2 3 4 60"
ZONE = """
    mail.test.      300  IN MX 20 MX2.mail.test.
    mail.test.      300  IN MX 10 mx1.mail.test.
    mx1.mail.test.  300  IN A 192.0.2.1
    mx1.mail.test.  300  IN AAAA 2001:db8::1
    mx2.mail.test.  300  IN CNAME alias.test.
    alias.test.     20   IN A 192.0.2.2
    null.test.      300  IN MX 0 .
    bare.test.      300  IN A 192.0.2.3
    text.test.      300  IN TXT "v=spf1 " "-all"
    text.test.      300  IN TXT "second"
    empty.test.     300  IN TXT "only this"
    fleeting.test.  0    IN A 192.0.2.4
    half.test.      300  IN AAAA 2001:db8::2
    1.2.0.192.in-addr.arpa. 300 IN PTR Mail.Test.
    signed.test.    300  IN MX 10 mx.signed.test.
    mx.signed.test. 300  IN A 192.0.2.5
    _25._tcp.mx.signed.test. 300 IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    _25._tcp.mx1.mail.test. 300 IN TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"""
LARGE = [f'large.test. 300 IN TXT "{n:0200}"' for n in range(30)]
FAILING = {"broken.test.": dns.rcode.SERVFAIL, "refused.test.": dns.rcode.REFUSED}


class NameServer(asyncio.DatagramProtocol):
    """Answers from ZONE.  `asked` counts questions; `silent` swallows them; `failing` names answer with an rcode."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.failing: dict[str, dns.rcode.Rcode] = dict(FAILING)
        self.failing_kinds: dict[tuple[str, str], dns.rcode.Rcode] = {("half.test.", "A"): dns.rcode.SERVFAIL}
        self.silent = False
        self.proven = ".signed.test."  # names under it are answered with the AD bit
        self.swallowed = asyncio.Event()
        self.on_silence: Callable[[], object] = lambda: None
        self.tcp = 0
        self.port = 0
        self._records = [line.split(maxsplit=4) for line in (*ZONE.strip().splitlines(), *LARGE)]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # cast: asyncio's own datagram transport is no subclass of it before 3.12
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.silent:
            self.asked["silence", ""] += 1
            self.swallowed.set()
            self.on_silence()
            return
        response = self.answer(data)
        wire = response.to_wire(max_size=65_535)
        if len(wire) > 1232:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire(max_size=65_535)
        self._transport.sendto(wire, addr)

    async def over_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tcp += 1
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        wire = self.answer(await reader.readexactly(length)).to_wire(max_size=65_535)
        writer.write(struct.pack("!H", len(wire)) + wire)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def answer(self, data: bytes) -> dns.message.Message:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        response = dns.message.make_response(query)
        if query.flags & dns.flags.AD and ("." + name).endswith(self.proven):
            response.flags |= dns.flags.AD
        rcode = self.failing.get(name) or self.failing_kinds.get((name, kind))
        if rcode is not None:
            response.set_rcode(rcode)
            return response
        known = {row[0] for row in self._records}
        while True:
            alias = self._of(name, "CNAME")
            response.answer += alias if kind != "CNAME" else []
            if not alias:
                break
            name = alias[0][0].to_text()
        response.answer += self._of(name, kind)
        if name not in known:
            response.set_rcode(dns.rcode.NXDOMAIN)
        if not response.answer:
            response.authority.append(dns.rrset.from_text(*_fields(SOA)))
        return response

    def _of(self, name: str, kind: str) -> list[dns.rrset.RRset]:
        rows = [row for row in self._records if row[0] == name and row[3] == kind]
        return [dns.rrset.from_text(name, int(rows[0][1]), "IN", kind, *(row[4] for row in rows))] if rows else []


def _fields(line: str) -> tuple[str, int, str, str, str]:
    name, ttl, family, kind, text = line.split(maxsplit=4)
    return name, int(ttl), family, kind, text


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    for left in reversed(range(20)):
        transport, protocol = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
        try:
            tcp = await asyncio.start_server(protocol.over_tcp, "127.0.0.1", protocol.port)
        except OSError:  # the port was free for UDP only
            transport.close()
            if not left:
                raise
        else:
            break
    yield protocol
    tcp.close()
    await tcp.wait_closed()
    transport.close()


def resolver(
    server: NameServer, clock: SystemClock | None = None, *, seconds: float = 30, trusted: bool = False
) -> DnsResolver:
    settings = Dns(nameservers=["127.0.0.1"], port=server.port, timeout_seconds=seconds, trusted=trusted)
    return DnsResolver(settings, clock or FixedClock(0.0))


async def test_mail_hosts_come_by_preference_in_lower_case(server: NameServer) -> None:
    port: Resolver = resolver(server)
    assert await port.mx("Mail.Test") == [
        MxHost(preference=10, host="mx1.mail.test"), MxHost(preference=20, host="mx2.mail.test"),
    ]  # fmt: skip


async def test_a_domain_without_mx_but_with_an_address_is_its_own_mail_host(server: NameServer) -> None:
    assert await resolver(server).mx("bare.test") == [MxHost(preference=0, host="bare.test")]
    assert await resolver(server).mx("empty.test") == []


async def test_a_null_mx_takes_no_mail(server: NameServer) -> None:
    with pytest.raises(NullMx):
        await resolver(server).mx("null.test")


async def test_addresses_ipv4_first_also_through_an_alias(server: NameServer) -> None:
    assert await resolver(server).addresses("mx1.mail.test") == ["192.0.2.1", "2001:db8::1"]
    assert await resolver(server).addresses("mx2.mail.test") == ["192.0.2.2"]
    assert await resolver(server).addresses("text.test") == []


async def test_the_a_records_alone_cost_one_question(server: NameServer) -> None:
    ours = resolver(server)
    assert await ours.ipv4("mx1.mail.test") == ["192.0.2.1"]
    assert await ours.ipv4("text.test") == []
    assert server.asked["mx1.mail.test.", "AAAA"] == 0
    with pytest.raises(NameMissing):
        await ours.ipv4("none.test")


async def test_strings_of_a_text_record_are_joined(server: NameServer) -> None:
    assert sorted(await resolver(server).txt("text.test")) == ["second", "v=spf1 -all"]
    assert await resolver(server).txt("bare.test") == []


async def test_names_of_an_address(server: NameServer) -> None:
    assert await resolver(server).ptr("192.0.2.1") == ["mail.test"]
    assert await resolver(server).ptr("2001:db8::9") == []
    with pytest.raises(ValueError, match="not an IP"):
        await resolver(server).ptr("mail.test")


async def test_a_large_answer_comes_over_tcp(server: NameServer) -> None:
    assert len(await resolver(server).txt("large.test")) == 30
    assert server.tcp == 1


async def test_a_name_that_does_not_exist_or_cannot(server: NameServer) -> None:
    for name in ("gone.test", "a" * 64 + ".test", "a..test", "x." * 130):
        with pytest.raises(NameMissing):
            await resolver(server).addresses(name)
    with pytest.raises(NameMissing):
        await resolver(server).mx("gone.test")
    with pytest.raises(NameMissing):
        await resolver(server).txt("gone.test")


# --- nothing is known ----------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "said"), [("broken.test", "SERVFAIL"), ("refused.test", "REFUSED")])
async def test_a_failing_zone_proves_nothing(server: NameServer, name: str, said: str) -> None:
    asker = resolver(server)
    with pytest.raises(ResolverFailed, match=said):
        await asker.mx(name)
    with pytest.raises(ResolverFailed, match=said):
        await asker.addresses(name)


async def test_silence_ends_in_the_time_out_and_the_question_is_asked_twice(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    leap = Leap()
    # dnspython asks the system's clock how long it has tried
    for module in (dns.resolver, dns.asyncresolver):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=asyncio.get_running_loop().time))
    server.silent, server.on_silence = True, lambda: leap(10.5)
    with pytest.raises(ResolverFailed, match="in time"):
        await resolver(server, seconds=20).txt("mail.test")
    assert server.asked["silence", ""] == 2


async def test_one_family_is_enough_when_the_other_fails(server: NameServer) -> None:
    assert await resolver(server).addresses("half.test") == ["2001:db8::2"]


async def test_a_failure_is_kept_for_seconds_only(server: NameServer) -> None:
    clock = FixedClock(0.0)
    asker = resolver(server, clock)
    with pytest.raises(ResolverFailed):
        await asker.mx("broken.test")
    asked = server.asked["broken.test.", "MX"]
    with pytest.raises(ResolverFailed):
        await asker.mx("broken.test")
    assert server.asked["broken.test.", "MX"] == asked
    del server.failing["broken.test."]
    clock.advance(6)
    with pytest.raises(NameMissing):
        await asker.mx("broken.test")


# --- the cache -----------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "kind", "ttl"), [("bare.test", "A", 300), ("mx2.mail.test", "A", 20)])
async def test_an_answer_is_kept_for_its_ttl_the_least_of_the_chain(
    server: NameServer, name: str, kind: str, ttl: int
) -> None:
    clock = FixedClock(0.0)
    asker = resolver(server, clock)
    for passed, questions in [(0.0, 1), (ttl - 1.0, 1), (2.0, 2)]:
        clock.advance(passed)
        await asker.addresses(name)
        assert server.asked[f"{name}.", kind] == questions


async def test_absence_is_kept_for_the_negative_ttl_of_the_zone(server: NameServer) -> None:
    clock = FixedClock(0.0)
    asker = resolver(server, clock)
    for passed, questions in [(0.0, 1), (59.0, 1), (2.0, 2)]:
        clock.advance(passed)
        with pytest.raises(NameMissing):
            await asker.mx("gone.test")
        assert await asker.txt("bare.test") == []
        assert server.asked["gone.test.", "MX"] == questions
        assert server.asked["bare.test.", "TXT"] == questions


async def test_a_ttl_of_zero_is_not_kept(server: NameServer) -> None:
    asker = resolver(server)
    await asker.addresses("fleeting.test")
    await asker.addresses("fleeting.test")
    assert server.asked["fleeting.test.", "A"] == 2


async def test_a_ttl_is_real_time_whatever_the_rate_of_the_clock(server: NameServer) -> None:
    class Fast(FixedClock):
        def real(self, seconds: float) -> float:
            return seconds * 100

    fast = Fast(0.0)
    asker = resolver(server, fast)
    await asker.addresses("bare.test")
    fast.advance(29_000)
    await asker.addresses("bare.test")
    assert server.asked["bare.test.", "A"] == 1


async def test_equal_questions_at_one_time_are_asked_once(server: NameServer) -> None:
    asker = resolver(server)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asker.txt("text.test")) for _ in range(50)]
    assert all(len(task.result()) == 2 for task in tasks)
    assert server.asked["text.test.", "TXT"] == 1


async def test_a_cancelled_asker_does_not_take_the_answer_from_the_others(server: NameServer) -> None:
    server.silent = True
    asker = resolver(server, seconds=2)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(asker.txt("text.test"))
        second = group.create_task(asker.txt("text.test"))
        await server.swallowed.wait()
        server.silent = False
        first.cancel()
    assert first.cancelled()
    assert len(second.result()) == 2


def test_name_servers_that_are_no_addresses_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"dns\.nameservers"):
        DnsResolver(Dns(nameservers=["not an address"]), FixedClock(0.0))


# --- DNSSEC and DANE -----------------------------------------------------------------------------
async def test_only_a_trusted_name_server_can_prove_anything(server: NameServer) -> None:
    for trusted in (False, True):
        asker = resolver(server, trusted=trusted)
        assert [host.authentic for host in await asker.mx("signed.test")] == [trusted]
        assert not any(host.authentic for host in await asker.mx("mail.test"))
        answer = await asker.tlsa("mx.signed.test", 25)
        assert answer.authentic is trusted
        assert len(answer.records) == trusted


async def test_tlsa_records_as_dns_holds_them(server: NameServer) -> None:
    (record,) = (await resolver(server, trusted=True).tlsa("MX.signed.test", 25)).records
    assert (record.usage, record.selector, record.matching, record.data) == (
        3,
        1,
        1,
        bytes.fromhex("0123456789abcdef") * 4,
    )


async def test_no_tlsa_is_asked_for_where_the_addresses_are_not_proven(server: NameServer) -> None:
    assert not (await resolver(server, trusted=True).tlsa("mx1.mail.test", 25)).authentic
    assert not server.asked["_25._tcp.mx1.mail.test.", "TLSA"]


async def test_the_proven_absence_of_tlsa_is_an_answer(server: NameServer) -> None:
    answer = await resolver(server, trusted=True).tlsa("mx.signed.test", 2525)
    assert (answer.authentic, answer.records) == (True, ())


async def test_tlsa_that_cannot_be_had_is_no_absence(server: NameServer) -> None:
    server.failing["_25._tcp.mx.signed.test."] = dns.rcode.SERVFAIL
    with pytest.raises(ResolverFailed, match="TLSA"):
        await resolver(server, trusted=True).tlsa("mx.signed.test", 25)
