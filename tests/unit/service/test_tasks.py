"""Background tasks: one that fails is told and started again, and stopping ends them all."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from service.tasks import Supervisor
from tests.waiting import within


async def test_a_task_that_fails_is_named_and_started_again() -> None:
    supervisor, runs, again = Supervisor(), Counter[str](), asyncio.Event()

    async def work() -> None:
        runs["worker"] += 1
        if runs["worker"] == 1:
            raise RuntimeError("the disk is gone")
        again.set()
        await asyncio.Event().wait()

    supervisor.keep("worker", work)
    await within(again.wait(), lambda: f"the second start; failing: {supervisor.failing}")
    assert "the disk is gone" in supervisor.failing["worker"]
    await supervisor.stop()


async def test_stopping_cancels_and_waits_and_names_what_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    supervisor, ended, deaf = Supervisor(patience=0.2), asyncio.Event(), asyncio.Event()

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def stubborn() -> None:
        while not deaf.is_set():
            try:
                await deaf.wait()
            except asyncio.CancelledError:
                continue

    supervisor.keep("tidy", tidy)
    supervisor.keep("stubborn", stubborn)
    await asyncio.sleep(0)
    await supervisor.stop()
    assert ended.is_set()
    assert "stubborn" in caplog.text
    assert "tidy" not in caplog.text
    deaf.set()
    await asyncio.sleep(0)
