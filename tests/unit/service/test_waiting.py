"""What mail waits for: limits, pauses, pools, send-at; by the API, at the command line, on the page, in metrics."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from core.events import Held
from core.gcra import parse_rate
from core.lane import Campaign, Lane, Provider, SendingDomain, Site, Source, Stream, Traffic
from service.commands.control import run_explain
from service.commands.status import run_status
from tests.unit.service.running import Caller, running

EXTRA = """
[[limits]]
name = "slow"
scope = "provider=gmail"
each = ["source"]
messages = "2/hour"
[[pools]]
name = "first"
sources = ["a"]
[[streams]]
name = "bulk"
pool = "first"
"""


async def _queued(caller: Caller, **more: object) -> str:
    (row,) = await caller.inject("ann@gmail.test", **more)
    await caller.service.parts.stores.queue.route("gmail.test", Provider("gmail"), Site("mx.gmail.test"))
    return row["id"]


async def _texts(caller: Caller, message_id: str) -> str:
    status, answer = await caller.call("GET", f"/v1/messages/{message_id}")
    assert status == 200
    return "\n".join(answer["now"])


async def test_a_message_says_which_limit_it_waits_for_and_until_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, EXTRA) as caller:
        # warm-up would say more; the queue is not looked at here, because no route is known to the service itself
        message_id = await _queued(caller)
        stores, clock = caller.service.parts.stores, caller.service.parts.clock
        await stores.rates.take([("messages:slow:a", parse_rate("2/hour"))], 1, clock.now())
        text = await _texts(caller, message_id)
        assert "limit slow: 2/hour messages: nothing free until" in text
        assert "it goes by pool first: a" in text
        status, answer = await caller.call("GET", "/v1/limits")
        assert status == 200
        (bucket,) = answer["buckets"]
        assert (bucket["limit"], bucket["values"], bucket["free"]) == ("slow", "a", 0)
        assert (await caller.call("GET", "/v1/status"))[1]["limits_reached"] == 1
        headers = {"Authorization": "Bearer admin-token-123456"}
        async with caller.session.get(caller.base + "/metrics", headers=headers) as metrics:
            assert 'penstock_limit_free{limit="slow",kind="messages",of="a"} 0' in await metrics.text()
        async with caller.session.get(caller.base + "/", headers=headers) as page:
            assert "slow a: 2/hour messages" in await page.text()
        status, answer = await caller.call("GET", "/v1/lanes/a%7Cexample.com%7Cgmail")
        assert any("limit slow" in line for line in answer["now"])
        arguments = argparse.Namespace(
            config=tmp_path / "penstock.toml", what="message", id=message_id, lang="en", json=False
        )
        assert await run_explain(arguments) == 0
        assert "limit slow" in capsys.readouterr().out
        assert await run_status(arguments) == 0
        assert "slow a: 2/hour messages, nothing free until" in capsys.readouterr().out


async def test_a_message_says_that_its_pool_or_site_is_paused_or_that_it_is_early(tmp_path: Path) -> None:
    async with running(tmp_path, EXTRA) as caller:
        message_id = await _queued(caller)
        assert "pool=first is" not in await _texts(caller, message_id)
        assert (await caller.call("POST", "/v1/pauses", {"scope": "pool=first", "reason": "moving"}))[0] == 201
        assert (await caller.call("POST", "/v1/pauses", {"scope": "site=mx.gmail.test"}))[0] == 201
        text = await _texts(caller, message_id)
        assert "pool=first is paused since" in text
        assert "moving" in text
        assert "site=mx.gmail.test is paused" in text
        later = await _queued(caller, send_at=caller.service.parts.clock.now() + 7200)
        assert "not before" in await _texts(caller, later)


@pytest.mark.parametrize("scope", ["stream=bluk", "pool=second", "source=b", "provider=gmial"])
async def test_a_pause_of_nothing_is_refused_with_what_there_is(tmp_path: Path, scope: str) -> None:
    async with running(tmp_path, EXTRA) as caller:
        status, answer = await caller.call("POST", "/v1/pauses", {"scope": scope})
        assert status == 422
        assert "Use one of" in str(answer)


async def test_a_pool_that_is_none_is_refused_at_the_door(tmp_path: Path) -> None:
    async with running(tmp_path, EXTRA) as caller:
        body = {"stream": "bulk", "from": "n@example.com", "subject": "s", "text": "t", "to": "a@b.test", "pool": "x"}
        status, answer = await caller.call("POST", "/v1/messages", body)
        assert status == 422
        assert "first" in str(answer)


async def test_a_message_tells_of_the_gate_over_its_list_and_of_no_other_way(tmp_path: Path) -> None:
    async with running(tmp_path, EXTRA) as caller:
        message_id = await _queued(caller, list_source="bought")
        stores, now = caller.service.parts.stores, caller.service.parts.clock.now()
        assert (await caller.call("POST", "/v1/pauses", {"scope": "stream=bulk,list_source=bought"}))[0] == 201
        assert (await caller.call("POST", "/v1/pauses", {"scope": "stream=bulk,list_source=site"}))[0] == 201
        for provider, source in (("gmail", "bought"), ("yahoo", "bought"), ("gmail", "site")):
            lane = Lane(source=Source("a"), sending_domain=SendingDomain("example.com"), provider=Provider(provider))
            traffic = Traffic(lane=lane, stream=Stream("bulk"), campaign=Campaign(""), list_source=source)
            await stores.log.append(
                [Held(at=now, traffic=traffic, reason="paused", until=now + 60, detail=f"{provider} {source}")]
            )
        status, answer = await caller.call("GET", f"/v1/messages/{message_id}")
        told = str(answer)
        assert status == 200
        assert "list_source=bought is paused" in told
        assert "gmail bought" in told
        assert "list_source=site" not in told
        assert "yahoo bought" not in told
        assert "gmail site" not in told
