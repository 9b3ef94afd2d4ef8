"""A scope that alarms for one part of it: the part closes, the rest goes on, and the books stay right."""

from __future__ import annotations

import pytest

from core.clock import FixedClock
from core.events import Event, GateChanged, GateState
from core.lane import DAY, HOUR, Scope
from monitor.counters import fold
from monitor.evidence import DelayEnvelope
from monitor.projector import Projector
from monitor.rules import RuleTally
from tests.unit.monitor.world import NOON, Memory, bounced, complaint, delivered, rule, traffic

PART = Scope(provider="yahoo", stream="bulk", campaign="spring", spare=("tx",))


def good(count: int, at: float = NOON, campaign: str = "") -> list[Event]:
    return [delivered(at, campaign=campaign) for _ in range(count)]


def bad(count: int, at: float = NOON, campaign: str = "") -> list[Event]:
    return [bounced(at, campaign=campaign) for _ in range(count)]


def made(memory: Memory, clock: FixedClock) -> Projector:
    return Projector(
        log=memory, counters=memory, controls=memory, rules=[rule(pause_hours=6, probe_hours=1, probe_messages=20)],
        transactional=("tx",), no_feedback=frozenset(), clock=clock, on_change=lambda: None,
    )  # fmt: skip


async def take(projector: Projector, memory: Memory, *events: Event) -> list[GateChanged]:
    """Everything at once; the moves."""
    before = len(memory.events)
    memory.events += events
    while await projector.step():
        pass
    return [event for event in memory.events[before:] if isinstance(event, GateChanged)]


async def test_one_campaign_closes_at_its_provider_and_the_others_go_on() -> None:
    memory, clock = Memory(), FixedClock(NOON)
    projector = made(memory, clock)
    mail = [*good(900, campaign="summer"), *bad(5, campaign="summer"), *good(160, campaign="spring")]
    (event,) = await take(projector, memory, *mail, *bad(40, campaign="spring"))
    assert event.scope == PART
    assert event.after is GateState.PAUSED
    assert event.evidence is not None
    assert (event.evidence.numerator, event.evidence.denominator) == (40, 200)
    assert event.reason.endswith("; the rest of provider=yahoo,stream=bulk is fine: 5 of 905 (0.55%)")
    assert event.evidence.samples == ("550 5.1.1 no such user",) * 5
    assert memory.stored[PART.key, "bounces"].scope == PART


async def test_a_part_that_was_slowed_first_shows_what_the_whole_had_heard_when_it_closes() -> None:
    memory, clock = Memory(), FixedClock(NOON)
    projector = made(memory, clock)
    moves = await take(projector, memory, *good(100, campaign="summer"), *good(10, campaign="spring"))
    for _ in range(20):
        moves += await take(projector, memory, *bad(1, campaign="spring"))
    assert [move.after for move in moves] == [GateState.SLOWED, GateState.PAUSED]
    assert [len(move.evidence.samples) for move in moves if move.evidence] == [5, 5]


async def test_what_the_part_did_does_not_close_the_whole_neither_now_nor_after_a_restart() -> None:
    memory, clock = Memory(), FixedClock(NOON)
    mail = [*good(900, campaign="summer"), *good(160, campaign="spring"), *bad(40, campaign="spring")]
    await take(made(memory, clock), memory, *mail)
    restarted = made(memory, clock)
    assert await take(restarted, memory, *bad(60, campaign="spring"), *bad(3, campaign="summer")) == []
    assert [gate.scope for gate in restarted.gates] == [PART]


async def test_the_rest_is_judged_for_itself_while_the_part_is_closed() -> None:
    memory, clock = Memory(), FixedClock(NOON)
    projector = made(memory, clock)
    mail = [*good(900, campaign="summer"), *good(160, campaign="spring"), *bad(40, campaign="spring")]
    await take(projector, memory, *mail)
    moves = await take(projector, memory, *bad(150, campaign="summer"), *bad(120, campaign="autumn"))
    assert [move.scope.key for move in moves] == ["provider=yahoo,stream=bulk"]
    assert moves[0].evidence is not None
    assert moves[0].evidence.numerator == 270  # without the part's own


async def test_trouble_all_over_closes_the_whole() -> None:
    memory, clock = Memory(), FixedClock(NOON)
    campaigns = ("spring", "summer", "autumn")
    mail = [event for c in campaigns for event in (*good(80, campaign=c), *bad(20, campaign=c))]
    (event,) = await take(made(memory, clock), memory, *mail)
    assert event.scope.key == "provider=yahoo,stream=bulk"


async def test_a_part_probes_recovers_and_returns_to_its_whole_after_the_window() -> None:
    memory, clock = Memory(), FixedClock(NOON)
    projector = made(memory, clock)
    mail = [*good(900, campaign="summer"), *good(160, campaign="spring"), *bad(40, campaign="spring")]
    await take(projector, memory, *mail)
    clock.advance(6 * HOUR)
    assert [move.after for move in await take(projector, memory)] == [GateState.PROBING]
    clock.advance(HOUR)
    assert (
        await take(projector, memory, *good(20, clock.now(), campaign="spring")) == []
    )  # its outcomes have their hour
    clock.advance(HOUR)
    assert [move.after for move in await take(projector, memory)] == [GateState.SLOWED]
    for _ in range(30):
        clock.advance(HOUR)
        await take(projector, memory)
    (gate,) = projector.gates
    assert (gate.scope, gate.state) == (PART, GateState.OPEN)
    clock.advance(40 * DAY)
    moves = await take(
        projector, memory, *good(50, clock.now(), campaign="spring"), *bad(30, clock.now(), campaign="spring")
    )
    assert [move.scope.key for move in moves] == ["provider=yahoo,stream=bulk"]  # nothing beside it to compare with


@pytest.mark.parametrize(
    ("late", "closed"),
    [
        # of the young campaign's mail one report in twenty can have come: 2 of 250, as bad as the old one
        (DelayEnvelope(points=((2.0, 0.05), (72.0, 0.9), (96.0, 1.0))), "provider=yahoo,stream=bulk"),
        # everything would have come: the young one is fine
        (DelayEnvelope(points=((0.5, 1.0),)), "provider=yahoo,stream=bulk,campaign=spring"),
    ],
)
async def test_mail_too_young_for_reports_does_not_pass_for_innocent(late: DelayEnvelope, closed: str) -> None:
    memory, clock = Memory(), FixedClock(NOON)
    projector = Projector(
        log=memory, counters=memory, controls=memory, rules=[rule(signal="complaint_rate", threshold=0.001)],
        transactional=("tx",), no_feedback=frozenset(), clock=clock, on_change=lambda: None,
        envelopes={"yahoo": late},
    )  # fmt: skip
    old = NOON - 5 * DAY
    mail = [*good(5000, old, "spring"), *good(5000, NOON, "summer"), *([complaint(NOON, NOON, campaign="summer")] * 2)]
    (event,) = await take(projector, memory, *mail, *([complaint(old, NOON, campaign="spring")] * 40))
    assert event.scope.key == closed
    if closed.endswith("spring"):  # told in mails, not in shares of them
        assert event.reason.endswith("the rest of provider=yahoo,stream=bulk is fine: 2 of 5,000 (0.04%)")


def test_counts_move_to_a_part_and_back_without_a_trace() -> None:
    events = [*good(50, campaign="a"), *bad(9, campaign="a"), *good(70, campaign="b"), *bad(2, campaign="b")]
    counters = fold(events)
    tally, plain = RuleTally(rule()), RuleTally(rule())
    for key, n in counters.items():
        tally.add(key, n)
        plain.add(key, n)
    whole = tally.scope_of(traffic(campaign="a"))
    assert whole is not None
    part = Scope(provider="yahoo", stream="bulk", campaign="a")
    tally.keep_apart([part], counters)
    assert tally.scope_of(traffic(campaign="a")) == part
    assert (tally.verdict(part, None, NOON).counted_bad, tally.verdict(whole, None, NOON).counted_bad) == (9, 2)
    tally.keep_apart([], counters)
    assert tally.verdict(whole, None, NOON) == plain.verdict(whole, None, NOON)


@pytest.mark.parametrize(("action", "moved"), [("alert", []), ("hold_warmup", []), ("slow", [PART])])
async def test_a_part_is_done_to_what_the_rule_would_do_to_the_whole(action: str, moved: list[Scope]) -> None:
    memory, clock = Memory(), FixedClock(NOON)
    projector = Projector(
        log=memory, counters=memory, controls=memory, rules=[rule(action=action)], transactional=("tx",),
        no_feedback=frozenset(), clock=clock, on_change=lambda: None,
    )  # fmt: skip
    mail = [*good(900, campaign="summer"), *bad(5, campaign="summer"), *good(160, campaign="spring")]
    moves = await take(projector, memory, *mail, *bad(40, campaign="spring"))
    assert [move.scope for move in moves] == moved
    assert all(move.after is GateState.SLOWED for move in moves)
