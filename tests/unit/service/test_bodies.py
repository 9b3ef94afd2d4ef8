"""The body of POST /v1/messages: what it says, how its faults are told, and that a large one holds nobody up."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import ValidationError

from config.model import IntakeLimits
from core.clock import FixedClock
from core.errors import InvalidInput, LimitExceeded
from sender.intake import Overloaded
from service.pressure import Pressure
from service.web.bodies import read_message
from tests.unit.sender.fake_queue import FakeLog, FakeQueue

LEAST = {"stream": "bulk", "from": "a@b.test", "subject": "s", "text": "t"}


async def test_everything_that_a_message_may_say() -> None:
    body = {
        **LEAST, "campaign": "c", "recipients": ["ann@x.test", {"address": "bob@x.test", "variables": {"name": "Bob"}}],
        "to": "cid@x.test", "send_at": "2027-01-15T08:00:00+00:00", "expires_at": 1_800_100_000,
        "metadata": {"order": "4711"}, "list_source": "checkout",
    }  # fmt: skip
    found = await read_message(json.dumps(body).encode(), "key-1")
    assert [r.address for r in found.recipients] == ["cid@x.test", "ann@x.test", "bob@x.test"]
    assert found.recipients[2].variables == {"name": "Bob"}
    assert (found.not_before, found.deadline) == (1_800_000_000.0, 1_800_100_000.0)
    assert (found.metadata, found.list_source, found.idempotency_key) == ({"order": "4711"}, "checkout", "key-1")


async def test_the_bodys_own_key_is_stronger_than_the_headers() -> None:
    found = await read_message(json.dumps({**LEAST, "idempotency_key": "mine"}).encode(), "other")
    assert found.idempotency_key == "mine"


@pytest.mark.parametrize(
    ("recipients", "field"),
    [([*["a@x.test"] * 300, {"addres": "b"}], "recipients.300"), ([7], "recipients.0"), ("all", "recipients")],
)
async def test_a_faulty_recipient_is_named_by_its_place(recipients: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await read_message(json.dumps({**LEAST, "recipients": recipients}).encode())
    assert caught.value.field == field


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"\xff\xfe{}", b"[" * 100_000])
async def test_what_is_no_object_is_told_as_such(raw: bytes) -> None:
    with pytest.raises((InvalidInput, json.JSONDecodeError)):
        await read_message(raw)


async def test_unknown_keys_and_too_many_recipients_are_refused() -> None:
    with pytest.raises(ValidationError):
        await read_message(json.dumps({**LEAST, "colour": "red"}).encode())
    with pytest.raises(LimitExceeded):
        await read_message(json.dumps({**LEAST, "recipients": ["a@x.test"] * 10_001}).encode())


async def test_ten_thousand_recipients_let_others_work_between() -> None:
    raw = json.dumps({**LEAST, "recipients": [f"u{n}@x.test" for n in range(10_000)]}).encode()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        found = await read_message(raw)
        task.cancel()
    assert len(found.recipients) == 10_000
    assert turns >= 40


def pressure() -> Pressure:
    return Pressure(FakeQueue(FakeLog(), FixedClock(0.0)), IntakeLimits(max_inflight_bytes=1_000_000))


def test_too_many_bytes_in_work_put_the_next_caller_off() -> None:
    limits = pressure()
    with limits.taking(600_000):
        with limits.taking(400_000), pytest.raises(Overloaded) as caught, limits.taking(1):
            pass
        assert caught.value.retry_after > 0
        with limits.taking(400_000):
            pass
    with limits.taking(5_000_000):  # alone it is taken whatever its size
        pass
