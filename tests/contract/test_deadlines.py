"""Mail that its caller does not want after a certain instant, on both databases."""

from __future__ import annotations

from dataclasses import replace

from core.classify import BounceClass
from core.events import Bounced
from core.messages import Submission
from storage.stores import Stores
from tests.contract.samples import NOW, group_of, kinds_of, submission, take_in, wish

DEADLINE = NOW + 600


def urgent(*, routed: bool = True) -> Submission:
    return replace(submission(routed=routed), deadline=DEADLINE)


async def test_a_wait_of_our_own_puts_the_age_off_but_not_the_deadline(stores: Stores) -> None:
    first, second = await take_in(stores, [urgent(), submission()])
    await stores.queue.extend(group_of(first), 10 * 86400)
    assert await stores.queue.expire(DEADLINE - 1) == 0
    assert await stores.queue.expire(DEADLINE) == 1
    assert await stores.queue.expire(DEADLINE) == 0
    assert await kinds_of(stores, first.message_id) == ["Accepted", "Bounced"]
    (_, end) = [row.event for row in await stores.log.of_message(first.message_id)]
    assert isinstance(end, Bounced)
    assert (end.bounce_class, end.attribution.traffic.lane.provider) == (BounceClass.EXPIRED, first.provider)
    assert await stores.queue.find(second.message_id) is not None


async def test_mail_that_nobody_routed_has_a_deadline_too(stores: Stores) -> None:
    (waiting,) = await take_in(stores, [urgent(routed=False)])
    assert await stores.queue.expire(DEADLINE) == 1
    assert await stores.queue.unrouted() == []
    assert sum((await stores.queue.depth()).values()) == 0
    assert await stores.queue.find(waiting.message_id) is None


async def test_what_is_being_sent_is_not_taken_away(stores: Stores) -> None:
    (sent,) = await take_in(stores, [urgent()])
    (lease,) = await stores.queue.claim(wish(sent))
    assert lease.submission.deadline == DEADLINE
    assert await stores.queue.expire(DEADLINE + 1) == 0
    await stores.queue.release([lease])
    assert await stores.queue.expire(DEADLINE + 1) == 1
