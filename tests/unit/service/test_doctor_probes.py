"""What doctor learns by speaking to our own pages and mailboxes; and the probes against small servers on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from collectors.dns.checks import Level
from config.model import Http, SendingDomain, Settings, Source
from service.doctor import examine
from service.doctor_probes import probe
from service.probes import Handshake, NetworkProbes
from tests.daemons.certificate import make_certificate
from tests.unit.collectors.watch_zone import Zone

SETTINGS = Settings(
    sending_domains=[SendingDomain(name="news.example", return_path="b.news.example")],
    sources=[Source(name="s1", ehlo="mta.news.example")],
    http=Http(public_url="https://mail.news.example"),
)
ZONE = """
news.example MX 10 mx.news.example
b.news.example MX 10 mta.news.example
_mta-sts.b.news.example TXT v=STSv1; id=1
"""
POLICY = "version: STSv1\nmode: enforce\nmx: mta.news.example\nmax_age: 86400\n"
STS_URL = "https://mta-sts.b.news.example/.well-known/mta-sts.txt"


class Scripted:
    """Probes that answer from a script."""

    def __init__(self, pages: dict[str, tuple[int, str]], refusals: dict[str, str]) -> None:
        self.pages = {"https://mail.news.example/healthz": (200, "ok"), STS_URL: (200, POLICY), **pages}
        self.answers = refusals
        self.shake = Handshake(chain=(b"",))
        self.host = "mta.news.example"

    async def page(self, url: str) -> tuple[int, str]:
        return self.pages[url]

    async def handshake(self, host: str, port: int, ehlo: str) -> Handshake:
        assert (host, port, ehlo) == (self.host, 25, "mta.news.example")
        return self.shake

    async def refusals(self, host: str, port: int, ehlo: str, recipients: Sequence[str]) -> dict[str, str]:
        assert (host, port, ehlo) == ("mx.news.example", 25, "mta.news.example")
        return self.answers or dict.fromkeys(recipients, "")


@pytest.mark.parametrize(
    ("logo", "mark", "bad"),
    [
        ((404, ""), (200, "no PEM"), ["bimi.unserved", "bimi.mark"]),
        ((200, "<html>"), (0, "no answer"), ["bimi.logo", "bimi.unserved"]),
    ],
)
async def test_what_a_bimi_record_leads_to(logo: tuple[int, str], mark: tuple[int, str], bad: list[str]) -> None:
    record = "default._bimi.news.example TXT v=BIMI1; l=https://news.example/l.svg; a=https://news.example/m.pem"
    pages = {"https://news.example/l.svg": logo, "https://news.example/m.pem": mark}
    findings = await probe(SETTINGS, Zone(f"{ZONE}\n{record}\n"), Scripted(pages, {}))
    assert [f.text.id for f in findings if f.level is not Level.OK] == bad


@pytest.mark.parametrize(
    ("pages", "refusals", "bad"),
    [
        ({}, {}, []),
        ({"https://mail.news.example/healthz": (502, "x")}, {}, ["unsubscribe.unreachable"]),
        ({"https://mail.news.example/healthz": (0, "no answer")}, {}, ["unsubscribe.unreachable"]),
        ({STS_URL: (404, "")}, {}, ["mta_sts.unserved"]),
        ({STS_URL: (0, "certificate verify failed")}, {}, ["mta_sts.unserved"]),
        ({STS_URL: (200, "<html>")}, {}, ["mta_sts.unserved"]),
        ({STS_URL: (200, POLICY.replace("mta.", "old."))}, {}, ["mta_sts.mx"]),
        ({STS_URL: (200, POLICY.replace("enforce", "testing"))}, {}, ["mta_sts.testing"]),
        ({STS_URL: (200, POLICY.replace("enforce", "none"))}, {}, ["mta_sts.off"]),
        ({STS_URL: (200, POLICY.replace("86400", "3600"))}, {}, ["mta_sts.short"]),
        ({}, {"postmaster@news.example": "", "abuse@news.example": "550 5.1.1 no such user"}, ["roles.refused"]),
        ({}, {"postmaster@news.example": "451 greylisted", "abuse@news.example": ""}, ["roles.unknown"]),
        ({}, {"": "mx.news.example: no answer"}, ["roles.unknown"]),
    ],
)
async def test_pages_and_mailboxes_of_ours(
    pages: dict[str, tuple[int, str]], refusals: dict[str, str], bad: list[str]
) -> None:
    findings = await probe(SETTINGS, Zone(ZONE), Scripted(pages, refusals))
    assert [f.text.id for f in findings if f.level is not Level.OK] == bad
    assert len(findings) == 3
    assert all(f.remedy for f in findings if f.level is not Level.OK)


def _certificate(folder: Path, *names: str) -> tuple[bytes, str]:
    """(DER, the TLSA data of its key)."""
    chain, _ = make_certificate(folder, names[0], *names[1:])
    certificate = x509.load_pem_x509_certificate(chain.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_bytes(Encoding.DER), hashlib.sha256(key).hexdigest()


TLSA = "mta.news.example TLSA 3 1 1 "
WRONG = "ab" * 32


@pytest.mark.parametrize(
    ("records", "mode", "shake", "bad"),
    [
        (TLSA + "{right}", "enforce", {}, []),
        (TLSA + WRONG, "enforce", {}, ["dane.mismatch"]),
        (f"{TLSA}{WRONG}\n{TLSA}{{right}}", "enforce", {}, []),
        ("", "enforce", {"distrust": "certificate has expired"}, ["mta_sts.certificate"]),
        ("", "testing", {"distrust": "certificate has expired"}, ["mta_sts.testing"]),
        (TLSA + "{right}", "none", {"distrust": "self-signed certificate"}, ["mta_sts.off"]),
        ("", "enforce", {"chain": (), "problem": "it does not offer STARTTLS"}, ["mx.no_tls"]),
        (TLSA + WRONG, "none", {"chain": (), "problem": "it does not offer STARTTLS"}, ["mta_sts.off", "mx.no_tls"]),
        ("", "none", {"chain": (), "problem": "it does not offer STARTTLS"}, ["mta_sts.off"]),
        ("", "enforce", {"silent": "connection refused"}, ["mx.silent"]),
    ],
)
async def test_hosts_that_do_not_keep_what_is_published_about_them(
    tmp_path: Path, records: str, mode: str, shake: dict[str, Any], bad: list[str]
) -> None:
    shown, right = _certificate(tmp_path, "mta.news.example")
    probes = Scripted({STS_URL: (200, POLICY.replace("enforce", mode))}, {})
    probes.shake = replace(Handshake(chain=(shown,)), **shake)
    findings = await probe(SETTINGS, Zone(f"{ZONE}\n{records.format(right=right)}"), probes)
    worse = [f for f in findings if f.level is not Level.OK]
    assert [f.text.id for f in worse] == bad
    assert all(all(f.words(language)) for f in worse for language in ("en", "ru"))
    if "dane.mismatch" in bad:
        assert f"_25._tcp.mta.news.example TLSA 3 1 1 {right}" in worse[0].remedy


async def test_a_mail_host_is_shaken_hands_with_and_sent_nothing(tmp_path: Path) -> None:
    chain, key = make_certificate(tmp_path, "mta.news.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            writer.write(b"220 mx\r\n")
            heard.append(await reader.readline())
            writer.write(b"250-mx\r\n250-X " + b"x" * 400 + b"\r\n250 STARTTLS\r\n")
            heard.append(await reader.readline())
            writer.write(b"220 go\r\n")
            await writer.start_tls(context)
            heard.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        shake = await NetworkProbes().handshake("127.0.0.1", server.sockets[0].getsockname()[1], "me.example")
    assert shake.chain == (x509.load_pem_x509_certificate(chain.read_bytes()).public_bytes(Encoding.DER),)
    assert "self-signed" in shake.distrust.replace(" ", "-")
    assert set(heard) <= {b"EHLO me.example\r\n", b"STARTTLS\r\n", b""}


@pytest.mark.parametrize(
    ("replies", "silent", "problem"),
    [
        ([b"554 go away\r\n", b"250 x\r\n"], "250 x", ""),
        ([b"220 mx\r\n", b"250 mx\r\n"], "", "STARTTLS"),
        ([b"220 mx\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"454 not now\r\n"], "", "454 not now"),
        ([b"hello\r\n"], "SMTP", ""),
    ],
)
async def test_a_host_without_tls_is_told_from_one_that_cannot_be_asked(
    replies: list[bytes], silent: str, problem: str
) -> None:
    async with speaking(*replies) as (port, _):
        shake = await NetworkProbes().handshake("127.0.0.1", port, "me.example")
    assert (silent in shake.silent, problem in shake.problem, shake.chain) == (True, True, ())
    assert bool(shake.silent) == bool(silent)


async def test_what_other_checks_tell_is_not_told_twice() -> None:
    settings = SETTINGS.model_copy(update={"http": Http()})
    assert await probe(settings, Zone(""), Scripted({}, {})) == []


async def test_doctor_takes_them_in_only_when_asked() -> None:
    async def closed(host: str, port: int, bind: str) -> str:
        return ""

    without = await examine(SETTINGS, Zone(ZONE), connect_port25=closed)
    with_probes = await examine(SETTINGS, Zone(ZONE), connect_port25=closed, probes=Scripted({}, {}))
    more = {f.text.id for f in with_probes} - {f.text.id for f in without}
    assert more == {"unsubscribe.ok", "roles.ok", "mta_sts.served"}


@asynccontextmanager
async def speaking(*replies: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives its replies in turn, one a line that it hears."""
    heard: list[bytes] = []
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            for reply in replies:
                writer.write(reply)
                line = await reader.readline()
                if not line:
                    break
                heard.append(line)
        writer.close()
        done.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], heard
        await done.wait()


async def test_recipients_are_asked_about_and_no_message_is_sent() -> None:
    replies = [
        b"220 mx\r\n",
        b"250-mx\r\n250 PIPELINING\r\n",
        b"250 ok\r\n",
        b"250 ok\r\n",
        b"550 5.1.1 no\r\n",
        b"221 bye\r\n",
    ]
    async with speaking(*replies) as (port, heard):
        answers = await NetworkProbes().refusals("127.0.0.1", port, "me.example", ["a@x.example", "b@x.example"])
    assert answers == {"a@x.example": "", "b@x.example": "550 5.1.1 no"}
    assert heard == [
        b"EHLO me.example\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<a@x.example>\r\n", b"RCPT TO:<b@x.example>\r\n",
        b"QUIT\r\n",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("replies", "problem"),
    [
        ([b"554 go away\r\n", b"250 x\r\n", b"250 x\r\n"], "554 go away"),
        ([b"hello\r\n"], "does not speak SMTP"),
        ([b"220 mx\r\n"], "closed the connection"),
        ([b"220-more\r\n" * 60], "no end"),
        ([b"2" * 10_000], "limit"),
    ],
)
async def test_a_host_that_cannot_be_asked_is_unknown(replies: list[bytes], problem: str) -> None:
    async with speaking(*replies) as (port, _):
        answers = await NetworkProbes().refusals("127.0.0.1", port, "me.example", ["a@x.example"])
    assert list(answers) == [""]
    assert problem in answers[""]


async def test_a_page_is_fetched_bounded_and_without_redirects() -> None:
    async def large(request: web.Request) -> web.Response:
        return web.Response(text="x" * 1_000_000)

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPFound("/large")

    app = web.Application()
    app.router.add_get("/large", large)
    app.router.add_get("/moved", moved)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    probes = NetworkProbes()
    status, text = await probes.page(f"http://127.0.0.1:{port}/large")
    assert (status, len(text) <= 65_536) == (200, True)
    assert (await probes.page(f"http://127.0.0.1:{port}/moved"))[0] == 302
    await runner.cleanup()
    assert (await probes.page(f"http://127.0.0.1:{port}/large"))[0] == 0


async def test_a_policy_is_not_advised_to_list_an_address_in_place_of_a_host() -> None:
    zone = ZONE.replace("b.news.example MX 10 mta.news.example", "b.news.example MX 10 192.0.2.10")
    probes = Scripted({}, {})
    probes.host = "192.0.2.10"
    findings = await probe(SETTINGS, Zone(zone), probes)
    assert [f.text.id for f in findings if f.level is not Level.OK] == [], "the check of the MX tells it"
