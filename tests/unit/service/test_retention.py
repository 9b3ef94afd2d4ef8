"""How long the log keeps the stories of messages is the owner's word, and the timetable carries it out."""

from __future__ import annotations

from pathlib import Path

from config.model import Storage
from core.clock import SystemClock
from core.events import Door, IntakeRefused
from core.lane import DAY
from service.retention import retention_jobs
from storage.stores import open_stores
from tests.unit.sender.fakes import make_settings


async def test_the_log_is_kept_whole_unless_the_owner_says_how_long(tmp_path: Path) -> None:
    stores, clock = await open_stores(f"sqlite:///{tmp_path}/x.db"), SystemClock()
    for age in (401, 399):
        await stores.log.append([
            IntakeRefused(
                at=clock.now() - age * DAY, recipient="x", stream="bulk", campaign="", door=Door.HTTP, reason="none"
            )
        ])  # fmt: skip
    await stores.counters.commit("monitor", 0, await stores.log.head(), {}, [])
    assert retention_jobs(make_settings(), stores, clock) == []
    settings = make_settings().model_copy(update={"storage": Storage(keep_days=400)})
    (job,) = retention_jobs(settings, stores, clock)
    await job.work()
    assert len(await stores.log.read(0)) == 1
    await stores.close()
