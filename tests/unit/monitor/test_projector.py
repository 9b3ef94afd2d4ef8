"""The projector: one transaction a batch, gates that move by evidence and by time, and races that lose nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.causes import Cause, Why
from core.clock import FixedClock
from core.errors import Unavailable
from core.events import Event, GateChanged, GateState
from core.lane import HOUR, Scope
from monitor import listing, operator
from monitor.counters import fold
from monitor.projector import BATCH, Projector
from tests.unit.monitor.world import NOON, Memory, bounced, complaint, delivered, rule


class Watched:
    """A projector over memory with one rule, and how often it said that something changed."""

    def __init__(self, memory: Memory, **changes: object) -> None:
        self.memory = memory
        self.clock = FixedClock(NOON)
        self.changes = 0
        self.real = 0.0
        self.projector = Projector(
            log=memory, counters=memory, controls=memory, rules=[rule(pause_hours=6, probe_hours=1, **changes)],
            transactional=("tx",), no_feedback=frozenset(), clock=self.clock, on_change=self._changed,
            monotonic=lambda: self.real,
        )  # fmt: skip

    def _changed(self) -> None:
        self.changes += 1

    def state(self) -> GateState:
        (gate,) = self.projector.gates
        return gate.state


def moves(memory: Memory) -> list[GateChanged]:
    return [e for e in memory.events if isinstance(e, GateChanged)]


async def test_dead_addresses_pause_their_scope_in_the_transaction_that_counts_them() -> None:
    memory = Memory()
    watched = Watched(memory)
    await watched.projector.start()
    await memory.append([*(delivered() for _ in range(40)), *(bounced() for _ in range(10))])
    assert await watched.projector.step() == 50
    assert memory.commits == 1
    assert watched.state() is GateState.PAUSED
    (event,) = moves(memory)
    assert event.scope == Scope(provider="yahoo", stream="bulk", spare=("tx",))
    assert event.evidence is not None
    assert (event.evidence.numerator, event.evidence.denominator) == (10, 50)
    assert event.evidence.samples == ("550 5.1.1 no such user",) * 5
    assert memory.stored["provider=yahoo,stream=bulk", "bounces"].pause_id == event.pause_id
    assert watched.changes >= 2  # at the start and at the pause


async def test_its_own_events_are_passed_over() -> None:
    memory = Memory()
    watched = Watched(memory)
    await memory.append([bounced() for _ in range(10)])
    await watched.projector.step()
    changes = watched.changes
    assert await watched.projector.step() == 1
    assert await watched.projector.step() == 0
    assert len(moves(memory)) == 1
    assert watched.changes == changes


async def test_a_pause_runs_its_course_by_time_and_outcomes() -> None:
    memory = Memory()
    watched = Watched(memory)
    await memory.append([bounced() for _ in range(10)])
    await watched.projector.step()
    watched.clock.advance(6 * HOUR)
    await watched.projector.step()
    assert watched.state() is GateState.PROBING
    await memory.append([delivered(watched.clock.now()) for _ in range(40)])
    watched.clock.advance(HOUR)
    await watched.projector.step()
    assert watched.state() is GateState.SLOWED
    for _ in range(3):
        watched.clock.advance(HOUR)
        await watched.projector.step()
    assert watched.state() is GateState.OPEN
    assert [e.after for e in moves(memory)] == [
        GateState.PAUSED, GateState.PROBING, GateState.SLOWED, GateState.SLOWED, GateState.SLOWED, GateState.OPEN,
    ]  # fmt: skip
    assert len({e.pause_id for e in moves(memory)}) == 1


async def test_a_bad_probe_closes_again() -> None:
    memory = Memory()
    watched = Watched(memory)
    await memory.append([bounced() for _ in range(10)])
    await watched.projector.step()
    watched.clock.advance(6 * HOUR)
    await watched.projector.step()
    await memory.append([bounced(watched.clock.now()) for _ in range(3)])
    await watched.projector.step()
    assert watched.state() is GateState.PAUSED
    assert watched.projector.gates[0].until == watched.clock.now() + 12 * HOUR


async def test_a_probe_that_closes_on_little_shows_its_replies_too() -> None:
    memory = Memory()
    watched = Watched(memory, probe_messages=30)
    await memory.append([bounced() for _ in range(10)])
    await watched.projector.step()
    watched.clock.advance(6 * HOUR)
    await watched.projector.step()
    at = watched.clock.now()
    await memory.append([*(delivered(at) for _ in range(18)), *(bounced(at) for _ in range(2))])
    await watched.projector.step()
    watched.clock.advance(HOUR)
    await watched.projector.step()
    probe = moves(memory)[-1]
    assert (probe.before, probe.after) == (GateState.PROBING, GateState.PAUSED)
    assert probe.evidence is not None
    assert probe.evidence.e_value < 20  # little proof
    assert probe.evidence.samples == ("550 5.1.1 no such user",) * len(probe.evidence.samples) != ()


async def test_what_was_under_way_at_the_pause_and_came_back_before_the_resume_does_not_close_again() -> None:
    memory = Memory()
    watched = Watched(memory)
    await watched.projector.start()
    await memory.append([*(delivered() for _ in range(40)), *(bounced() for _ in range(10))])
    await watched.projector.step()
    assert watched.state() is GateState.PAUSED
    await memory.append([bounced() for _ in range(8)])
    await watched.projector.step()
    gate, event = operator.resume(watched.projector.gates[0], now=NOON + 60, reason="cleaned", by="ann")
    watched.clock.at = NOON + 60
    await memory.put(gate, event, GateState.PAUSED)
    await watched.projector.step()
    await memory.append([delivered()])
    await watched.projector.step()
    assert watched.state() is GateState.OPEN
    await memory.append([bounced() for _ in range(10)])
    await watched.projector.step()
    assert watched.state() is GateState.PAUSED, "new trouble closes it as ever"


async def test_an_operators_resume_is_seen_and_old_evidence_does_not_close_again() -> None:
    memory = Memory()
    watched = Watched(memory)
    await memory.append([bounced() for _ in range(10)])
    await watched.projector.step()
    gate, event = operator.resume(watched.projector.gates[0], now=NOON + 60, reason="cleaned", by="ann")
    await memory.put(gate, event, GateState.PAUSED)
    await memory.append([bounced(), delivered()])
    await watched.projector.step()
    await watched.projector.step()
    assert watched.state() is GateState.OPEN


async def test_an_operators_pause_outranks_the_machine_until_it_runs_out() -> None:
    memory = Memory()
    watched = Watched(memory)
    scope = Scope(provider="yahoo")
    gate, event = operator.pause(scope, None, now=NOON, until=NOON + 2 * HOUR, reason="", by="ann")
    await memory.put(gate, event, None)
    await memory.append([delivered() for _ in range(500)])
    await watched.projector.step()
    assert watched.state() is GateState.PAUSED
    watched.clock.advance(2 * HOUR)
    await watched.projector.step()
    assert watched.state() is GateState.OPEN


async def test_what_a_person_holds_open_no_rule_closes_before_that_runs_out() -> None:
    memory = Memory()
    watched = Watched(memory, hard_limit=0.05)
    gate, event = operator.hold_open(
        Scope(provider="yahoo", stream="bulk"), None, now=NOON, until=NOON + 6 * HOUR, reason="known", by="ann"
    )
    await memory.put(gate, event, None)
    await memory.append([bounced() for _ in range(40)])
    await watched.projector.step()
    await watched.projector.step()
    assert [move.by for move in moves(memory)] == ["ann"], "not even the hard limit"
    await memory.append([bounced(provider="gmail") for _ in range(40)])
    await watched.projector.step()
    assert [move.scope.provider for move in moves(memory)] == ["yahoo", "gmail"], "others are judged as ever"
    watched.clock.advance(6 * HOUR)
    await memory.append([bounced()])
    await watched.projector.step()
    assert moves(memory)[-1].scope.provider == "yahoo"
    assert moves(memory)[-1].after is GateState.HARD_STOPPED


async def test_of_a_whole_scope_only_what_is_held_open_is_bad_then_the_whole_stays_open() -> None:
    memory = Memory()
    watched = Watched(memory)
    gate, event = operator.hold_open(
        Scope(campaign="known"), None, now=NOON, until=NOON + HOUR, reason="they are warned", by="ann"
    )
    await memory.put(gate, event, None)
    await memory.append([delivered(campaign=f"c{n % 9}") for n in range(900)])
    await memory.append([bounced(campaign="known") for _ in range(60)])
    await watched.projector.step()
    await watched.projector.step()
    assert [move.by for move in moves(memory)] == ["ann"]


async def test_a_gate_whose_rule_was_removed_opens_when_its_pause_is_over() -> None:
    memory = Memory()
    watched = Watched(memory)
    await memory.append([bounced() for _ in range(10)])
    await watched.projector.step()
    after = Watched(memory, name="another", by=["source"], threshold=0.4)
    await after.projector.step()
    assert after.state() is GateState.PAUSED
    after.clock.advance(6 * HOUR)
    await after.projector.step()
    assert after.state() is GateState.OPEN


async def test_a_gate_of_a_listing_is_never_taken_for_one_whose_rule_was_removed() -> None:
    memory = Memory()
    watched = Watched(memory)
    held = listing.hold(Scope(source="mta1"), None, now=NOON, cause=Cause(why=Why.LISTED), hard=False)
    assert held
    gate = replace(held[0], until=NOON + HOUR)
    await memory.put(gate, held[1], None)
    watched.clock.advance(2 * HOUR)
    await watched.projector.step()
    assert watched.state() is GateState.PAUSED


async def test_a_lost_race_is_read_again_and_counts_nothing_twice() -> None:
    memory = Memory(lose_next=1)
    watched = Watched(memory)
    events: list[Event] = [*(delivered() for _ in range(5)), *(bounced() for _ in range(4))]
    await memory.append(events)
    await watched.projector.step()
    assert memory.commits == 0
    while await watched.projector.step():
        pass
    assert memory.sums == fold(events)
    assert dict(watched.projector.counters) == fold(events)


async def test_of_two_projectors_one_leads_and_the_other_counts_along_and_can_take_over() -> None:
    memory = Memory()
    first, second = Watched(memory), Watched(memory)
    for round_ in range(12):
        await memory.append([delivered(), bounced()])
        for watched in (first, second) if round_ % 3 else (second, first):
            await watched.projector.step()
    for watched in (first, second, first, second):
        await watched.projector.step()
    assert [(e.before, e.after) for e in moves(memory)] == [
        (GateState.OPEN, GateState.SLOWED),
        (GateState.SLOWED, GateState.PAUSED),
    ]
    assert memory.sums == fold(memory.events)
    for watched in (first, second):
        assert watched.state() is GateState.PAUSED
        assert dict(watched.projector.counters) == fold(memory.events)
    second.clock.advance(6 * HOUR)
    await second.projector.step()
    assert second.state() is GateState.PROBING


async def test_a_projector_that_was_overtaken_by_one_that_then_stopped_reads_everything_again() -> None:
    memory = Memory()
    first, second = Watched(memory), Watched(memory)
    await memory.append([delivered() for _ in range(4)])
    await first.projector.step()
    await second.projector.start()
    await memory.append([delivered()])
    await first.projector.step()
    await memory.append([bounced()])
    while await second.projector.step():
        pass
    await memory.append([bounced()])
    while await second.projector.step():
        pass
    assert memory.sums == fold(memory.events)
    assert dict(second.projector.counters) == memory.sums


async def test_a_failing_storage_is_told_and_nothing_is_counted_twice_afterwards() -> None:
    class Failing(Memory):
        broken = True

        async def commit(self, *args: object, **kwargs: object) -> None:
            if self.broken:
                raise Unavailable("the database is away")
            await super().commit(*args, **kwargs)  # type: ignore[arg-type]

    memory = Failing()
    watched = Watched(memory)
    await memory.append([bounced()])
    with pytest.raises(Unavailable):
        await watched.projector.step()
    memory.broken = False
    await watched.projector.step()
    assert memory.sums == fold([bounced()])


async def test_a_restart_goes_on_where_the_last_life_stopped_with_gates_counts_and_samples() -> None:
    memory = Memory()
    await memory.append([*(delivered() for _ in range(200)), *(bounced() for _ in range(2))])
    await Watched(memory).projector.step()
    second = Watched(memory)
    await memory.append([bounced() for _ in range(12)])
    assert await second.projector.step() == 12
    assert second.state() is GateState.PAUSED
    (event,) = moves(memory)
    assert event.evidence is not None
    assert event.evidence.numerator == 14
    assert len(event.evidence.samples) == 5


async def test_a_rule_that_only_alerts_shows_its_finding_without_a_gate() -> None:
    memory = Memory()
    watched = Watched(memory, action="alert")
    await memory.append([bounced() for _ in range(10)])
    await watched.projector.step()
    assert watched.projector.gates == ()
    (finding,) = watched.projector.verdicts
    assert finding.evidence.numerator == 10
    assert watched.projector.budgets == {"bounces": (365, 1)}


async def test_complaints_of_yesterdays_mail_count_against_yesterday() -> None:
    memory = Memory()
    watched = Watched(memory, signal="complaint_rate", threshold=0.001)
    await memory.append([delivered(NOON - 86400) for _ in range(1500)])
    while await watched.projector.step():
        pass
    await memory.append([complaint(sent_at=NOON - 86400, at=NOON) for _ in range(12)])
    await watched.projector.step()
    assert watched.state() is GateState.PAUSED
    assert moves(memory)[0].evidence is not None
    assert "abuse report by yahoo" in str(moves(memory)[0].evidence)


async def test_lag_grows_until_the_head_is_reached() -> None:
    memory = Memory()
    watched = Watched(memory)
    await memory.append([delivered() for _ in range(BATCH + 1)])
    watched.real = 5.0
    assert watched.projector.lag() == 5.0
    await watched.projector.step()
    assert watched.projector.lag() == 5.0
    await watched.projector.step()
    assert watched.projector.lag() == 0.0


async def test_replaying_the_log_from_zero_gives_the_same_counters() -> None:
    memory = Memory()
    watched = Watched(memory)
    for i in range(30):
        await memory.append([delivered(NOON + i * 600), bounced(NOON + i * 600, campaign=f"c{i % 3}")])
        watched.clock.advance(600)
        await watched.projector.step()
    await watched.projector.step()
    assert memory.sums == fold(memory.events)
    stored = replace(watched.projector.gates[0]) if watched.projector.gates else None
    assert stored is None or stored == memory.stored[stored.scope.key, stored.rule]
