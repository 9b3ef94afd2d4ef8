"""The scheduling edge: periodic work under APScheduler, in real time.

Contract: each job runs at most once at a time (`max_instances=1`), a missed run is not made up for (`coalesce`), and
an error of a job is logged and counted; it never stops the others.  On several nodes a named lease lets one of them
do the job.  Intervals of domain work shrink with a scaled clock, so that no day is missed in a sandbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from core.clock import SystemClock, utc
from core.lane import DAY, HOUR, day_of
from core.messages import Node
from service.alerting import Alerting
from service.job import Job
from service.metering import Metering
from service.parts import Parts
from service.watchdog import SECONDS as WATCHDOG_SECONDS
from warmup.steps import Steps

logger = logging.getLogger("penstock.timetable")
_LEASE_SECONDS = 60.0


class Timetable:
    """See the module."""

    def __init__(
        self,
        parts: Parts,
        steps: Steps,
        alerting: Alerting,
        metering: Metering,
        jobs: Sequence[Job],
    ) -> None:
        self._parts = parts
        self._failing: set[str] = set()
        self._stopping = False
        self._scheduler = AsyncIOScheduler(
            executors={"default": AsyncIOExecutor()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        clock = parts.clock
        hurry = max(1.0, clock.rate / 60)  # a scaled clock's minute passes sooner
        self._every("warm-up steps", max(0.5, 60 / hurry), lambda: steps.run_day(clock.now()))
        self._every("alerts", 1.0, alerting.tick)
        self._every("metrics", 10.0, metering.tick)
        self._every("old opens and clicks", 3600.0, lambda: parts.desk.forget(clock.now()))
        self._every("old lessons of replies", 3600.0, lambda: parts.stores.lore.forget(clock.now() - 25 * HOUR))
        self._every("suppressions", max(1.0, 30 / hurry), lambda: parts.stores.suppressions.end_expired(clock.now()))
        self._every("watchdog", max(0.5, WATCHDOG_SECONDS / hurry), parts.watchdog.look)
        self._every("rates", 3600.0, lambda: parts.stores.rates.prune(clock.now() - DAY))
        self._every("frequency", 600.0, lambda: parts.stores.frequency.prune(day_of(clock.now())))
        for job in jobs:
            self._every(job.name, job.seconds, job.work)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """No further runs; those under way are cancelled."""
        self._stopping = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def begin_anew(self) -> None:
        """After the machine's clock was set back: no job waits for an hour that was called off."""
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=utc(SystemClock().now()))

    def _every(self, name: str, seconds: float, work: Callable[[], Awaitable[object]]) -> None:
        self._scheduler.add_job(self._once, "interval", seconds=seconds, args=[name, work], id=name, name=name)

    async def _once(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        parts = self._parts
        node, now = Node(parts.settings.node), parts.clock.now()
        try:
            if not await parts.stores.leases.acquire(name, node, now, now + parts.clock.real(_LEASE_SECONDS)):
                return
            await work()
        except asyncio.CancelledError:  # at a stop it is what was asked for, not a failure to tell of
            if not self._stopping:
                raise
            return
        except Exception as error:  # one job's failure must not end the others; it is told once until it works again
            if name not in self._failing:
                self._failing.add(name)
                logger.exception("%s failed: %s", name, error)
            return
        self._failing.discard(name)
