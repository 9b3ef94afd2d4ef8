"""MTA-STS policy files from a real HTTPS server on loopback: only the one address, only verified, only so much."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from core.clock import FixedClock
from core.ports import NameMissing
from core.state import MxHost
from core.tls import PolicyType, StsProblem, TlsFailure
from sender.connection import SmtpConnection
from sender.route import Route, Router
from sender.sts_cache import StsPolicies
from service.sts import HttpsPolicyFetcher
from tests.unit.sender.authority import Issued, issue, server_context
from tests.unit.sender.scripted_host import DOMAIN, MAIL, NOW, OFFERING, OUR, TAKES, TLS, Host, listening, transport

ROOT = issue("Test Root", authority=True)
GOOD = issue("mta-sts.example.net", ROOT)
OTHER = issue("www.example.net", ROOT)
ALONE = issue("mta-sts.example.net")
POLICY = "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"


class Names:
    """One name, on loopback."""

    async def addresses(self, host: str) -> list[str]:
        if host != "mta-sts.example.net":
            raise NameMissing(host)
        return ["127.0.0.1"]

    async def mx(self, domain: str) -> list[MxHost]:
        raise NameMissing(domain)

    async def txt(self, name: str) -> list[str]:
        return []

    async def ptr(self, ip: str) -> list[str]:
        return []


async def policy(request: web.Request) -> web.StreamResponse:
    assert request.host.startswith("mta-sts.example.net")
    return web.Response(text=POLICY)


async def elsewhere(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/policy")


async def missing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=404, text="no")


async def page(_request: web.Request) -> web.StreamResponse:
    return web.Response(text=POLICY, content_type="text/html")


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    for _ in range(100):
        await response.write(b"x: y\n" * 1000)
    return response


@asynccontextmanager
async def serving(tmp_path: Path, handler: object, certificate: Issued = GOOD) -> AsyncIterator[HttpsPolicyFetcher]:
    app = web.Application()
    app.router.add_get("/.well-known/mta-sts.txt", handler)  # type: ignore[arg-type]  # one of the above
    app.router.add_get("/policy", policy)
    runner = web.AppRunner(app)
    await runner.setup()
    context: ssl.SSLContext = server_context(tmp_path, certificate, ROOT)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    fetcher = HttpsPolicyFetcher(Names(), ca_file=tmp_path / "ca.pem", port=port)
    try:
        yield fetcher
    finally:
        await fetcher.close()
        await runner.cleanup()
        await asyncio.sleep(0)


async def test_the_policy_file_as_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path, policy) as fetcher:
        assert await fetcher.fetch("example.net") == POLICY
        assert await fetcher.fetch("example.net") == POLICY


@pytest.mark.parametrize(
    ("handler", "said"), [(elsewhere, "answers 302"), (missing, "answers 404"), (page, "not text/plain")]
)
async def test_anything_but_the_file_is_refused(tmp_path: Path, handler: object, said: str) -> None:
    async with serving(tmp_path, handler) as fetcher:
        with pytest.raises(StsProblem, match=said) as caught:
            await fetcher.fetch("example.net")
    assert caught.value.failure is TlsFailure.STS_POLICY_FETCH_ERROR


async def test_a_file_without_end_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path, endless) as fetcher:
        with pytest.raises(StsProblem, match="64 kB"):
            await fetcher.fetch("example.net")


@pytest.mark.parametrize("certificate", [OTHER, ALONE])
async def test_a_server_that_does_not_prove_its_name_has_no_policy(tmp_path: Path, certificate: Issued) -> None:
    async with serving(tmp_path, policy, certificate) as fetcher:
        with pytest.raises(StsProblem) as caught:
            await fetcher.fetch("example.net")
    assert caught.value.failure is TlsFailure.STS_WEBPKI_INVALID


async def test_a_name_that_is_not_there_is_a_failed_fetch(tmp_path: Path) -> None:
    async with serving(tmp_path, policy) as fetcher:
        with pytest.raises(StsProblem) as caught:
            await fetcher.fetch("example.org")
    assert caught.value.failure is TlsFailure.STS_POLICY_FETCH_ERROR


# --- all of it together --------------------------------------------------------------------------
class Domain(Names):
    """example.net with its policy host and one mail host, all on loopback."""

    async def addresses(self, host: str) -> list[str]:
        return ["127.0.0.1"]

    async def mx(self, domain: str) -> list[MxHost]:
        return [MxHost(preference=10, host="mx1.test")]

    async def txt(self, name: str) -> list[str]:
        return ["v=STSv1; id=1"] if name == "_mta-sts.example.net" else []


class Store:
    """core.ports.Meta in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def put(self, name: str, value: str) -> None:
        self.values[name] = value


async def enforcing(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="version: STSv1\nmode: enforce\nmx: *.test\nmax_age: 86400\n")


@pytest.mark.parametrize(("certificate", "code"), [(issue("mx1.test", ROOT), 250), (issue("mx1.test"), 451)])
async def test_from_the_announced_policy_to_the_mail_host(tmp_path: Path, certificate: Issued, code: int) -> None:
    names, clock = Domain(), FixedClock(NOW)
    host = Host([*OFFERING, TLS, "250 mx", *TAKES], context=server_context(tmp_path, certificate, ROOT))
    async with serving(tmp_path, enforcing) as fetcher, listening(host) as port:
        router = Router(names, [], policies=StsPolicies(names, fetcher, Store(), clock))
        route = await router.route("example.net", NOW)
        assert isinstance(route, Route)
        sender = transport(port, ca_file=tmp_path / "ca.pem")
        found = await sender.connect(OUR, route.hosts, DOMAIN, passage=route.passage)
        if isinstance(found, SmtpConnection):
            connection, found = found, await found.send(MAIL)
            await connection.close()
    assert (found.reply.code, found.facts.policy) == (code, PolicyType.STS)
