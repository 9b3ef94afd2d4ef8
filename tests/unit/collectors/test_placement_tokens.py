"""Access tokens for seed mailboxes: kept, renewed, replaced, refused; secrets stay out of every text."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from collectors.placement.oauth import OAuthAccount, TokenSource
from core.errors import LoginRefused, Unavailable


class Exchange:
    """A token exchange whose answers a test gives in turn; the last one stays."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        self.answers = list(answers)
        self.forms: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.forms.append({key: str(value) for key, value in (await request.post()).items()})
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(body, bytes):
            return web.Response(status=status, body=body)
        return web.json_response(body, status=status)


class Hands:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@asynccontextmanager
async def source(
    exchange: Exchange, file: Path | None = None, hands: Hands | None = None
) -> AsyncIterator[TokenSource]:
    app = web.Application()
    app.router.add_post("/token", exchange.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    account = OAuthAccount(
        mailbox="s@outlook.com", token_url=f"http://127.0.0.1:{port}/token", client_id="id", client_secret="cl1ent",
        refresh_token="refr3sh", refresh_file=file, scope="imap",
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        yield TokenSource(account, session, monotonic=hands or Hands())
    await runner.cleanup()


async def test_a_token_is_kept_until_shortly_before_its_end_and_asked_for_once_by_many() -> None:
    hands = Hands()
    exchange = Exchange((200, {"access_token": "one", "expires_in": 3600}), (200, {"access_token": "two"}))
    async with source(exchange, hands=hands) as tokens:
        assert set(await asyncio.gather(*(tokens.token() for _ in range(5)))) == {"one"}
        hands.at = 3539
        assert await tokens.token() == "one"
        hands.at = 3541
        assert await tokens.token() == "two"
    assert exchange.forms[0] == {
        "grant_type": "refresh_token", "client_id": "id", "client_secret": "cl1ent", "refresh_token": "refr3sh",
        "scope": "imap",
    }  # fmt: skip
    assert len(exchange.forms) == 2


async def test_a_fresh_one_is_asked_for_when_the_server_refused_the_one_at_hand() -> None:
    exchange = Exchange((200, {"access_token": "one"}), (200, {"access_token": "two"}))
    async with source(exchange) as tokens:
        assert [await tokens.token(), await tokens.token(fresh=True), await tokens.token()] == ["one", "two", "two"]


async def test_a_replaced_refresh_token_is_kept_in_its_file_and_used_from_then_on(tmp_path: Path) -> None:
    file = tmp_path / "refresh"
    file.write_text("refr3sh\n")
    file.chmod(0o600)
    exchange = Exchange((200, {"access_token": "one", "refresh_token": "newer"}), (200, {"access_token": "two"}))
    async with source(exchange, file) as tokens:
        await tokens.token()
        await tokens.token(fresh=True)
    assert exchange.forms[1]["refresh_token"] == "newer"
    assert file.read_text() == "newer\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["refresh"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {"error": "invalid_grant"}), LoginRefused),
        ((401, b"no JSON"), LoginRefused),
        ((500, {"error": "server_error"}), Unavailable),
        ((302, b""), Unavailable),
        ((200, b"[" * 100_000), Unavailable),
        ((200, {"access_token": ""}), Unavailable),
        ((200, {"access_token": 7}), Unavailable),
        ((200, {"access_token": "t\u00f6ken"}), Unavailable),
    ],
)
async def test_an_answer_without_a_token_tells_whether_somebody_must_act(
    answer: tuple[int, object], error: type[Unavailable]
) -> None:
    async with source(Exchange(answer)) as tokens:
        with pytest.raises(error) as caught:
            await tokens.token()
        assert type(caught.value) is error
        assert not {"refr3sh", "cl1ent"} & set(str(caught.value).split())


async def test_an_exchange_that_is_away_is_no_dead_login() -> None:
    account = OAuthAccount(
        mailbox="s@outlook.com", token_url="http://127.0.0.1:1/token", client_id="id", refresh_token="refr3sh"
    )
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unavailable) as caught:
            await TokenSource(account, session).token()
    assert not isinstance(caught.value, LoginRefused)


@pytest.mark.parametrize("life", ["soon", None, -5, 10**12])
async def test_a_strange_lifetime_is_no_error(life: object) -> None:
    async with source(Exchange((200, {"access_token": "one", "expires_in": life}))) as tokens:
        assert await tokens.token() == "one"
