"""When complaints came: read in pages, since an instant, thinned evenly when there are many."""

from __future__ import annotations

from core.events import Event
from core.lane import HOUR, cohort_of
from storage.lateness import SqlLateness
from storage.stores import Stores
from tests.unit.monitor.world import NOON, bounced, complaint


async def test_each_complaint_is_read_with_its_provider_cohort_and_time(stores: Stores) -> None:
    events: list[Event] = [
        *(complaint(NOON - i * HOUR, NOON + i, provider="yahoo" if i % 2 else "mailru") for i in range(2100)),
        bounced(NOON),
    ]
    await stores.log.append(events)
    rows = await stores.lateness.read(0.0)
    assert len(rows) == 2100
    assert set(rows) == {("yahoo" if i % 2 else "mailru", cohort_of(NOON - i * HOUR), NOON + i) for i in range(2100)}
    assert len(await stores.lateness.read(NOON + 2000)) == 100
    assert await stores.lateness.read(NOON + 9999) == []


async def test_a_large_log_is_thinned(stores: Stores) -> None:
    await stores.log.append([complaint(NOON, NOON + i) for i in range(1000)])
    assert 90 <= len(await SqlLateness(stores.db, most=100).read(0.0)) <= 110
