"""The log forgets old messages, and nothing that anybody may still ask for."""

from __future__ import annotations

from core.events import Accepted, Delivered, Door, IntakeRefused
from core.lane import DAY
from core.messages import Leased
from storage.retention import PORTION, forget_events
from storage.stores import Stores
from tests.contract.samples import NOW, accepted, delivered, submission, take_in, wish

OLD = NOW - 500 * DAY


async def _counted(stores: Stores) -> None:
    await stores.counters.commit("monitor", await stores.counters.cursor("monitor"), await stores.log.head(), {}, [])


async def _sent(stores: Stores, *, at: float) -> Leased:
    (one,) = await take_in(stores, [submission(at=at, lives=900 * DAY)])
    (lease,) = await stores.queue.claim(wish(one, now=at))
    return lease


async def test_a_message_goes_whole_when_its_last_event_is_old(stores: Stores) -> None:
    lease = await _sent(stores, at=OLD)
    await stores.queue.settle([delivered(lease, OLD + 5)])
    late = await _sent(stores, at=OLD)
    await stores.queue.settle([delivered(late, NOW - DAY)])
    waiting = await _sent(stores, at=OLD)
    await _counted(stores)
    assert await forget_events(stores.db, NOW - 400 * DAY) == 2
    assert await stores.log.of_message(lease.submission.message_id) == []
    story = [type(row.event) for row in await stores.log.of_message(late.submission.message_id)]
    assert story == [Accepted, Delivered], "what happened of late keeps the whole story: its links are still good"
    assert await stores.log.of_message(waiting.submission.message_id), "it has not ended"


async def test_what_the_monitor_has_not_counted_stays(stores: Stores) -> None:
    await stores.log.append([accepted(submission(at=OLD))])
    assert await forget_events(stores.db, NOW - 400 * DAY) == 0
    await _counted(stores)
    assert await forget_events(stores.db, NOW - 400 * DAY) == 1


def refused(at: float) -> IntakeRefused:
    return IntakeRefused(at=at, recipient="x", stream="bulk", campaign="", door=Door.HTTP, reason="no address")


async def test_refusals_go_by_their_own_age_and_the_rest_of_the_log_stays(stores: Stores) -> None:
    await stores.log.append([refused(OLD)] * (PORTION + 10) + [refused(NOW)])
    await _counted(stores)
    head = await stores.log.head()
    assert await forget_events(stores.db, NOW - 400 * DAY) == PORTION + 10
    assert [row.event.at for row in await stores.log.read(0)] == [NOW]
    assert await stores.log.head() == head


async def test_a_round_ends_where_the_log_is_young_all_through(stores: Stores) -> None:
    await stores.log.append([refused(OLD)] * 3 + [refused(NOW)] * (2 * PORTION) + [refused(OLD)])
    await _counted(stores)
    assert await forget_events(stores.db, NOW - 400 * DAY) == 3, "what a clock set back wrote behind goes another day"
    assert await forget_events(stores.db, NOW + DAY) == 2 * PORTION + 1
