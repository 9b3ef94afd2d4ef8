"""Canary: a slice first, then outcomes, then the rest by itself; trouble keeps the rest back."""

from __future__ import annotations

from core.clock import FixedClock
from core.events import Accepted, Door, Event, GateChanged, GateState
from core.lane import DAY, HOUR
from core.state import CANARY
from core.tokens import MessageId
from monitor import operator
from monitor.canary import Terms, slice_size
from monitor.projector import Projector
from tests.unit.monitor.world import NOON, Memory, bounced, delivered, rule

CAMPAIGN = rule(by=["stream", "campaign"], false_alarm_chance=0.01, pause_hours=6, probe_hours=1, probe_messages=20)


def accepted(campaign: str = "spring", stream: str = "bulk") -> Accepted:
    return Accepted(
        at=NOON, message_id=MessageId("m"), recipient="r@x.example", stream=stream, campaign=campaign,
        sending_domain="news.example", door=Door.HTTP, size=1,
    )  # fmt: skip


class Run:
    """A projector with a canary of 100 messages and 4 hours on `bulk`."""

    def __init__(self) -> None:
        self.memory, self.clock = Memory(), FixedClock(NOON)
        self.projector = self.made({"bulk": Terms(messages=100, hours=4)})

    def made(self, canaries: dict[str, Terms]) -> Projector:
        return Projector(
            log=self.memory, counters=self.memory, controls=self.memory, rules=[CAMPAIGN], transactional=("tx",),
            no_feedback=frozenset(), clock=self.clock, on_change=lambda: None, canaries=canaries,
        )  # fmt: skip

    async def take(self, *events: Event) -> list[GateChanged]:
        before = len(self.memory.events)
        self.memory.events += events
        while await self.projector.step():
            pass
        return [event for event in self.memory.events[before:] if isinstance(event, GateChanged)]

    def state(self) -> GateState:
        (gate,) = [gate for gate in self.projector.gates if gate.rule == CANARY]
        return gate.state


def mail(count: int) -> list[Event]:
    return [delivered(campaign="spring") for _ in range(count)]


async def test_the_rest_goes_on_by_itself_when_nothing_speaks_against_the_slice() -> None:
    run = Run()
    (begun,) = await run.take(accepted(), accepted())
    assert (begun.scope.key, begun.after, begun.limit) == ("stream=bulk,campaign=spring", GateState.PROBING, 100)
    assert await run.take(*mail(99)) == []
    run.clock.advance(2 * HOUR)
    (out,) = await run.take(*mail(1))
    assert (out.after, out.until) == (GateState.PROBING, NOON + 6 * HOUR)
    run.clock.advance(3.9 * HOUR)
    assert await run.take() == []
    run.clock.advance(0.1 * HOUR)
    (opened,) = await run.take()
    assert opened.after is GateState.OPEN
    assert opened.reason == "canary: nothing speaks against the campaign after 100 messages"
    assert opened.evidence is not None
    assert (opened.evidence.numerator, opened.evidence.denominator, opened.evidence.limit) == (0, 100, 100)
    assert await run.take(accepted(), *mail(500)) == []  # once only


async def test_a_slice_with_dead_addresses_keeps_the_rest_back_until_the_rule_opens() -> None:
    run = Run()
    await run.take(accepted())
    moves = await run.take(*mail(80), *(bounced(campaign="spring") for _ in range(20)))
    assert {(move.scope.key, move.after) for move in moves} == {
        ("stream=bulk,campaign=spring", GateState.PAUSED),
        ("stream=bulk,campaign=spring", GateState.PROBING),
    }
    run.clock.advance(5 * HOUR)
    assert await run.take() == []
    assert run.state() is GateState.PROBING


async def test_a_campaign_smaller_than_its_slice_opens_after_a_day() -> None:
    run = Run()
    await run.take(accepted(), *mail(30))
    run.clock.advance(DAY + 4 * HOUR)
    (opened,) = await run.take()
    assert (opened.after, opened.reason) == (GateState.OPEN, "canary: 30 messages in a day, fewer than the slice")


async def test_a_person_opens_a_canary_at_once() -> None:
    run = Run()
    await run.take(accepted())
    (gate,) = [gate for gate in run.projector.gates if gate.rule == CANARY]
    opened, event = operator.resume(gate, now=NOON, reason="seen", by="anna")
    await run.memory.put(opened, event, gate.state)
    await run.take(*mail(200))
    assert run.state() is GateState.OPEN


async def test_other_streams_and_mail_without_campaign_have_none_and_a_removed_canary_opens() -> None:
    run = Run()
    assert await run.take(accepted(stream="news"), accepted(campaign="")) == []
    await run.take(accepted())
    run.projector = run.made({})
    (opened,) = await run.take()
    assert opened.after is GateState.OPEN


async def test_a_restart_knows_how_far_the_slice_was() -> None:
    run = Run()
    await run.take(accepted(), *mail(60))
    run.projector = run.made({"bulk": Terms(messages=100, hours=4)})
    (out,) = await run.take(*mail(40))
    assert out.reason == "canary: 100 messages are out, outcomes are awaited"


def test_a_slice_is_as_large_as_the_most_demanding_rule_over_campaigns_needs() -> None:
    bounces, complaints = CAMPAIGN, rule(name="c", by=["campaign"], threshold=0.001, signal="complaint_rate")
    assert 200 <= slice_size([bounces]) < 500
    assert 4_000 < slice_size([bounces, complaints]) < 8_000
    assert slice_size([rule(threshold=0.00001)]) == 200  # judges no campaign
