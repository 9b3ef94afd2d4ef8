"""An open API on loopback: reached by its own names only."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from config.model import Http
from service.web.auth import Gatekeeper, errors_as_json
from tests.ports import free_port


@pytest.fixture
async def base() -> AsyncIterator[str]:
    async def hello(_request: web.Request) -> web.Response:
        return web.json_response({})

    gate = Gatekeeper(Http(host="127.0.0.1", public_url="https://mail.example.com"))
    app = web.Application(middlewares=[errors_as_json, gate.middleware])
    app.router.add_post("/v1/pauses/resume", hello)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("127.0.0.1:8025", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("a.localhost", 200), ("[::1]:8025", 200),
     ("mail.example.com", 200), ("evil.example:8025", 403), ("evil.example", 403), ("127.0.0.1.evil.example", 403)],
)  # fmt: skip
async def test_a_foreign_name_that_leads_to_loopback_is_refused(base: str, host: str, wanted: int) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}  # what a rebound page sends: its own origin
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base}/v1/pauses/resume", headers=headers) as answer,
    ):
        assert answer.status == wanted
