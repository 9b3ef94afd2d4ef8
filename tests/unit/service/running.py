"""A whole service on free loopback ports with a store in a temporary folder; no mail leaves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from config.load import load_settings
from core.clock import SystemClock
from core.ports import ResolverFailed
from core.state import MxHost
from service.app import Service
from tests.ports import free_port

TOKENS = {"admin": "admin-token-123456", "inject": "inject-token-12345", "read": "read-token-1234567"}


class SilentResolver:
    """A name server that never answers: everything accepted stays in the queue."""

    async def mx(self, domain: str) -> list[MxHost]:
        raise ResolverFailed(domain)

    async def addresses(self, host: str) -> list[str]:
        raise ResolverFailed(host)

    async def txt(self, name: str) -> list[str]:
        raise ResolverFailed(name)

    async def ptr(self, ip: str) -> list[str]:
        raise ResolverFailed(ip)


class Caller:
    """Calls the API of one running service."""

    def __init__(self, session: aiohttp.ClientSession, base: str, service: Service) -> None:
        self.session = session
        self.base = base
        self.service = service

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str = "admin",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """(status, JSON) of one call."""
        sent = {"Authorization": f"Bearer {TOKENS[token]}"} if token else {}
        async with self.session.request(
            method, self.base + path, json=body, headers={**sent, **(headers or {})}
        ) as answer:
            return answer.status, await answer.json()

    async def inject(self, *recipients: str, **more: object) -> list[dict[str, str]]:
        """The rows of a POST /v1/messages that was taken."""
        body = {
            "stream": "bulk", "from": "News <news@example.com>", "subject": "Hello", "text": "Hello",
            "recipients": list(recipients), **more,
        }  # fmt: skip
        status, answer = await self.call("POST", "/v1/messages", body)
        assert status == 202, answer
        rows: list[dict[str, str]] = answer["messages"]
        return rows


@asynccontextmanager
async def running(folder: Path, extra: str = "") -> AsyncIterator[Caller]:
    """Start, hand over, stop."""
    port = free_port()
    tokens = ""
    for scope, secret in TOKENS.items():
        (folder / scope).write_text(secret)
        tokens += f'[[http.tokens]]\nname = "{scope}"\ntoken_file = "{scope}"\nscope = "{scope}"\n'
    config = folder / "penstock.toml"
    config.write_text(
        f'data_dir = "var"\n[storage]\nurl = "sqlite:///var/penstock.db"\n[[sending_domains]]\nname = "example.com"\n'
        f'return_path = "rp.example.com"\n[[sources]]\nname = "a"\nehlo = "a.example.com"\n'
        f'[http]\nport = {port}\npublic_url = "http://127.0.0.1:{port}"\n{tokens}'
        f"[submission]\nenabled = false\n[inbound]\nenabled = false\n{extra}"
    )
    service = await Service.build(load_settings(config), SystemClock(), resolver=SilentResolver())
    try:
        await service.start()
        async with aiohttp.ClientSession() as session:
            yield Caller(session, f"http://127.0.0.1:{port}", service)
    finally:
        await service.stop()
