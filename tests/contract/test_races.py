"""What happens when two nodes, or many tasks of one, want the same thing at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import StorageConflict
from core.events import IntakeRefused, Logged
from core.messages import Leased, Node, Submission
from core.state import Settlement
from storage.stores import Stores
from tests.contract.samples import (
    GMAIL,
    GMAIL_SITE,
    NODE,
    NOW,
    accepted,
    bounced,
    deferred,
    delivered,
    group_of,
    kinds_of,
    submission,
    suppression,
    take_in,
    wish,
)
from tests.waiting import within

CAPS = (("lane:x", 1, 70), ("probe:p", 0, 55))


async def test_two_claimers_never_get_the_same_row_and_together_get_all(stores: Stores, other: Stores) -> None:
    rows = await take_in(stores, [submission() for _ in range(200)])

    async def claimer(node: Stores, name: str) -> list[Leased]:
        got: list[Leased] = []
        while batch := await node.queue.claim(wish(rows[0], fresh=7, node=Node(name))):
            got += batch
        return got

    names = [(stores, "a"), (other, "b"), (stores, "c"), (other, "d")]
    parts = await asyncio.gather(*(claimer(node, name) for node, name in names))
    claimed = [lease.submission.message_id for part in parts for lease in part]
    assert len(claimed) == len(set(claimed)) == 200


async def test_concurrent_claims_together_stay_within_every_cap(stores: Stores, other: Stores) -> None:
    rows = await take_in(stores, [submission() for _ in range(100)])
    wishes = [
        node.queue.claim(wish(rows[0], fresh=6, node=Node(name), allowances=tuple(caps)))
        for _ in range(10)
        for node, name, caps in ((stores, "a", CAPS), (other, "b", reversed(CAPS)))
    ]
    got = [lease for part in await asyncio.gather(*wishes) for lease in part]
    assert await stores.allowances.used(["lane:x"], 1) == {"lane:x": len(got)}
    assert await stores.allowances.used(["probe:p"], 0) == {"probe:p": len(got)}
    left = await stores.queue.claim(wish(rows[0], fresh=100, allowances=CAPS))
    assert len(got) + len(left) == 55, "rows that another claimer held for a moment are claimed later"


async def test_concurrent_reservations_grant_the_cap_and_not_one_more(stores: Stores, other: Stores) -> None:
    grants = await asyncio.gather(*(s.allowances.reserve("k", 7, 50, 3) for _ in range(15) for s in (stores, other)))
    assert sum(grants) == 50
    assert await stores.allowances.used(["k"], 7) == {"k": 50}


async def test_a_suppression_between_acceptance_and_claim_holds(stores: Stores, other: Stores) -> None:
    [sent] = await take_in(stores, [submission("Ann@gmail.test")])
    await other.suppressions.add([suppression("ann@gmail.test")])
    assert await stores.queue.claim(wish(sent)) == []
    assert await kinds_of(stores, sent.message_id) == ["Accepted", "Dropped"]


async def test_a_suppression_between_claim_and_sending_is_seen(stores: Stores, other: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    [lease] = await stores.queue.claim(wish(sent))
    await other.suppressions.add([suppression(sent.recipient, stream="bulk")])
    assert not await stores.queue.still_sendable(lease, NOW + 1)


async def _taken_over(stores: Stores, other: Stores) -> tuple[Submission, Leased, Leased]:
    """A row whose first holder lost it to a second one."""
    [sent] = await take_in(stores, [submission()])
    [lost] = await stores.queue.claim(wish(sent, holds=10))
    await other.queue.recover(Node("node2"), NOW + 11)
    [held] = await other.queue.claim(wish(sent, now=NOW + 11, node=Node("node2")))
    return sent, lost, held


async def test_a_delivery_under_a_lost_lease_still_ends_the_message(stores: Stores, other: Stores) -> None:
    sent, lost, held = await _taken_over(stores, other)
    await stores.queue.settle([delivered(lost)])
    assert not await other.queue.still_sendable(held, NOW + 12)
    await other.queue.settle([bounced(held)])
    assert await kinds_of(stores, sent.message_id) == ["Accepted", "Delivered"]
    assert await stores.suppressions.count() == 0
    assert await stores.queue.depth() == {}


async def test_a_deferral_under_a_lost_lease_leaves_the_new_holder_alone(stores: Stores, other: Stores) -> None:
    sent, lost, held = await _taken_over(stores, other)
    await stores.queue.settle([deferred(lost)])
    assert await other.queue.still_sendable(held, NOW + 12)
    await other.queue.settle([delivered(held)])
    assert await kinds_of(stores, sent.message_id) == ["Accepted", "Delivered"]


async def test_a_deferral_counts_while_the_lost_row_waits_and_only_once(stores: Stores, other: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    [lost] = await stores.queue.claim(wish(sent, holds=10))
    await other.queue.recover(Node("node2"), NOW + 11)
    await stores.queue.settle([deferred(lost), deferred(lost)])
    await stores.queue.settle([deferred(lost)])
    assert await kinds_of(stores, sent.message_id) == ["Accepted", "Deferred"]
    [again] = await other.queue.claim(wish(sent, now=NOW + 5000))
    assert (again.attempts, again.first_sent_at) == (1, NOW)


async def test_two_nodes_that_settle_the_same_row_write_one_end(stores: Stores, other: Stores) -> None:
    rows = await take_in(stores, [submission() for _ in range(40)])
    leases = await stores.queue.claim(wish(rows[0], fresh=40))
    backwards = list(reversed(leases))
    await asyncio.gather(
        *(stores.queue.settle([delivered(lease)]) for lease in leases),
        *(other.queue.settle([bounced(lease)]) for lease in backwards),
        other.queue.settle([deferred(lease) for lease in backwards]),
    )
    ends = [[k for k in await kinds_of(stores, row.message_id) if k in ("Delivered", "Bounced")] for row in rows]
    assert [len(end) for end in ends] == [1] * 40
    assert await stores.queue.depth() == {}
    assert await stores.suppressions.count() == sum(end == ["Bounced"] for end in ends)


async def test_the_same_key_from_two_doors_is_taken_once(stores: Stores, other: Stores) -> None:
    calls = [submission() for _ in range(8)]
    done = await asyncio.gather(
        *(take_in(s, [x], key="same") for x, s in zip(calls, [stores, other] * 4, strict=True)),
        return_exceptions=True,
    )
    assert sum(isinstance(x, StorageConflict) for x in done) == 7
    assert sum(isinstance(x, list) for x in done) == 1
    assert await stores.queue.depth() == {"gmail": 1}


async def test_a_failure_undoes_only_its_own_call_of_a_shared_commit(stores: Stores) -> None:
    good = [submission() for _ in range(20)]
    [twice] = await take_in(stores, [submission()])
    done = await asyncio.gather(
        *(take_in(stores, [x]) for x in good[:10]),
        take_in(stores, [submission(), twice]),
        *(take_in(stores, [x]) for x in good[10:]),
        return_exceptions=True,
    )
    assert [type(x) for x in done] == [list] * 10 + [StorageConflict] + [list] * 10
    assert await stores.queue.depth() == {"gmail": 21}


async def test_a_second_terminal_event_is_refused_whoever_writes_it(stores: Stores) -> None:
    [sent, bystander] = await take_in(stores, [submission(), submission()])
    [lease, rest] = await stores.queue.claim(wish(sent))
    await stores.queue.settle([delivered(lease)])
    done = await asyncio.gather(
        stores.queue.settle([delivered(rest)]),
        stores.log.append([bounced(lease).event]),
        stores.log.append([accepted(bystander)]),
        return_exceptions=True,
    )
    assert [type(x) for x in done] == [type(None), StorageConflict, type(None)]
    assert await kinds_of(stores, lease.submission.message_id) == ["Accepted", "Delivered"]
    assert await stores.queue.depth() == {}


async def test_a_reader_of_the_log_misses_nothing_that_commits_beside_it(stores: Stores, other: Stores) -> None:
    def refused(writer: int, n: int) -> IntakeRefused:
        return IntakeRefused(
            at=NOW, recipient=f"{writer}-{n}", stream="bulk", campaign="", door=accepted(submission()).door, reason=""
        )

    async def writer(node: Stores, number: int) -> None:
        for n in range(30):
            await node.log.append([refused(number, 2 * n), refused(number, 2 * n + 1)])

    seen: list[Logged] = []

    async def reader() -> None:
        while len(seen) < 240:
            seen.extend(await stores.log.read(seen[-1].seq if seen else 0, 50))
            await stores.log.changed(0.01)

    await within(
        asyncio.gather(reader(), *(writer([stores, other][n % 2], n) for n in range(4))),
        lambda: f"240 events; {len(seen)} were seen",
    )
    names = [x.event.recipient for x in seen if isinstance(x.event, IntakeRefused)]
    assert len(names) == len(set(names)) == 240
    for number in range(4):
        own = [int(name.partition("-")[2]) for name in names if name.startswith(f"{number}-")]
        assert own == list(range(60)), "each writer's events in its order"


async def test_everything_at_once_on_two_nodes_keeps_the_figures_whole(stores: Stores, other: Stores) -> None:
    """Acceptance, routing, claims, settlements, waits and upkeep side by side: nothing blocks, nothing is lost."""
    samples = [submission(campaign=f"c{n}", body_id=f"b{n}") for n in range(4)]

    everyone: list[Submission] = []

    async def inject(node: Stores) -> None:
        for n in range(15):
            rows = [submission(campaign=f"c{m % 4}", body_id=f"b{m % 4}", routed=m % 3 > 0) for m in range(n, n + 8)]
            everyone.extend(await take_in(node, rows))

    async def route(node: Stores) -> None:
        for _ in range(20):
            for domain in await node.queue.unrouted():
                await node.queue.route(domain, GMAIL, GMAIL_SITE)

    async def send(node: Stores, name: str) -> None:
        for n in range(30):
            for sample in samples:
                leases = await node.queue.claim(wish(sample, fresh=5, node=Node(name), allowances=CAPS[:1]))
                out: list[Settlement] = [
                    [delivered, bounced, deferred][(n + i) % 3](lease) for i, lease in enumerate(leases[1:])
                ]
                await asyncio.gather(node.queue.settle(out), node.queue.release(leases[:1]))

    async def keep(node: Stores) -> None:
        for n in range(10):
            await node.queue.extend(group_of(samples[n % 4]), 5)
            await node.queue.expire(NOW + 50)
            await node.queue.recover(Node("nobody"), NOW + 5)

    await asyncio.gather(
        inject(stores), inject(other), route(stores), route(other), send(stores, "a"), send(other, "b"),
        keep(stores), keep(other),
    )  # fmt: skip
    await route(stores)
    assert (await stores.queue.depth()).get("", 0) == 0
    queued = 0
    for row in everyone:
        ends = [k for k in await kinds_of(stores, row.message_id) if k in ("Delivered", "Bounced", "Dropped")]
        waiting = await stores.queue.find(row.message_id) is not None
        assert len(ends) + waiting == 1
        queued += waiting
    assert sum((await stores.queue.depth()).values()) == queued
    assert (await stores.allowances.used(["lane:x"], 1))["lane:x"] <= 70


async def test_named_leases_have_one_holder(stores: Stores, other: Stores) -> None:
    got = await asyncio.gather(
        *[s.leases.acquire("steps", Node(name), NOW, NOW + 60) for s, name in [(stores, "a"), (other, "b")] * 5]
    )
    holders = {name for ok, name in zip(got, "ab" * 5, strict=True) if ok}
    assert len(holders) == 1


async def test_a_lost_lease_is_lost_even_when_the_same_node_got_it_again(stores: Stores) -> None:
    [sent] = await take_in(stores, [submission()])
    [lost] = await stores.queue.claim(wish(sent, holds=10))
    await stores.queue.recover(NODE, NOW + 10)
    [held] = await stores.queue.claim(wish(sent, now=NOW + 10, holds=10))
    assert not await stores.queue.still_sendable(lost, NOW + 5)
    assert await stores.queue.still_sendable(held, NOW + 15)


async def test_a_conflict_of_the_key_leaves_the_neighbours_alone(stores: Stores) -> None:
    await take_in(stores, [submission()], key="k")
    with pytest.raises(StorageConflict):
        await take_in(stores, [submission()], key="k")
    await take_in(stores, [submission()], key="k2")
    assert await stores.queue.depth() == {"gmail": 2}
