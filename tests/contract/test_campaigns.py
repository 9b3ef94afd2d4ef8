"""What is left of campaigns in the queue, and the end of their gates' records, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.events import GateState
from core.state import Gate
from monitor.canary import Terms, begin
from storage.stores import Stores
from tests.contract.samples import NOW, submission, take_in


@pytest.mark.parametrize("routed", [True, False])
async def test_mail_in_the_queue_is_seen_routed_or_not(stores: Stores, routed: bool) -> None:
    await take_in(stores, [submission(campaign="spring", routed=routed)])
    asked = [("bulk", "spring"), ("bulk", "summer"), ("other", "spring")]
    assert await stores.campaigns.waiting(asked) == {("bulk", "spring")}
    assert await stores.campaigns.waiting([]) == set()


async def stored(stores: Stores, state: GateState) -> Gate:
    gate, event = begin("bulk", "spring", Terms(messages=100, hours=4), NOW)
    gate = replace(gate, state=state)
    await stores.controls.put(gate, replace(event, after=state), None)
    return gate


async def test_only_records_of_open_gates_go(stores: Stores) -> None:
    shut = await stored(stores, GateState.PROBING)
    assert await stores.campaigns.forget([shut]) == 0
    opened = replace(shut, state=GateState.OPEN)
    (event,) = [x.event for x in await stores.log.recent(["GateChanged"], 1)]
    await stores.controls.put(opened, event, GateState.PROBING)
    assert await stores.campaigns.forget([opened]) == 1
    assert await stores.controls.gates() == []
