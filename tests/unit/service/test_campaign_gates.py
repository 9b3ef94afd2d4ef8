"""A campaign without mail in the queue keeps no gate probing; old records go with their campaign."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from core.causes import Cause, Why
from core.clock import FixedClock
from core.events import GateState
from core.lane import DAY, HOUR, Scope
from core.metrics import Metric
from core.state import CANARY, CounterKey, Gate
from monitor import guard
from monitor.canary import Terms, begin
from service.campaigngates import BY, KEPT, CampaignGates
from storage.stores import Stores, open_stores
from tests.contract.samples import submission, take_in
from tests.unit.monitor.world import NOON, under

TERMS = Terms(messages=100, hours=4)
SCOPE = Scope(stream="bulk", campaign="spring")


class World:
    """A store with a gate over the campaign `spring`."""

    def __init__(self, stores: Stores) -> None:
        self.stores, self.clock = stores, FixedClock(NOON)
        self.counted: dict[CounterKey, int] = {}
        self.gates = CampaignGates(
            stores.campaigns, stores.controls, lambda: self.counted, {"bulk": TERMS}, self.clock
        )  # fmt: skip

    async def put(self, state: GateState, rule: str = "bounces") -> None:
        gate, event = begin("bulk", "spring", TERMS, NOON)
        gate = replace(gate, state=state, rule=rule)
        await self.stores.controls.put(gate, replace(event, after=state), None)

    async def after(self, hours: float) -> Gate | None:
        self.clock.advance(hours * HOUR)
        await self.gates.look()
        return next(iter(await self.stores.controls.gates()), None)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    stores = await open_stores("sqlite:///:memory:", inline=True)
    yield World(stores)
    await stores.close()


@pytest.mark.parametrize("state", [GateState.PROBING, GateState.SLOWED])
async def test_a_probe_ends_an_hour_after_the_last_mail_left_the_queue(world: World, state: GateState) -> None:
    await world.put(state)
    await world.after(0)
    gate = await world.after(0.5)
    assert gate is not None
    assert gate.state is state
    gate = await world.after(0.5)
    assert gate is not None
    assert (gate.state, gate.by) == (GateState.OPEN, BY)
    (event,) = [x.event for x in await world.stores.log.recent(["GateChanged"], 1)]
    assert "nothing left in the queue" in str(getattr(event, "reason", ""))


async def test_a_canary_is_kept_for_its_waiting_time(world: World) -> None:
    await world.put(GateState.PROBING, CANARY)
    await world.after(0)
    for hours, state in ((2, GateState.PROBING), (2, GateState.OPEN)):
        gate = await world.after(hours)
        assert gate is not None
        assert gate.state is state


async def test_a_campaign_with_mail_waiting_keeps_its_gate(world: World) -> None:
    await world.put(GateState.PROBING)
    await take_in(world.stores, [submission(campaign="spring")])
    await world.after(0)
    gate = await world.after(5)
    assert gate is not None
    assert gate.state is GateState.PROBING


@pytest.mark.parametrize("state", [GateState.PAUSED, GateState.HARD_STOPPED])
async def test_a_pause_stays_for_what_may_still_be_injected(world: World, state: GateState) -> None:
    await world.put(state)
    await world.after(0)
    gate = await world.after(9)
    assert gate is not None
    assert gate.state is state


async def test_records_of_open_gates_go_with_their_campaign(world: World) -> None:
    await world.put(GateState.OPEN, CANARY)
    world.counted[CounterKey(attribution=under(NOON, campaign="spring"), metric=Metric.DELIVERED)] = 1
    assert await world.after(KEPT / HOUR + 1) is not None
    world.counted.clear()
    assert await world.after(0) is None


def test_a_gate_that_is_open_has_nothing_to_end() -> None:
    with pytest.raises(guard.IllegalMove):
        guard.finish(guard.first("bounces", SCOPE), NOON + DAY, Cause(why=Why.CAMPAIGN_OVER))
