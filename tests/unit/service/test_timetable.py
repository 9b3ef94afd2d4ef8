"""A stop of the timetable: runs under way end without being told as failures."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

import pytest

from service.job import Job
from service.timetable import Timetable
from tests.unit.service.running import running
from tests.waiting import within


class Idle:
    """Parts of the timetable that have nothing to do."""

    async def tick(self) -> None:
        """Nothing."""

    async def run_day(self, now: float) -> None:
        """Nothing."""


async def test_what_runs_at_a_stop_is_cancelled_and_not_told_as_a_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running(tmp_path) as caller:
        idle = cast(Any, Idle())
        table = Timetable(caller.service.parts, idle, idle, idle, [Job(name="endless", seconds=0.05, work=endless)])
        with caplog.at_level(logging.INFO):
            table.start()
            await within(began.wait(), "the job has began")
            table.stop()
            await within(ended.wait(), "the job has ended")
            await asyncio.gather(
                *(t for t in asyncio.all_tasks() if "run_coroutine_job" in str(t)), return_exceptions=True
            )
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_after_the_clock_was_set_back_no_job_waits_for_an_hour_that_was_called_off(tmp_path: Path) -> None:
    ran = asyncio.Event()

    async def hourly() -> None:
        ran.set()

    async with running(tmp_path) as caller:
        idle = cast(Any, Idle())
        table = Timetable(caller.service.parts, idle, idle, idle, [Job(name="hourly", seconds=3600, work=hourly)])
        table.start()
        table.begin_anew()
        await within(ran.wait(), "the job has run")
        table.stop()
