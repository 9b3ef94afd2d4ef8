"""Forgets the stories of old messages where the owner says how long they are kept (`[storage] keep_days`)."""

from __future__ import annotations

import logging

from config.model import Settings
from core.clock import SystemClock
from core.lane import DAY
from service.job import Job
from storage.retention import forget_events
from storage.stores import Stores

logger = logging.getLogger("penstock.retention")
_EVERY = 6 * 3600.0


def retention_jobs(settings: Settings, stores: Stores, clock: SystemClock) -> list[Job]:
    """For the timetable; none when the log is kept whole."""
    days = settings.storage.keep_days

    async def work() -> None:
        if gone := await forget_events(stores.db, clock.now() - days * DAY):
            logger.info("%d events of messages older than %d days are forgotten", gone, days)

    return [Job(name="old events", seconds=max(5.0, _EVERY / clock.rate), work=work)] if days else []
