"""The HTTP API of a running service: who may call what, and what each call does to the store."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from alerts.rules import SIGNAL
from core.events import Bounced, Delivered
from core.tokens import MessageId, Purpose
from service.web.api import ROUTES
from service.web.signals_page import EN, RU
from tests.unit.monitor.world import bounced, complaint, delivered
from tests.unit.service.running import TOKENS, Caller, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Caller]:
    """One service for the whole file: each test uses addresses and scopes of its own."""
    async with running(tmp_path_factory.mktemp("service")) as made:
        yield made


async def test_without_a_token_nothing_is_told_but_health(caller: Caller) -> None:
    for path in ("/", "/v1/status", "/v1/lanes", "/metrics", "/openapi.json"):
        status, answer = await caller.call("GET", path, token="")
        assert (status, answer["error"]["field"]) == (401, "Authorization"), path
    assert (await caller.call("GET", "/healthz", token=""))[0] == 200
    assert await caller.call("GET", "/readyz", token="") == (200, {"ready": True, "problems": []})


async def test_answers_name_no_version_even_to_a_malformed_request(caller: Caller) -> None:
    async with caller.session.get(f"{caller.base}/healthz") as answer:
        assert answer.headers["Server"] == "penstock"
    host, port = caller.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x00 nonsense\r\n\r\n")
    said = await asyncio.wait_for(reader.read(4096), 10)
    writer.close()
    assert said.startswith(b"HTTP/1.")
    assert b"aiohttp" not in said
    assert b"Server: penstock" in said


@pytest.mark.parametrize(("language", "heading"), [("en", "No such page"), ("ru", "Такой страницы нет")])
async def test_a_browser_gets_a_page_for_a_refusal_and_a_program_json(
    caller: Caller, language: str, heading: str
) -> None:
    headers = {"Authorization": f"Bearer {TOKENS['read']}", "Accept": "text/html,*/*;q=0.8"}
    async with caller.session.get(f"{caller.base}/nope?lang={language}", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (404, "text/html")
        assert heading in await answer.text()
    async with caller.session.get(f"{caller.base}/?lang={language}", headers={"Accept": "text/html"}) as answer:
        assert (answer.status, answer.content_type) == (401, "text/html")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    async with caller.session.get(f"{caller.base}/v1/nope", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (404, "application/json")


@pytest.mark.parametrize(
    ("token", "method", "path", "expected"),
    [
        ("read", "GET", "/v1/status", 200),
        ("read", "POST", "/v1/messages", 403),
        ("inject", "POST", "/v1/messages", 422),
        ("inject", "POST", "/v1/pauses", 403),
        ("inject", "DELETE", "/v1/suppressions/a@example.net", 403),
        ("admin", "POST", "/v1/pauses", 422),
    ],
)
async def test_scopes_say_who_may_do_what(
    caller: Caller, token: str, method: str, path: str, expected: int
) -> None:  # fmt: skip
    body: dict[str, object] | None = {} if method == "POST" else None
    assert (await caller.call(method, path, body, token=token))[0] == expected


async def test_a_browser_may_send_the_token_as_its_password_and_another_site_may_not_act(caller: Caller) -> None:
    password = base64.b64encode(f"me:{TOKENS['read']}".encode()).decode()
    status, _ = await caller.call("GET", "/v1/status", token="", headers={"Authorization": f"Basic {password}"})
    assert status == 200
    status, answer = await caller.call("GET", "/v1/status", headers={"Origin": "https://evil.example"})
    assert (status, answer["error"]["field"]) == (403, "Origin")


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"Origin": "null"}, 403),  # a sandboxed frame of another site's page
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 422),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 422),
        ({"Origin": "http://["}, 403),
        ({"Authorization": "Bearer \udcff"}, 401),
    ],
)
async def test_a_page_that_hides_where_it_comes_from_cannot_act(
    caller: Caller, headers: dict[str, str], wanted: int
) -> None:
    status, _ = await caller.call("POST", "/v1/pauses/resume", {"scope": "campaign=none"}, headers=headers)
    assert status == wanted


async def test_every_route_wants_a_token_of_its_scope(caller: Caller) -> None:
    pages = (
        "/",
        "/signals",
        "/dmarc",
        "/placement",
        "/requirements",
        "/metrics",
        "/openapi.json",
        "/nothing-of-that-name",
    )
    for method, path in [*((r.method, re.sub(r"{\w+}", "x", r.path)) for r in ROUTES), *(("GET", p) for p in pages)]:
        assert (await caller.call(method, path, token=""))[0] == 401, path
        if method != "GET":
            assert (await caller.call(method, path, token="read"))[0] == 403, path
            injects = path in ("/v1/messages", "/v1/optins", "/v1/templates/preview", "/v1/templates/lint")
            assert ((await caller.call(method, path, token="inject"))[0] != 403) is injects, path


async def test_a_message_is_taken_over_and_its_story_told(caller: Caller) -> None:
    row, bad = await caller.inject("ann@example.net", "not-an-address")
    assert (row["status"], bad["status"]) == ("accepted", "invalid")
    status, answer = await caller.call("GET", f"/v1/messages/{row['id']}")
    assert status == 200
    assert answer["queued"]
    assert "accepted over HTTP for ann@example.net" in answer["story"][0]["text"]
    assert (await caller.call("GET", "/v1/messages/aaaaaaaaaaaaaaaaaaaa"))[0] == 404


async def test_the_same_key_answers_the_same_and_queues_once(caller: Caller) -> None:
    before = (await caller.call("GET", "/v1/status"))[1]["queue"]["total"]
    first = await caller.inject("key@example.net", idempotency_key="order-1")
    second = await caller.inject("key@example.net", idempotency_key="order-1")
    assert first == second
    assert (await caller.call("GET", "/v1/status"))[1]["queue"]["total"] == before + 1


async def test_a_key_that_comes_with_another_message_is_refused_not_answered(caller: Caller) -> None:
    await caller.inject("key2@example.net", idempotency_key="order-2")
    body = {"stream": "bulk", "from": "a@example.com", "subject": "Other", "text": "t", "to": "key2@example.net"}
    status, answer = await caller.call("POST", "/v1/messages", {**body, "idempotency_key": "order-2"})
    assert (status, answer["error"]["field"]) == (422, "idempotency_key")
    long = {"Idempotency-Key": "k" * 200 + "1"}
    assert (await caller.call("POST", "/v1/messages", body, headers=long))[0] == 413, "a cut key is another's"
    for key in ("a\0b", "a\ud800b"):
        assert (await caller.call("POST", "/v1/messages", {**body, "idempotency_key": key}))[0] == 422
    digits = b'{"stream": "bulk", "send_at": ' + b"9" * 5000 + b"}"
    async with caller.session.post(
        f"{caller.base}/v1/messages", data=digits, headers={"Authorization": f"Bearer {TOKENS['admin']}"}
    ) as refused:
        assert refused.status == 422


async def test_a_cancelled_campaign_ends_and_says_by_whom(caller: Caller) -> None:
    (row,) = await caller.inject("late@example.net", campaign="typo")
    status, answer = await caller.call("POST", "/v1/cancellations", {"scope": "campaign=typo", "everything": True})
    assert (status, answer) == (200, {"scope": "campaign=typo", "cancelled": 1, "more": False})
    told = (await caller.call("GET", f"/v1/messages/{row['id']}"))[1]
    assert not told["queued"]
    assert "cancelled" in told["story"][-1]["text"]
    assert (await caller.call("POST", "/v1/cancellations", {"scope": "all"}))[0] == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stream": "bulk", "fro": "x"}, "fro"),
        ({"stream": "nope", "from": "a@example.com", "subject": "s", "text": "t", "to": "b@example.net"}, "stream"),
        ({"stream": "bulk", "from": "a@other.org", "subject": "s", "text": "t", "to": "b@example.net"}, "from"),
        ({"stream": "bulk", "from": "a@example.com", "text": "t", "to": "b@example.net"}, "subject, text, html"),
        ({"stream": "bulk", "mime": "%%%", "to": "b@example.net"}, "mime"),
        ({"stream": "bulk", "from": "a@example.com", "subject": "s", "text": "t", "to": "b@example.net",
          "send_at": "tomorrow"}, "send_at"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named(caller: Caller, body: dict[str, object], field: str) -> None:
    status, answer = await caller.call("POST", "/v1/messages", body)
    assert status == 422
    assert answer["error"]["field"] == field
    assert answer["error"]["remedy"]


async def test_a_pause_has_a_cause_and_a_story_and_is_resumed(caller: Caller) -> None:
    wish = {"scope": "provider=gmail,stream=bulk", "reason": "trying", "hours": 2}
    status, answer = await caller.call("POST", "/v1/pauses", wish)
    assert status == 201
    pause = answer["pause"]
    assert (pause["state"], pause["by"], pause["spares"]) == ("paused", "admin", ["transactional"])
    assert pause["until"]
    assert [p["id"] for p in (await caller.call("GET", "/v1/pauses"))[1]["pauses"]] == [pause["id"]]
    assert len((await caller.call("GET", "/v1/status"))[1]["gates"]) == 1
    assert (await caller.call("POST", "/v1/pauses/resume", {"scope": wish["scope"]}))[0] == 200
    status, answer = await caller.call("POST", "/v1/pauses/resume", {"scope": wish["scope"]})
    assert (status, answer["error"]["field"]) == (422, "scope")
    story = (await caller.call("GET", f"/v1/pauses/{pause['id']}"))[1]["story"]
    assert ["→" in line["text"] for line in story] == [True, True]
    assert "trying" in story[0]["text"]


async def test_suppressed_addresses_are_refused_until_lifted(caller: Caller) -> None:
    wish = {"addresses": ["Sue@Example.NET"], "note": "asked by phone"}
    assert await caller.call("POST", "/v1/suppressions", wish) == (201, {"added": 1})
    assert (await caller.call("POST", "/v1/suppressions", wish))[1] == {"added": 0}
    (row,) = await caller.inject("SUE@example.net")
    assert (row["status"], row["reason"]) == ("suppressed", "manual")
    assert (await caller.call("GET", "/v1/suppressions"))[1]["total"] == 1
    assert (await caller.call("DELETE", "/v1/suppressions/sue@example.net"))[0] == 200
    assert (await caller.call("DELETE", "/v1/suppressions/sue@example.net"))[0] == 404


async def test_an_unsubscribe_link_acts_on_post_only(caller: Caller) -> None:
    (row,) = await caller.inject("lea@example.net")
    parts = caller.service.parts
    token = parts.signer.sign(Purpose.UNSUBSCRIBE, MessageId(row["id"]), parts.clock.now())
    async with caller.session.get(f"{caller.base}/u/{token}", headers={"Accept-Language": "ru, en;q=0.5"}) as page:
        text = await page.text()
        assert page.status == 200
        assert "lea@example.net" in text
        assert 'lang="ru"' in text
        assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert await parts.stores.suppressions.by_reason() == {}, "a GET, as scanners do it, changes nothing"
    for _ in range(2):
        async with caller.session.post(f"{caller.base}/u/{token}", data={"List-Unsubscribe": "One-Click"}) as answer:
            assert answer.status == 200
    assert await parts.stores.suppressions.by_reason() == {"unsubscribe": 1}
    forged = parts.signer.sign(Purpose.RETURN_PATH, MessageId(row["id"]), parts.clock.now())
    async with caller.session.post(f"{caller.base}/u/{forged}", data={"List-Unsubscribe": "One-Click"}) as answer:
        assert answer.status == 404


async def test_the_dashboard_and_the_metrics_are_served(caller: Caller) -> None:
    await caller.inject("tom@example.net")
    headers = {"Authorization": f"Bearer {TOKENS['read']}"}
    async with caller.session.get(f"{caller.base}/?lang=ru", headers=headers) as page:
        assert page.status == 200
        assert 'lang="ru"' in await page.text()
    async with caller.session.get(f"{caller.base}/metrics", headers=headers) as page:
        assert re.search(r'^penstock_queue_messages{provider="unrouted"} [1-9]', await page.text(), re.M)


async def test_signals_are_told_with_intervals_and_unknown_is_never_0(caller: Caller) -> None:
    log, now = caller.service.parts.stores.log, caller.service.parts.clock.now()
    mail: list[Delivered | Bounced] = [
        *(delivered(now) for _ in range(40)),
        *(bounced(now) for _ in range(10)),
    ]
    await log.append([replace(event, message_id=MessageId(f"m{i}")) for i, event in enumerate(mail)])
    await log.append([complaint(now, now)])
    while await caller.service.parts.projector.step():
        pass
    status, answer = await caller.call("GET", "/v1/signals?by=provider&days=2&signal=hard_bounce_rate,spam_placement")
    assert status == 200
    bounces, seeds = answer["signals"]
    assert (bounces["scope"], bounces["bad"], bounces["total"], bounces["rate"]) == ("provider=yahoo", 10, 50, 0.2)
    assert bounces["low"] < 0.2 < bounces["high"]
    assert (seeds["rate"], seeds["unknown"]) == (None, "no_seeds")
    assert {found["rule"] for found in answer["findings"]} >= {"bounces-domain", "delivery"}
    assert answer["false_alarm_budget"]["action_days"] > 1
    status, answer = await caller.call("GET", "/v1/signals?by=stream&signal=over_frequency,sleeping_share")
    told = {(found["signal"], found["scope"]): found["unknown"] for found in answer["signals"]}
    assert told["over_frequency", "stream=bulk"] == "no_mail"  # no whole week has passed
    assert ("sleeping_share", "stream=bulk") in told
    for wrong in ("by=colour", "days=0", "signal=luck", "by=provider&signal=over_frequency"):
        status, answer = await caller.call("GET", f"/v1/signals?{wrong}")
        assert status == 422
    headers = {"Authorization": f"Bearer {TOKENS['read']}"}
    for language in ("en", "ru"):
        async with caller.session.get(f"{caller.base}/signals?lang={language}&by=lane", headers=headers) as page:
            text = await page.text()
            assert page.status == 200
            assert "bounces-domain" in text
            assert "yahoo" in text
        async with caller.session.get(f"{caller.base}/signals?lang={language}&by=stream", headers=headers) as page:
            assert SIGNAL[language]["over_frequency"] in await page.text()
    assert set(EN) == set(RU)


async def test_a_suppression_of_an_unknown_stream_would_forbid_nothing_and_is_refused(caller: Caller) -> None:
    wish = {"addresses": ["tom@example.net"], "stream": "blk"}
    status, answer = await caller.call("POST", "/v1/suppressions", wish)
    assert (status, answer["error"]["field"]) == (422, "stream")
    assert await caller.call("POST", "/v1/suppressions", {**wish, "stream": "*"}) == (201, {"added": 1})
    found = {entry.stream for entry in await caller.service.parts.stores.suppressions.of_address("tom@example.net")}
    assert found == {"*", "bulk", "triggered"}, "queued mail is looked for by the name of its stream"
    assert (await caller.call("DELETE", "/v1/suppressions/tom@example.net?stream=*"))[0] == 200
    assert not await caller.service.parts.stores.suppressions.of_address("tom@example.net")


async def test_another_spelling_of_a_suppressed_address_is_the_same_mailbox(caller: Caller) -> None:
    assert (await caller.call("POST", "/v1/suppressions", {"addresses": ["kim@example.net"]}))[0] == 201
    for text in ('"kim"@example.net', '"K\\im"@EXAMPLE.net.'):
        (row,) = await caller.inject(text)
        assert row["status"] == "suppressed", text


async def test_a_form_that_cannot_be_read_and_a_number_beyond_bounds_are_the_callers_mistake(caller: Caller) -> None:
    broken = {"Content-Type": "multipart/form-data", "Authorization": f"Bearer {TOKENS['admin']}"}
    async with caller.session.post(f"{caller.base}/v1/reports", data=b"--x", headers=broken) as refused:
        assert refused.status == 422
    status, answer = await caller.call("GET", "/v1/reports/" + "9" * 40)
    assert (status, answer["error"]["field"]) == (422, "request")
    async with caller.session.get(
        f"{caller.base}/v1/suppressions", headers={"Authorization": broken["Authorization"]}
    ) as a:
        assert a.headers["Cache-Control"] == "no-store"


async def test_a_size_that_is_only_announced_puts_nobody_off(caller: Caller) -> None:
    port = int(caller.base.rpartition(":")[2])
    opening, writing = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKENS['inject']}\r\n"
    writing.write(f"{head}Content-Length: 999999999999\r\n\r\n".encode())
    async with asyncio.timeout(10):
        assert b" 413 " in await opening.readline()
    await caller.inject("patient@example.net")
    writing.close()


@pytest.mark.parametrize(
    "asked",
    ["suppressions?limit=0", "suppressions?limit=1001", "placement?limit=-1", "observations?limit=5001",
     "observations?since_day=x", "reports?limit=0", "reports?before=-1", "reports/tls?days=401",
     "reports/failures?limit=1.5", "engagement?days=91"],
)  # fmt: skip
async def test_a_number_out_of_its_range_is_refused_with_the_range(caller: Caller, asked: str) -> None:
    status, answer = await caller.call("GET", f"/v1/{asked}")
    assert (status, answer["error"]["field"]) == (422, asked.partition("?")[2].partition("=")[0])
    assert answer["error"]["remedy"].startswith("Give ")
