"""Cancelled mail ends as Dropped, whatever state it is in; other mail, and mail that comes later, stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import InvalidInput
from core.events import Dropped, DropReason, GateChanged
from core.lane import Scope
from core.tokens import MessageId
from service.cancelling import Canceller
from service.operator import Operator
from storage.stores import Stores
from tests.contract.samples import NOW, delivered, submission, take_in, wish


class _Clock:
    """Always NOW + 1."""

    rate = 1.0

    def now(self) -> float:
        return NOW + 1

    def real(self, seconds: float) -> float:
        return seconds

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def _canceller(stores: Stores) -> Canceller:
    clock = _Clock()
    operator = Operator(controls=stores.controls, suppressions=stores.suppressions, clock=clock, spare=("receipts",))
    return Canceller(operator, stores.controls, stores.cancelling, clock)


async def _dropped(stores: Stores) -> set[MessageId]:
    events = [row.event for row in await stores.log.read(0, 1000)]
    return {e.message_id for e in events if isinstance(e, Dropped) and e.reason is DropReason.CANCELLED}


async def test_a_campaign_ends_routed_or_not_and_nothing_else_does(stores: Stores) -> None:
    mine = [submission(campaign="spring"), submission("x@late.test", campaign="spring", routed=False)]
    others = [submission(campaign="autumn"), submission(), submission(campaign="spring", stream="receipts")]
    await take_in(stores, [*mine, *others])

    done = await _canceller(stores).cancel(Scope(campaign="spring", spare=("receipts",)), by="ann", reason="typo")

    assert (done.ended, done.more) == (2, False)
    assert await _dropped(stores) == {s.message_id for s in mine}
    assert sum((await stores.queue.depth()).values()) == 3
    gates = [row.event.after for row in await stores.log.read(0, 1000) if isinstance(row.event, GateChanged)]
    assert gates == ["paused", "open"], "nothing of it goes out meanwhile, and later mail is free to"


async def test_what_a_sender_holds_is_sent_or_cancelled_when_it_comes_back(stores: Stores) -> None:
    sent, back = submission(campaign="spring"), submission(campaign="spring")
    await take_in(stores, [sent, back])
    leases = await stores.queue.claim(replace(wish(sent, fresh=2), now=NOW))
    canceller, scope = _canceller(stores), Scope(campaign="spring")

    first = await canceller.cancel(scope, by="ann", reason="")
    assert (first.ended, first.more) == (0, True)
    assert [gate.state for gate in await stores.controls.gates()] == ["paused"]

    by_id = {lease.submission.message_id: lease for lease in leases}
    await stores.queue.settle([delivered(by_id[sent.message_id])])
    await stores.queue.release([by_id[back.message_id]])
    second = await canceller.cancel(scope, by="ann", reason="")
    assert (second.ended, second.more) == (1, False)
    assert await _dropped(stores) == {back.message_id}
    assert [gate.state for gate in await stores.controls.gates()] == ["open"]


async def test_a_call_is_bounded_and_the_next_goes_on_with_what_was_there_at_the_first(stores: Stores) -> None:
    await take_in(stores, [submission(campaign="spring") for _ in range(5)])
    canceller, scope = _canceller(stores), Scope(campaign="spring")
    first = await canceller.cancel(scope, by="ann", reason="", most=3)
    assert (first.ended, first.more) == (3, True)
    later = submission(campaign="spring", at=NOW + 100)
    await take_in(stores, [later])
    second = await canceller.cancel(scope, by="ann", reason="", most=3)
    assert (second.ended, second.more) == (2, False)
    assert await stores.queue.find(later.message_id) is not None


async def test_a_pause_that_somebody_set_before_stays(stores: Stores) -> None:
    await take_in(stores, [submission(campaign="spring")])
    canceller, scope = _canceller(stores), Scope(campaign="spring")
    operator = Operator(controls=stores.controls, suppressions=stores.suppressions, clock=_Clock(), spare=())
    await operator.pause(scope, by="bob", reason="looks wrong")
    assert (await canceller.cancel(scope, by="ann", reason="")).ended == 1
    assert [(gate.state, gate.by) for gate in await stores.controls.gates()] == [("paused", "bob")]


@pytest.mark.parametrize("scope", [Scope(), Scope(source="out1", stream="bulk"), Scope(pool="warm")])
async def test_a_scope_that_names_no_queued_mail_is_refused(stores: Stores, scope: Scope) -> None:
    with pytest.raises(InvalidInput):
        await _canceller(stores).cancel(scope, by="ann", reason="")
