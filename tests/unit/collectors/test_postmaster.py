"""Feeds against local servers that speak the documented form.  No account of a provider was ever reached from here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from collectors.postmaster import google, mailru, snds
from collectors.postmaster.feed import Account
from collectors.postmaster.http import MAX_BYTES, Refused, get
from collectors.postmaster.table import FEEDS
from core.errors import Unavailable
from core.state import Observation

DAY = 20_416  # 2025-11-24
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(**routes: Handler) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """A server on loopback: 'get /path' → handler."""
    app = web.Application()
    for route, handler in routes.items():
        method, _, path = route.partition(" ")
        app.router.add_route(method, path, handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    async with aiohttp.ClientSession() as session:
        try:
            yield f"http://127.0.0.1:{port}", session
        finally:
            await runner.cleanup()


def json_answer(value: object, status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(value, status=status)

    return handle


def text_answer(text: str, status: int = 200) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    return handle


def figures(found: list[Observation]) -> dict[tuple[str, str], float]:
    return {(one.subject, one.metric): one.value for one in found}


# --- Google --------------------------------------------------------------------------------------
SECRET = json.dumps({"client_id": "c", "client_secret": "s", "refresh_token": "r", "type": "authorized_user"})


def google_account(url: str, secret: str = SECRET) -> Account:
    return Account(name="gpt", subjects=("news.example",), secret=secret, url=url, token_url=f"{url}/token")


class Google:
    """domains.domainStats.query, domains.getComplianceStatus and the OAuth token endpoint, as documented for v2."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.forms: list[dict[str, str]] = []
        self.values = {
            "SPAM_RATE": {"doubleValue": 0.0012},
            'AUTH_SUCCESS_RATE auth_type = "spf"': {"floatValue": 0.99},
            "FEEDBACK_LOOP_ID": {"stringList": {"values": ["spring:bulk"]}},
            'FEEDBACK_LOOP_SPAM_RATE feedback_loop_id = "spring:bulk"': {"doubleValue": 0.004},
            "DELIVERY_ERROR_RATE": {"intValue": "0"},
        }

    async def token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.forms.append(form)
        if form.get("refresh_token") != "r":
            return web.json_response({"error": "invalid_grant", "error_description": "Token revoked."}, status=400)
        return web.json_response({"access_token": "acc", "expires_in": 3599, "token_type": "Bearer"})

    async def query(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer acc":
            return web.json_response({"error": {"code": 401, "message": "no"}}, status=401)
        body = await request.json()
        self.bodies.append(body)
        date = body["timeQuery"]["dateRanges"]["dateRanges"][0]["start"]
        rows = []
        for wanted in body["metricDefinitions"]:
            key = f"{wanted['baseMetric']['standardMetric']} {wanted.get('filter', '')}".strip()
            if key in self.values:
                rows.append({"name": "x", "metric": wanted["name"], "date": date, "value": self.values[key]})
        if "pageToken" not in body and len(rows) > 1:
            return web.json_response({"domainStats": rows[:1], "nextPageToken": "2"})
        return web.json_response({"domainStats": rows[1:] if "pageToken" in body else rows})

    async def compliance(self, request: web.Request) -> web.Response:
        def row(name: str, status: str) -> dict[str, Any]:
            return {"requirement": name, "status": {"status": status}}

        data = {
            "domainId": "news.example",
            "rowData": [row("SPF", "COMPLIANT"), row("DNS_RECORDS", "NEEDS_WORK"), row("DKIM", "STATE_UNSPECIFIED")],
            "oneClickUnsubscribeVerdict": {"status": {"status": "NEEDS_WORK"}, "reason": "LOW_COVERAGE"},
            "honorUnsubscribeVerdict": {"status": {"status": "COMPLIANT"}},
        }
        return web.json_response({"name": "domains/news.example/complianceStatus", "complianceData": data})

    def serving(self) -> Any:
        return serving(
            **{
                "POST /token": self.token,
                "POST /v2/domains/{domain}/domainStats:query": self.query,
                "GET /v2/domains/{domain}/complianceStatus": self.compliance,
            }
        )


async def test_google_figures_of_a_day_over_pages_with_feedback_loops() -> None:
    server = Google()
    async with server.serving() as (url, session):
        found = await google.fetch(session, google_account(url), DAY)
    assert figures(found) == {
        ("news.example", "spam_rate"): 0.0012, ("news.example", "spf_success_rate"): 0.99,
        ("news.example", "delivery_error_rate"): 0.0, ("news.example", "feedback_loop.spring:bulk"): 0.004,
    }  # fmt: skip
    assert server.bodies[0]["timeQuery"]["dateRanges"]["dateRanges"] == [
        {"start": {"year": 2025, "month": 11, "day": 24}, "end": {"year": 2025, "month": 11, "day": 24}}
    ]
    assert server.bodies[1]["pageToken"] == "2"
    assert server.forms == [
        {"client_id": "c", "client_secret": "s", "refresh_token": "r", "grant_type": "refresh_token"}
    ]


async def test_google_compliance_rows_with_the_reason_of_a_verdict() -> None:
    async with Google().serving() as (url, session):
        found = await google.state(session, google_account(url), DAY)
    assert {one.metric: (one.value, one.text) for one in found} == {
        "compliance.spf": (1.0, "COMPLIANT"),
        "compliance.dns_records": (0.0, "NEEDS_WORK"),
        "compliance.one_click_unsubscribe": (0.0, "NEEDS_WORK LOW_COVERAGE"),
        "compliance.honor_unsubscribe": (1.0, "COMPLIANT"),
    }


@pytest.mark.parametrize("secret", ["not json", "[]", '{"client_id": "c"}', SECRET.replace('"r"', '"revoked"')])
async def test_google_credentials_that_do_not_work_are_refused_and_not_shown(secret: str) -> None:
    async with Google().serving() as (url, session):
        with pytest.raises(Refused) as caught:
            await google.fetch(session, google_account(url, secret), DAY)
    assert "client_secret: s" not in str(caught.value)
    assert '"s"' not in str(caught.value)


async def test_a_day_without_enough_mail_gives_nothing() -> None:
    server = Google()
    server.values = {}
    async with server.serving() as (url, session):
        assert await google.fetch(session, google_account(url), DAY) == []


# --- SNDS ----------------------------------------------------------------------------------------
HEAD = (
    "IP Address,Activity Start,Activity End,RCPT Commands,DATA Commands,Message Recipients,Filter Result,"
    "Complaint Rate,Trap Message Start,Trap Message End,Trap Hits,Sample HELO,Sample MAIL FROM,Comments"
)
ROW = '192.0.2.1,11/24/2025 1:00 AM,11/24/2025 11:00 PM,1200,1100,1000,YELLOW,< 0.1%,,,3,m.x,"a,b@x",'
EXPECTED = {"rcpt_commands": 1200.0, "data_commands": 1100.0, "message_recipients": 1000.0, "trap_hits": 3.0}


def snds_account(url: str, *subjects: str) -> Account:
    return Account(name="snds", subjects=subjects, secret="k3y", url=f"{url}/data.aspx", token_url="")


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}\r\n{ROW}\r\n",
        f"\ufeff{HEAD}\r\n\r\n{ROW}\r\n",
        f"{ROW}\r\n",
        "Filter result,Trap hits,Message recipients,New column,DATA commands,RCPT commands,IP,Complaint rate\n"
        "YELLOW,3,1000,x,1100,1200,192.0.2.1,< 0.1%\n",
    ],
    ids=["header", "bom and blank line", "no header", "columns moved"],
)
async def test_snds_columns_are_read_by_name(text: str) -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.Response(text=text)

    async with serving(**{"GET /data.aspx": answer}) as (url, session):
        found = {one.metric: one for one in await snds.fetch(session, snds_account(url), DAY)}
    assert asked == [{"key": "k3y", "date": "112425"}]
    assert {name: found[name].value for name in EXPECTED} == EXPECTED
    share, rate = found["filter_spam_share"], found["complaint_rate"]
    assert (share.value, share.interval, share.text, share.counted) == (0.5, (0.1, 0.9), "YELLOW", 1000)
    assert (rate.value, rate.interval, rate.text) == (0.001, (0.0, 0.001), "< 0.1%")


@pytest.mark.parametrize(
    ("cell", "value", "interval"),
    [("0.3%", 0.003, (0.0010, 0.0088)), ("< 0.1 %", 0.001, (0.0, 0.001)), ("> 5%", 0.05, (0.05, 1.0))],
)
async def test_snds_complaint_rates_are_ranges(cell: str, value: float, interval: tuple[float, float]) -> None:
    async with serving(**{"GET /data.aspx": text_answer(ROW.replace("< 0.1%", cell))}) as (url, session):
        found = {one.metric: one for one in await snds.fetch(session, snds_account(url), DAY)}
    assert found["complaint_rate"].value == pytest.approx(value)
    assert found["complaint_rate"].interval == pytest.approx(interval, abs=0.0001)


async def test_snds_gives_only_the_addresses_asked_for_and_skips_cells_that_say_nothing() -> None:
    text = f"{HEAD}\n{ROW}\n192.0.2.2,,,,,,UNKNOWN,n/a,,,,,,\nTotal,,,9,,,,,,,,,,\n"
    async with serving(**{"GET /data.aspx": text_answer(text)}) as (url, session):
        assert await snds.fetch(session, snds_account(url, "192.0.2.2"), DAY) == []
        assert len(await snds.fetch(session, snds_account(url, "192.0.2.1"), DAY)) == 6


@pytest.mark.parametrize("text", ["<html>sign in</html>", "\r\n <!DOCTYPE html>"])
async def test_an_ended_snds_link_is_told_as_a_refused_key(text: str) -> None:
    async with serving(**{"GET /data.aspx": text_answer(text)}) as (url, session):
        with pytest.raises(Refused, match="30 days"):
            await snds.fetch(session, snds_account(url), DAY)


@pytest.mark.parametrize("text", ["a,b,c\n1,2,3\n", 'IP,x\n"192.0.2.1' + "x" * 200_000])
async def test_snds_text_of_another_form_is_said_so(text: str) -> None:
    async with serving(**{"GET /data.aspx": text_answer(text)}) as (url, session):
        with pytest.raises(Unavailable):
            await snds.fetch(session, snds_account(url), DAY)


# --- Mail.ru -------------------------------------------------------------------------------------
class MailRu:
    """o2.mail.ru/token and ext-api/stat-list-detailed, as documented."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.queries: list[dict[str, str]] = []
        self.answer: dict[str, Any] = {
            "ok": True,
            "data": [
                {
                    "domain": "news.example",
                    "data": [
                        {
                            "date": "2025-11-24", "messages_sent": 1000, "delivered": 900, "spam": 60,
                            "probably_spam": 40, "complaints": 9, "reputation": 0.87, "trend": -0.02, "read": 200,
                            "deleted_read": 5, "deleted_unread": 11, "note": "x", "flag": True,
                        },
                        {"date": "2025-11-23", "messages_sent": 7},
                    ],
                }
            ],
        }  # fmt: skip

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        good = dict(form) == {
            "client_id": "postmaster_api_client", "grant_type": "refresh_token", "refresh_token": "ref"
        }  # fmt: skip
        return web.json_response({"access_token": "acc", "expires_in": 3600} if good else {"error": "invalid_grant"})

    async def stat(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        self.queries.append(dict(request.query))
        if request.headers.get("Bearer") != "acc":
            return web.json_response({"ok": False, "error": "access denied"}, status=403)
        return web.json_response(self.answer)

    def serving(self) -> Any:
        return serving(**{"POST /token": self.token, "GET /ext-api/stat-list-detailed/": self.stat})


def mailru_account(url: str) -> Account:
    return Account(name="mr", subjects=("news.example",), secret="ref\n", url=url, token_url=f"{url}/token")


async def test_mailru_counts_and_the_complaint_rate_with_its_interval() -> None:
    server = MailRu()
    async with server.serving() as (url, session):
        found = {one.metric: one for one in await mailru.fetch(session, mailru_account(url), DAY)}
    assert server.queries == [{"domain": "news.example", "date_from": "2025-11-24", "date_to": "2025-11-24"}]
    assert "Authorization" not in server.headers[0]
    assert {name: found[name].value for name in ("messages_sent", "spam", "reputation", "trend")} == {
        "messages_sent": 1000.0, "spam": 60.0, "reputation": 0.87, "trend": -0.02,
    }  # fmt: skip
    rate = found["complaint_rate"]
    assert (rate.value, rate.counted) == (0.01, 900)
    assert rate.interval is not None
    assert rate.interval[0] < 0.01 < rate.interval[1]
    assert not {"note", "flag"} & set(found)


@pytest.mark.parametrize("answer", [{"ok": False, "detail": "throttled"}, {"data": 5, "ok": False}])
async def test_mailru_saying_no_is_told(answer: dict[str, Any]) -> None:
    server = MailRu()
    server.answer = answer
    async with server.serving() as (url, session):
        with pytest.raises(Unavailable):
            await mailru.fetch(session, mailru_account(url), DAY)


async def test_a_token_of_another_account_is_refused() -> None:
    async with MailRu().serving() as (url, session):
        with pytest.raises(Unavailable):
            await mailru.fetch(session, replace(mailru_account(url), secret="other"), DAY)


# --- what all share ------------------------------------------------------------------------------
async def test_answers_are_bounded_redirects_are_not_followed_and_keys_are_not_told() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(MAX_BYTES // 65_536 + 4):
            try:
                await response.write(b"1" * 65_536)
            except (ConnectionError, asyncio.CancelledError):
                break
        return response

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("/endless")

    routes: dict[str, Handler] = {"GET /endless": endless, "GET /moved": elsewhere, "GET /bad": json_answer({}, 500)}
    async with serving(**routes) as (url, session):
        for path, problem in (("endless", "more than"), ("moved", "302"), ("bad", "500"), ("none", "404")):
            with pytest.raises(Unavailable, match=problem) as caught:
                await get(session, f"{url}/{path}", query={"key": "s3cret"})
            assert "s3cret" not in str(caught.value)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unavailable, match=r"no connection to 127\.0\.0\.1") as caught:
            await get(session, "http://127.0.0.1:1/x?key=s3cret")
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(Account(name="a", subjects=(), secret="s3cret", url="", token_url=""))


@pytest.mark.parametrize("kind", sorted(FEEDS))
async def test_nonsense_from_a_provider_ends_in_unavailable_or_nothing(kind: str) -> None:
    nonsense: list[object] = [
        [], {}, {"data": {}}, {"data": [1, {"data": 1}]}, {"domainStats": 3}, {"domainStats": [{"value": 1}]},
        {"access_token": 5}, {"access_token": "acc", "data": [{"data": [None, {"date": 5}]}], "domainStats": [None]},
    ]  # fmt: skip
    for value in nonsense:
        async with serving(**{"* /{rest:.*}": json_answer(value)}) as (url, session):
            account = Account(name="n", subjects=("a.example",), secret=SECRET, url=url, token_url=f"{url}/token")
            try:
                found = await FEEDS[kind].fetch(session, account, DAY)
            except Unavailable:
                continue
            assert found == []
