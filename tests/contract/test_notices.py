"""Wishes for delivery notifications on both databases: stored with the mail, found by the log's numbers."""

from __future__ import annotations

import pytest

from core.errors import StorageConflict
from core.lane import DAY
from core.messages import Body, BodyId
from core.notices import NoticeLetter, NoticeOrder, NoticeWish, Notify
from storage.stores import Stores
from tests.contract.samples import NOW, accepted, bounced, submission, take_in, wish


def order(*ids: str, delay_at: float = 0.0) -> NoticeOrder:
    letter = NoticeLetter(
        letter_id=BodyId("body"), sender="crm@brand.test", envelope_id="E1", returned=b"Subject: x\r\n\xff", full=False,
        sending_domain="brand.test",
    )  # fmt: skip
    return NoticeOrder(
        letter=letter,
        wishes=[
            NoticeWish(
                message_id=message_id, letter_id=BodyId("body"), recipient="a@gmail.test", original="", accepted_at=NOW,  # type: ignore[arg-type]
                notify=frozenset({Notify.FAILURE, Notify.DELAY}), delay_at=delay_at,
            )
            for message_id in ids
        ],
    )  # fmt: skip


async def test_a_wish_is_found_with_the_end_of_its_message(stores: Stores) -> None:
    asked, silent = submission(), submission()
    body = Body(body_id=BodyId("body"), kind="mime", content=b"text")
    assert not await stores.notices.any()
    await stores.queue.accept(
        [body], [asked, silent], [accepted(asked), accepted(silent)], notices=order(asked.message_id)
    )
    assert await stores.notices.any()
    before = await stores.log.head()
    leases = await stores.queue.claim(wish(asked))
    await stores.queue.settle([bounced(lease) for lease in leases])
    (case,) = await stores.notices.ended(before, await stores.log.head())
    assert case.logged is not None
    assert case.logged.event.message_id == asked.message_id  # type: ignore[union-attr]
    assert case.letter == order().letter
    assert case.wish == order(asked.message_id).wishes[0]
    assert await stores.notices.ended(await stores.log.head(), 1 << 40) == []


async def test_a_transaction_that_is_refused_leaves_no_wish(stores: Stores) -> None:
    await take_in(stores, [submission()], key="k")
    second = submission()
    with pytest.raises(StorageConflict):
        await stores.queue.accept(
            [], [second], [accepted(second)], idempotency=("k", "x"), notices=order(second.message_id)
        )
    assert not await stores.notices.any()


async def test_delays_are_told_once_and_wishes_are_forgotten(stores: Stores) -> None:
    one, other = submission(), submission()
    await stores.queue.accept(
        [], [one, other], [accepted(one), accepted(other)],
        notices=order(one.message_id, other.message_id, delay_at=NOW + 9),
    )  # fmt: skip
    assert await stores.notices.late(NOW + 8) == []
    assert len(await stores.notices.late(NOW + 9)) == 2
    await stores.notices.told_late([one.message_id])
    assert [case.wish.message_id for case in await stores.notices.late(NOW + 9)] == [other.message_id]
    assert await stores.notices.forget(NOW + 60 * DAY) == 0, "scheduled mail waits longer than wishes are kept"
    ended = [bounced(lease) for lease in await stores.queue.claim(wish(one, fresh=2))]
    await stores.queue.settle(ended)
    at = max(settlement.event.at for settlement in ended)
    assert await stores.notices.forget(at) == 0, "a bounce mail may still come"
    assert await stores.notices.forget(at + 1) == 2
    assert not await stores.notices.any()
