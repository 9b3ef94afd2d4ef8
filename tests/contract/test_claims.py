"""Contract of core.ports.Queue: what a claim costs and keeps, over deferrals, deaths and suppressed lists."""

from __future__ import annotations

from core.messages import Node
from storage.stores import Stores
from tests.contract.samples import NOW, deferred, submission, suppression, take_in, wish

PROBE = (("probe:p", 0, 2),)


async def test_a_further_attempt_is_counted_again_under_the_same_allowance(stores: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    for turn in range(2):
        at = NOW + 1000 * turn
        [lease] = await stores.queue.claim(wish(sent, now=at, allowances=PROBE, retry_allowances=PROBE))
        await stores.queue.settle([deferred(lease, at=at + 1)])
        assert await stores.allowances.used(["probe:p"], 0) == {"probe:p": turn + 1}
    assert await stores.queue.claim(wish(sent, now=NOW + 2000, allowances=PROBE, retry_allowances=PROBE)) == []


async def test_the_first_moment_outlives_the_death_of_a_later_sender(stores: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    [lease] = await stores.queue.claim(wish(sent))
    await stores.queue.settle([deferred(lease)])
    [lost] = await stores.queue.claim(wish(sent, now=NOW + 1000))
    assert await stores.queue.recover(Node("other"), lost.lease_until + 1) == 1
    [again] = await stores.queue.claim(wish(sent, now=lost.lease_until + 2))
    assert again.first_sent_at == NOW, "its outcomes count in the hour in which it was first sent"
    assert again.attempts == 1


async def test_a_claim_that_ends_inside_a_suppressed_list_leases_nobody_of_it(stores: Stores) -> None:
    mails = await take_in(stores, [submission() for _ in range(900)])
    await stores.suppressions.add([suppression(s.recipient) for s in mails])
    assert await stores.queue.claim(wish(mails[0])) == [], "one claim clears away a part of them"
    assert sum((await stores.queue.depth()).values()) < 900


async def test_a_claim_of_one_gets_past_a_suppressed_list(stores: Stores) -> None:
    gone = [submission(f"u{n}@gmail.test", at=NOW - 100 + n) for n in range(40)]
    rows = await take_in(stores, [*gone, submission("ann@gmail.test")])
    await stores.suppressions.add([suppression(one.recipient) for one in gone])
    [lease] = await stores.queue.claim(wish(rows[0], fresh=1))
    assert lease.submission.recipient == "ann@gmail.test"
    assert await stores.queue.depth() == {"gmail": 1}
