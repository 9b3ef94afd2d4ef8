"""Microsoft SNDS by REST against a local server: rows as JSON and as CSV, blocked addresses, logins that ended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from collectors.postmaster import snds_rest
from collectors.postmaster.feed import Account
from collectors.postmaster.http import Refused
from tests.unit.collectors.test_postmaster import DAY, EXPECTED, HEAD, ROW, Handler, json_answer, serving, text_answer

ROW_JSON = {
    "ipAddress": "192.0.2.1", "rcptCommands": 1200, "dataCommands": 1100, "messageRecipients": 1000,
    "filterResult": "YELLOW", "complaintRate": "< 0.1%", "trapHits": 3, "comments": None,
}  # fmt: skip


def rest_account(url: str, *subjects: str, secret: str = '{"refresh_token": "r3fresh"}') -> Account:
    return Account(name="rest", subjects=subjects, secret=secret, url=url, token_url=f"{url}/token")


@pytest.mark.parametrize(
    "text",
    [json.dumps([ROW_JSON]), json.dumps({"data": [ROW_JSON, 5, {"ipAddress": "none"}]}), f"{HEAD}\r\n{ROW}\r\n"],
    ids=["list", "object", "csv"],
)
async def test_snds_by_rest_gives_the_same_figures_in_either_form(text: str) -> None:
    asked: list[tuple[str, str]] = []
    forms: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers["Authorization"]))
        return web.Response(text=text)

    async def token(request: web.Request) -> web.Response:
        forms.append({key: str(value) for key, value in (await request.post()).items()})
        return web.json_response({"access_token": "acc"})

    routes: dict[str, Handler] = {"GET /api/report/data/{day}": answer, "POST /token": token}
    async with serving(**routes) as (url, session):
        found = {one.metric: one for one in await snds_rest.fetch(session, rest_account(url), DAY)}
        assert await snds_rest.fetch(session, rest_account(url, "192.0.2.9"), DAY) == []
    assert asked[0] == ("/api/report/data/2025-11-24", "Bearer acc")
    assert forms[0] == {
        "grant_type": "refresh_token", "client_id": snds_rest.CLIENT_ID, "refresh_token": "r3fresh",
        "scope": f"{snds_rest.CLIENT_ID}/.default offline_access",
    }  # fmt: skip
    assert {name: found[name].value for name in EXPECTED} == EXPECTED
    assert (found["filter_spam_share"].text, found["complaint_rate"].interval) == ("YELLOW", (0.0, 0.001))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"value": [{"ip": "192.0.2.1", "blocked": True, "details": "by policy"}, {"ip": "192.0.2.2"}]}),
        "192.0.2.1,192.0.2.1,Yes,by policy\n192.0.2.2,192.0.2.2,No,\nFirst,Last,Blocked,Details\n",
    ],
    ids=["json", "csv"],
)
async def test_addresses_that_microsoft_blocks_are_told(text: str) -> None:
    routes = {"GET /api/report/status/ip": text_answer(text), "POST /token": json_answer({"access_token": "acc"})}
    async with serving(**routes) as (url, session):
        found = await snds_rest.state(session, rest_account(url), DAY)
    assert [(one.subject, one.metric, one.value, one.text) for one in found] == [
        ("192.0.2.1", "blocked", 1.0, "by policy")
    ]


@pytest.mark.parametrize(
    ("secret", "status", "text"),
    [
        ("key", 200, ""), ("[]", 200, ""), ('{"refresh_token": "r"}', 401, ""),
        ('{"refresh_token": "r"}', 200, "<html>sign in</html>"),
    ],
)  # fmt: skip
async def test_a_login_to_snds_that_ended_is_told_as_refused(secret: str, status: int, text: str) -> None:
    routes = {
        "GET /api/report/data/{day}": text_answer(text, status),
        "POST /token": json_answer({"access_token": "acc"}),
    }
    async with serving(**routes) as (url, session):
        with pytest.raises(Refused) as caught:
            await snds_rest.fetch(session, rest_account(url, secret=secret), DAY)
    assert "r3fresh" not in str(caught.value)


async def test_a_refresh_token_that_is_replaced_is_used_and_kept_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "rest.json"
    file.write_text('{"client_id": "c1", "refresh_token": "r0"}')
    file.chmod(0o640)
    given: list[str] = []

    async def token(request: web.Request) -> web.Response:
        given.append(str((await request.post())["refresh_token"]))
        return web.json_response({"access_token": "acc", "refresh_token": f"r{len(given)}"})

    account = replace(rest_account("", secret=file.read_text()), secret_file=file)
    async with serving(**{"GET /api/report/status/ip": text_answer(""), "POST /token": token}) as (url, session):
        account = replace(account, url=url, token_url=f"{url}/token")
        for _ in range(2):
            await snds_rest.state(session, account, DAY)
        assert given == ["r0", "r1"]
        assert json.loads(file.read_text()) == {"client_id": "c1", "refresh_token": "r2"}
        assert (file.stat().st_mode & 0o777, account.unkept) == (0o600, "")
        account.secret_file = tmp_path / "gone" / "rest.json"
        await snds_rest.state(session, account, DAY)
        assert "cannot be written: No such file" in account.unkept
        account.secret_file.parent.mkdir()
        await snds_rest.state(session, account, DAY)
        assert (account.unkept, json.loads(account.secret_file.read_text())["refresh_token"]) == ("", "r4")
