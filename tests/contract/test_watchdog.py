"""The walk over every resident: what nobody would come for is put back, told, and sent; all else stays as it is."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from config.model import Delivery
from core.events import PutBack
from core.lane import DAY
from core.progress import Stray
from service.explain import explain_message
from service.watchdog import Watchdog
from storage.stores import Stores
from tests.contract.samples import NOW, deferred, submission, take_in, wish

SPOIL = {
    "due_too_late": "UPDATE queue SET due_at = due_at + 2000000 WHERE message_id = :id",
    "send_at_missed": "UPDATE queue SET due_at = due_at + 2000000 WHERE message_id = :id",
    "lease_too_long": "UPDATE queue SET state = 2, lease_node = 'x', lease_until = 9000000000 WHERE message_id = :id",
    "lease_left": "UPDATE queue SET state = 2, lease_node = 'x', lease_until = 5 WHERE message_id = :id",
    "group_lost": "UPDATE queue SET group_id = 4711 WHERE message_id = :id",
    "group_uncounted": "UPDATE queue_groups SET queued = 0 WHERE id > 0",
}


class _Clock:
    rate = 1.0

    def now(self) -> float:
        return NOW

    def real(self, seconds: float) -> float:
        return seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")


def _dog(stores: Stores, portion: int = 100) -> Watchdog:
    return Watchdog(stores.residents, Delivery(), _Clock(), portion=portion)


@pytest.mark.parametrize("reason", SPOIL)
async def test_a_message_that_nobody_would_come_for_is_put_back(stores: Stores, reason: str) -> None:
    (sick,) = await take_in(stores, [submission()])
    if reason == "due_too_late":
        await stores.queue.settle([deferred(lease) for lease in await stores.queue.claim(wish(sick))])
    words = {"id": sick.message_id} if ":id" in SPOIL[reason] else {}
    await stores.db.transact(lambda c: c.execute(text(SPOIL[reason]), words))
    due = await stores.queue.groups(NOW + DAY)
    assert sum(group.fresh + group.retries for group in due) == 0, "it is out of everybody's sight"
    dog = _dog(stores)
    assert await dog.look() == 1
    assert await dog.look() == 0, "once"
    assert dog.total == 1
    if reason == "group_lost":
        assert await stores.queue.unrouted() == ["gmail.test"]
        await stores.queue.route("gmail.test", sick.provider, sick.site)
    leases = await stores.queue.claim(wish(sick))
    assert [lease.submission.message_id for lease in leases] == [sick.message_id]
    (event,) = [row.event for row in await stores.log.recent(["PutBack"], 10)]
    assert isinstance(event, PutBack)
    assert (event.message_id, event.reason) == (sick.message_id, reason)
    assert any("put back by the watchdog" in line.text for line in await explain_message(stores.log, sick.message_id))


async def test_a_domain_whose_route_is_put_off_for_ever_is_asked_for_again(stores: Stores) -> None:
    await take_in(stores, [submission("ann@far.test", routed=False)])
    await stores.queue.fail_domain("far.test", NOW + 30 * DAY)
    await stores.queue.groups(NOW)
    assert await stores.queue.unrouted() == []
    assert await _dog(stores).look() == 1
    assert await stores.queue.unrouted() == ["far.test"]


async def test_every_resident_is_seen_and_the_sound_ones_stay(stores: Stores) -> None:
    sound = [submission() for _ in range(20)]
    later = [submission(not_before=NOW + 200 * DAY) for _ in range(10)]
    await take_in(stores, [*sound, *later, submission("x@unrouted.test", routed=False)])
    await stores.queue.settle([deferred(lease) for lease in await stores.queue.claim(wish(sound[0], fresh=5))])
    await stores.queue.claim(wish(sound[0], fresh=3))
    dog = _dog(stores, portion=7)
    assert [await dog.look() for _ in range(5)] == [0] * 5
    assert dog.rounds == 1


async def test_what_moved_since_the_look_is_left_alone(stores: Stores) -> None:
    (sick,) = await take_in(stores, [submission()])
    await stores.db.transact(lambda c: c.execute(text(SPOIL["lease_left"]), {"id": sick.message_id}))
    seen = await stores.residents.portion("", 10)
    await stores.queue.recover(wish(sick).node, NOW)
    assert await stores.residents.put_back([(seen[0], Stray.LEASE_LEFT)], NOW) == 0
    assert await stores.log.recent(["PutBack"], 10) == []
