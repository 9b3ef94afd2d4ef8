"""A pause at any scope holds the mail that lies in it at once, also under a claim, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from config.model import Pool, Settings
from config.tables import Plan
from core.decision import Decision
from core.events import GateState
from core.lane import Traffic, parse_scope
from core.state import Gate, Snapshot
from tests.unit.sender.fakes import START, House, virtually
from warmup.admission import GateAdmission

HOUR = 3600.0
GOOGLE = "mx1.google.test,mx2.google.test"
_NO_PLANS: list[Plan] = []


def _house() -> House:
    pools = [Pool(name="left", sources=["a"]), Pool(name="right", sources=["b"])]
    house = House(sources=("a", "b"), changes={"pools": pools}, seconds=0.5)
    gate = GateAdmission(_NO_PLANS, _settings(house))

    def rule(traffic: Traffic, fresh: int, retries: int, now: float) -> Decision:
        return gate.decide(traffic, fresh, retries, house.snapshot, now)

    house.admission.rule = rule
    return house


def _settings(house: House) -> Settings:
    return house.settings


def _gate(scope: str, until: float = 0.0) -> Gate:
    return Gate(
        scope=parse_scope(scope, spare=("receipts",)), state=GateState.PAUSED, pause_id="p1", rule="operator",
        since=START, until=until, reason="a test", by="ann",
    )  # fmt: skip


async def _fill(house: House) -> None:
    await house.put(*[f"gl{n}@gmail.test" for n in range(20)], pool="left", campaign="x")
    await house.put(*[f"gr{n}@gmail.test" for n in range(20)], pool="right", campaign="y")
    await house.put(*[f"yl{n}@yahoo.test" for n in range(20)], pool="left", campaign="y")


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ("all", {"gl", "gr", "yl"}),
        ("stream=bulk", {"gl", "gr", "yl"}),
        ("sending_domain=example.com", {"gl", "gr", "yl"}),
        ("campaign=x", {"gl"}),
        ("provider=gmail", {"gl", "gr"}),
        (f"site={GOOGLE}", {"gl", "gr"}),
        ("site=mx.yahoo.test", {"yl"}),
        ("source=b", {"gr"}),
        ("lane=a|example.com|yahoo", {"yl"}),
        ("pool=left", {"gl", "yl"}),
        (f"pool=left,site={GOOGLE}", {"gl"}),
        ("stream=bulk,provider=yahoo", {"yl"}),
        ("stream=receipts", set()),
    ],
)
def test_what_lies_in_the_scope_waits_from_the_moment_on_and_the_rest_goes(scope: str, held: set[str]) -> None:
    async def story() -> None:
        house = _house()
        await _fill(house)

        async def close() -> None:
            await house.clock.sleep(3.2)
            house.snapshot = Snapshot(gates=(_gate(scope),))
            house.dispatcher.wake()

        await asyncio.gather(house.work(100), close())
        late = {sent.envelope.rcpt_to[:2] for sent in house.transport.sent if sent.at > START + 3.2 + 0.5}
        assert not late & held
        left = {row.submission.recipient[:2] for row in house.queue.rows.values()}
        assert left == held
        assert house.queue.leased == 0
        if held:
            assert {event.reason for event in house.held()} == {"paused"}

    virtually(story)


def test_a_pause_of_a_pool_ends_by_itself_and_cost_no_age() -> None:
    async def story() -> None:
        house = _house()
        house.snapshot = Snapshot(gates=(_gate("pool=left", until=START + 5 * HOUR),))
        await house.put("ann@gmail.test", pool="left", max_age=HOUR)

        async def expire() -> None:
            await house.clock.sleep(5 * HOUR)
            house.snapshot = Snapshot()
            house.dispatcher.wake()

        await asyncio.gather(house.work(6 * HOUR), expire())
        (event,) = house.delivered()
        assert event.at - START >= 5 * HOUR
        assert event.attempt == 1

    virtually(story)


def test_a_receipt_goes_on_while_its_site_is_paused_for_marketing() -> None:
    async def story() -> None:
        house = _house()
        house.snapshot = Snapshot(gates=(_gate(f"site={GOOGLE}"),))
        await house.put("ann@gmail.test", pool="left")
        await house.put("buyer@gmail.test", stream="receipts", pool="left")
        await house.work(60)
        assert house.transport.delivered == ["buyer@gmail.test"]

    virtually(story)
