"""Webhooks against a real receiver on loopback: order, signature, failures, restarts, and a dead endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from alerts.conditions import Observed, find_alerts
from alerts.hooks import DeadHook
from config.model import EventHook
from core.clock import FixedClock
from core.events import Accepted, Door, Dropped, DropReason, Event, Logged
from core.tokens import new_message_id
from service.hook_form import DELIVERY, MAX_BYTES, batch_of, event_json
from service.tasks import Supervisor
from service.webhooks import Webhook, Webhooks
from storage.stores import Stores, open_stores
from tests.waiting import until, within

NOW = 1_800_000_000.0
SECRET = b"a secret of this test"


def documented(now: float) -> Callable[[bytes, Mapping[str, str], bytes], bool]:
    """The receiver's check as docs/webhooks.md shows it, at an instant."""
    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    names["time"] = SimpleNamespace(time=lambda: now)
    checked: Callable[[bytes, Mapping[str, str], bytes], bool] = names["genuine"]
    return checked


Answer = Callable[[int], int | web.Response]


@dataclass
class Receiver:
    """Keeps what it took; `answer(request number)` decides."""

    url: str = ""
    answer: Answer = lambda _n: 204
    bodies: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    wanted: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((body, dict(request.headers)))
        said = self.answer(len(self.requests))
        answer = web.Response(status=said) if isinstance(said, int) else said
        if answer.status < 300:
            self.bodies.append(json.loads(body))
        if len(set(self.ids)) >= self.wanted > 0 or (self.wanted < 0 and len(self.requests) >= -self.wanted):
            self.reached.set()
        return answer

    @property
    def ids(self) -> list[int]:
        return [event["id"] for body in self.bodies for event in body["events"]]

    async def until(self, events: int = 0, requests: int = 0) -> None:
        self.reached.clear()
        self.wanted = events or -requests
        if (events and len(set(self.ids)) >= events) or (requests and len(self.requests) >= requests):
            return
        await within(self.reached.wait(), lambda: f"{events} events, {requests} requests; there were {self.ids}")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application(client_max_size=10 * MAX_BYTES)
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"{site.name}/hook"
    yield made
    await runner.cleanup()


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    opened = await open_stores(f"sqlite:///{tmp_path}/p.db")
    yield opened
    await opened.close()


def hook(receiver: Receiver, **more: object) -> EventHook:
    values = {"name": "crm", "url": receiver.url, "secret_file": "none", "timeout_seconds": 30, **more}
    return EventHook.model_validate(values)


@asynccontextmanager
async def posting(
    settings: EventHook, stores: Stores, clock: FixedClock | None = None, node: str = "n1"
) -> AsyncIterator[Webhook]:
    made = Webhook(
        settings, stores=stores, clock=clock or FixedClock(NOW), node=node, secret=SECRET, first_wait=0.01, linger=0.0
    )
    supervisor = Supervisor()
    async with aiohttp.ClientSession() as session:
        supervisor.keep("hook", lambda: made.run(session))
        try:
            yield made
        finally:
            await supervisor.stop()
            await made.close()


def accepted(n: int, **more: Any) -> Accepted:
    return Accepted(
        at=NOW, message_id=new_message_id(NOW), recipient=f"u{n}@x.test", stream="bulk", campaign="c",
        sending_domain="d.test", door=Door.HTTP, size=1, **more,
    )  # fmt: skip


def dropped(of: Accepted) -> Dropped:
    return Dropped(
        at=NOW + 1, message_id=of.message_id, recipient=of.recipient, stream=of.stream, campaign=of.campaign,
        reason=DropReason.CANCELLED, detail="",
    )  # fmt: skip


async def begun(settings: EventHook, stores: Stores) -> None:
    """The endpoint is known: its cursor stands at the log's head."""
    made = Webhook(settings, stores=stores, clock=FixedClock(NOW), node="n0", secret=SECRET)
    await made._begin()


async def test_events_arrive_signed_in_order_with_the_callers_metadata(receiver: Receiver, stores: Stores) -> None:
    await stores.log.append([accepted(0)])
    await begun(hook(receiver), stores)
    first = accepted(1, metadata={"order": "4711"}, list_source="shop checkout")
    await stores.log.append([first, dropped(first)])
    async with posting(hook(receiver), stores):
        await receiver.until(events=2)
    (body,) = receiver.bodies
    assert (body["version"], body["node"], body["endpoint"]) == (1, "n1", "crm")
    assert [(e["event"], e["id"]) for e in body["events"]] == [("Accepted", 2), ("Dropped", 3)]
    assert {e["message_id"] for e in body["events"]} == {first.message_id}
    assert {e["metadata"]["order"] for e in body["events"]} == {"4711"}
    assert body["events"][1]["list_source"] == "shop checkout"
    assert body["events"][1]["data"]["reason"] == "cancelled"
    raw, headers = receiver.requests[0]
    assert documented(NOW)(raw, headers, SECRET)
    assert not documented(NOW)(raw + b" ", headers, SECRET)
    assert not documented(NOW)(raw, headers, b"other")
    assert not documented(NOW + 301)(raw, headers, SECRET)
    assert headers[DELIVERY] == body["delivery"] == "crm-2-3"


async def test_a_failed_batch_comes_again_and_nothing_overtakes_it(receiver: Receiver, stores: Stores) -> None:
    receiver.answer = lambda n: 204 if n > 3 else (500, 302, 429)[n - 1]
    await begun(hook(receiver), stores)
    await stores.log.append([accepted(n) for n in range(5)])
    async with posting(hook(receiver, batch_size=2), stores) as made:
        await receiver.until(events=5)
        await until(lambda: _healthy(made), "the endpoint is healthy")
    assert receiver.ids == [1, 2, 3, 4, 5]
    assert len({headers[DELIVERY] for _, headers in receiver.requests[:4]}) == 1


async def _healthy(made: Webhook) -> bool:
    backlog = await made.backlog()
    return backlog.events == 0 and not backlog.state.failing_since and not backlog.state.error


async def test_a_restart_goes_on_where_the_cursor_stands(receiver: Receiver, stores: Stores) -> None:
    await begun(hook(receiver), stores)
    for turn in range(1, 4):
        await stores.log.append([accepted(n) for n in range(10)])
        async with posting(hook(receiver), stores, node=f"n{turn}"):
            await receiver.until(events=10 * turn)
    # the last batch of a life may come twice, when that life ended before its cursor was stored; nothing is missing
    assert list(dict.fromkeys(receiver.ids)) == list(range(1, 31))


async def test_a_new_endpoint_begins_with_what_happens_from_then_on(receiver: Receiver, stores: Stores) -> None:
    await stores.log.append([accepted(n) for n in range(3)])
    async with posting(hook(receiver), stores) as made:
        await until(lambda: _known(stores), "the endpoint is known")
        assert (await made.backlog()).events == 0
        await stores.log.append([accepted(4)])
        await receiver.until(events=1)
    assert receiver.ids == [4]


async def _known(stores: Stores) -> bool:
    return await stores.meta.get("webhook:crm") is not None


async def test_only_the_kinds_that_are_asked_for_are_sent(receiver: Receiver, stores: Stores) -> None:
    settings = hook(receiver, events=["Dropped"])
    await begun(settings, stores)
    events: list[Event] = [accepted(n) for n in range(2500)]
    first = events[0]
    assert isinstance(first, Accepted)
    await stores.log.append([*events, dropped(first)])
    async with posting(settings, stores) as made:
        await receiver.until(events=1)
        await until(lambda: _healthy(made), "the endpoint is healthy")
    assert receiver.ids == [2501]


async def test_a_dead_endpoint_is_told_and_its_backlog_shown_on_every_node(receiver: Receiver, stores: Stores) -> None:
    receiver.answer = lambda _n: 503
    clock = FixedClock(NOW)
    await begun(hook(receiver), stores)
    await stores.log.append([accepted(n) for n in range(7)])
    async with posting(hook(receiver), stores, clock):
        await receiver.until(requests=3)
        secret = Path(str(stores.db.engine.url.database)).with_name("secret")
        secret.write_text("x")
        elsewhere = Webhooks([hook(receiver, secret_file=secret)], stores=stores, clock=clock, node="n2")
        (backlog,) = await elsewhere.backlogs()
        assert (backlog.events, backlog.oldest, backlog.state.error) == (7, NOW, "answered 503")
        assert await elsewhere.dead() == ()
        clock.advance(15 * 60)
        (dead,) = await elsewhere.dead()
    assert (dead.name, dead.since, dead.events) == ("crm", NOW, 7)


async def test_events_that_are_too_old_are_given_up_only_while_the_endpoint_fails(
    receiver: Receiver, stores: Stores
) -> None:
    receiver.answer = lambda n: 500 if n == 1 else 204
    clock = FixedClock(NOW)
    await begun(hook(receiver), stores)
    await stores.log.append([accepted(n) for n in range(1500)])
    clock.advance(8 * 86400)
    fresh = accepted(9)
    await stores.log.append([dropped(fresh)])  # as old as the others
    async with posting(hook(receiver), stores, clock) as made:
        await receiver.until(requests=1)
        await until(lambda: _skipped(made), "the endpoint is skipped")
        await stores.log.append([Dropped(
            at=clock.now(), message_id=new_message_id(NOW), recipient="a@x.test", stream="s", campaign="",
            reason=DropReason.CANCELLED, detail="",
        )])  # fmt: skip
        await receiver.until(events=1)
        await until(lambda: _healthy(made), "the endpoint is healthy")
    assert receiver.ids == [1502]
    assert (await made.backlog()).state.skipped == 1501


async def _skipped(made: Webhook) -> bool:
    return (await made.backlog()).state.skipped == 1501


async def test_one_node_posts_at_a_time(receiver: Receiver, stores: Stores) -> None:
    await begun(hook(receiver), stores)
    async with posting(hook(receiver), stores, node="a"), posting(hook(receiver), stores, node="b"):
        for turn in range(1, 6):
            await stores.log.append([accepted(n) for n in range(20)])
            await receiver.until(events=20 * turn)
    assert receiver.ids == list(range(1, 101))
    assert len({body["node"] for body in receiver.bodies}) == 1


async def test_an_endpoint_that_cannot_be_reached_harms_nothing(stores: Stores) -> None:
    settings = EventHook.model_validate({"name": "crm", "url": "http://127.0.0.1:1/x", "secret_file": "none"})
    await begun(settings, stores)
    await stores.log.append([accepted(1)])
    async with posting(settings, stores) as made:
        await until(lambda: _unreachable(made), "the endpoint is unreachable")
    assert (await made.backlog()).events == 1


async def _unreachable(made: Webhook) -> bool:
    return (await made.backlog()).state.error.startswith("cannot be reached")


def test_a_batch_is_bounded_in_bytes_and_never_empty() -> None:
    small, large = b"x" * 1000, b"x" * (2 * MAX_BYTES)
    assert batch_of([small] * 10) == 10
    assert batch_of([small] * 5000) == MAX_BYTES // 1001
    assert batch_of([large, small]) == 1
    assert batch_of([small, large]) == 1


def test_a_figure_without_bound_is_still_json() -> None:
    event = Dropped(
        at=NOW, message_id=new_message_id(NOW), recipient="a", stream="", campaign="", reason=DropReason.CANCELLED,
        detail="",
    )  # fmt: skip
    assert json.loads(event_json(Logged(seq=1, event=event), {}))["data"]["recipient"] == "a"


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_alert_names_the_endpoint_and_why(language: Any) -> None:
    seen = Observed(dead_hooks=(DeadHook(name="crm", since=NOW, events=12, oldest=NOW, problem="answered 503"),))
    (alert,) = find_alerts(seen, rules=[], now=NOW + 3600, language=language)
    assert alert.labels["alertname"] == "WebhookDead"
    assert alert.labels["webhook"] == "crm"
    assert "crm" in alert.annotations["summary"]
    assert alert.annotations["problem"] == "answered 503"
