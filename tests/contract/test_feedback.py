"""core.feedback.FeedbackStore on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.classify import BounceClass
from core.errors import StorageConflict
from core.events import SuppressionAdded, SuppressionReason, SuppressionRemoved
from core.feedback import FeedbackChanges, OutageChanged, ReplyCluster, SoftRecord, Tally
from core.state import Suppression
from storage.stores import Stores

FULL, DOMAIN = BounceClass.MAILBOX_FULL, BounceClass.UNKNOWN_DOMAIN
RECORD = SoftRecord(
    address="ann@shop.example", kind=FULL, hits=1, first_at=10.0, last_at=10.0, last_id="m1", evidence="452 full"
)
CLUSTER = ReplyCluster(
    provider="gmail", shape="550 <id> what", count=2, first_at=10.0, last_at=20.0, sample="550 x1 what"
)
HARD = Suppression(
    address="bob@shop.example", stream="", reason=SuppressionReason.HARD_BOUNCE, at=5.0, evidence="550 unknown"
)
OUTAGE = OutageChanged(
    at=30.0, place="provider:gmail", began=True, refused=20, answered=20, past_refused=0, past_answered=100, lifted=1,
    reason="all unknown",
)  # fmt: skip


async def test_a_batch_is_stored_whole_and_its_place_moves(stores: Stores) -> None:
    store = stores.feedback
    assert await store.cursor() == 0
    await stores.suppressions.add([HARD])
    changes = FeedbackChanges(
        days={(Tally.DELIVERED, "provider:gmail", 3): 2, (Tally.UNKNOWN, "provider:gmail", 3): 1},
        records={(RECORD.address, FULL): RECORD},
        clusters=[CLUSTER],
        suppress=[(replace(HARD, address="cy@shop.example"), None)],
        lift={HARD.address: "outage guard"},
        events=[OUTAGE],
    )
    await store.commit(0, 7, changes, 40.0)
    assert await store.cursor() == 7
    assert await store.records([RECORD.address, "nobody@x.example"]) == [RECORD]
    assert await store.days(Tally.DELIVERED, 0) == {("provider:gmail", 3): 2}
    assert await store.days(Tally.DELIVERED, 4) == {}
    assert await store.days(Tally.UNKNOWN, 0, "provider:gmail") == {("provider:gmail", 3): 1}
    assert await store.days(Tally.UNKNOWN, 0, "provider:other") == {}
    assert await store.clusters(0) == [CLUSTER]
    assert [entry.address for entry in await stores.suppressions.page()] == ["cy@shop.example"]
    kinds = [type(logged.event) for logged in await stores.log.read(0)]
    assert kinds == [SuppressionAdded, SuppressionAdded, OutageChanged, SuppressionRemoved]


async def test_counts_add_up_and_records_are_replaced(stores: Stores) -> None:
    store = stores.feedback
    more = replace(RECORD, hits=2, last_at=100_000.0)
    change = {(Tally.CLASS, "gmail|mailbox_full", 3): 2}
    await store.commit(0, 1, FeedbackChanges(days=change, records={(RECORD.address, FULL): RECORD}), 1.0)
    later = replace(CLUSTER, last_at=50.0, sample="550 y2 what")
    await store.commit(1, 2, FeedbackChanges(days=change, records={(RECORD.address, FULL): more}, clusters=[later]), 1)
    await store.commit(2, 2, FeedbackChanges(clusters=[later]), 1.0)
    assert await store.days(Tally.CLASS, 0) == {("gmail|mailbox_full", 3): 4}
    assert await store.records([RECORD.address]) == [more]
    assert [(one.count, one.first_at, one.sample) for one in await store.clusters(0)] == [(4, 10.0, "550 y2 what")]
    await store.commit(2, 3, FeedbackChanges(records={(RECORD.address, FULL): None}), 1.0)
    assert await store.records([RECORD.address]) == []


async def test_whoever_comes_second_changes_nothing(stores: Stores, other: Stores) -> None:
    await stores.feedback.commit(0, 5, FeedbackChanges(), 1.0)
    with pytest.raises(StorageConflict):
        await other.feedback.commit(0, 6, FeedbackChanges(records={(RECORD.address, FULL): RECORD}), 1.0)
    assert await other.feedback.records([RECORD.address]) == []
    assert await other.feedback.cursor() == 5


@pytest.mark.parametrize("reason", [r for r in SuppressionReason if r is not SuppressionReason.HARD_BOUNCE])
async def test_a_persons_own_word_is_never_lifted(stores: Stores, reason: SuppressionReason) -> None:
    await stores.suppressions.add([replace(HARD, reason=reason), replace(HARD, stream="bulk")])
    await stores.feedback.commit(0, 1, FeedbackChanges(lift={HARD.address: "outage guard"}), 1.0)
    assert await stores.suppressions.count() == 2


async def test_records_are_due_by_when_dns_was_asked(stores: Stores) -> None:
    asked = [
        replace(RECORD, address=f"{n}@x.example", kind=DOMAIN, asked_at=float(n), evidence="5.1.2") for n in range(5)
    ]
    changes = FeedbackChanges(records={(one.address, one.kind): one for one in asked})
    await stores.feedback.commit(0, 1, changes, 1.0)
    assert await stores.feedback.due(DOMAIN, 3.0) == asked[:3]
    assert await stores.feedback.due(DOMAIN, 9.0, 2) == asked[:2]
    assert await stores.feedback.due(FULL, 9.0) == []


async def test_what_is_old_is_forgotten(stores: Stores) -> None:
    day = 86400.0
    old = replace(RECORD, address="old@x.example")
    alive = replace(RECORD, address="alive@x.example", last_at=50 * day, delivered_at=20 * day, delivered_id="m2")
    kept = replace(RECORD, address="kept@x.example", last_at=50 * day)
    await stores.feedback.commit(
        0, 1,
        FeedbackChanges(
            records={(one.address, one.kind): one for one in (old, alive, kept)},
            days={(Tally.REPORT, "complaint:x", 9): 1, (Tally.REPORT, "complaint:x", 10): 1}, clusters=[CLUSTER],
        ),
        1.0,
    )  # fmt: skip
    await stores.feedback.forget(records_before=20 * day, delivered_before=30 * day, day_before=10)
    found = await stores.feedback.records([old.address, alive.address, kept.address])
    assert [one.address for one in found] == ["kept@x.example"]
    assert await stores.feedback.days(Tally.REPORT, 0) == {("complaint:x", 10): 1}
    assert await stores.feedback.clusters(0) == []
