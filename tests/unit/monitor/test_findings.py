"""Rules without a gate: they fire once, name what they saw, end when it is over, and do not tell the same twice."""

from __future__ import annotations

from dataclasses import replace

from core.clock import FixedClock
from core.events import Event, RuleChanged
from core.lane import DAY, HOUR, Attribution, Scope, cohort_of, parse_scope
from monitor.findings import Findings
from monitor.projector import Projector
from tests.unit.monitor.world import NOON, Memory, bounced, deferred, delivered, rule, traffic


class World:
    """A projector with one rule over memory, and its clock."""

    def __init__(self, memory: Memory | None = None, **changes: object) -> None:
        self.memory = memory or Memory()
        self.clock = FixedClock(NOON)
        given = {"action": "alert", "recovery_hours": 24, **changes}
        self.projector = Projector(
            log=self.memory, counters=self.memory, controls=self.memory, rules=[rule(**given)],
            transactional=("tx",), no_feedback=frozenset(), clock=self.clock, on_change=lambda: None,
        )  # fmt: skip

    async def take(self, *events: Event) -> None:
        self.memory.events += events
        while await self.projector.step():
            pass

    def told(self) -> list[RuleChanged]:
        return [e for e in self.memory.events if isinstance(e, RuleChanged)]


async def test_a_rule_that_alerts_fires_once_with_its_figures_and_no_gate_moves() -> None:
    world = World()
    await world.take(*(delivered() for _ in range(40)), *(bounced() for _ in range(10)))
    await world.take(*(bounced() for _ in range(3)))
    (event,) = world.told()
    assert event.firing
    assert (event.rule, event.action) == ("bounces", "alert")
    assert event.scope == Scope(provider="yahoo", stream="bulk", spare=("tx",))
    assert event.evidence is not None
    assert (event.evidence.numerator, event.evidence.denominator) == (10, 50)
    assert event.evidence.e_value >= event.evidence.limit
    assert len(event.evidence.samples) == 5
    assert world.projector.gates == ()
    assert world.projector.findings.firing == (event,)


async def test_it_is_over_after_a_good_day_and_what_was_told_is_not_told_again() -> None:
    world = World()
    await world.take(*(bounced() for _ in range(20)))
    world.clock.at = NOON + DAY + 2 * HOUR
    await world.take(*(delivered(world.clock.at - HOUR) for _ in range(500)))
    fired, over = world.told()
    assert (fired.firing, over.firing) == (True, False)
    assert "0 of 500" in over.reason
    await world.take(bounced(world.clock.at))  # one more is no new trouble, although the old 20 are in the window
    assert len(world.told()) == 2
    await world.take(*(bounced(world.clock.at) for _ in range(60)))
    assert [e.firing for e in world.told()] == [True, False, True]


async def test_it_goes_on_while_the_trouble_does() -> None:
    world = World()
    await world.take(*(bounced() for _ in range(20)))
    world.clock.at = NOON + DAY + 2 * HOUR
    at = world.clock.at - HOUR
    await world.take(*(delivered(at) for _ in range(90)), *(bounced(at) for _ in range(10)))
    assert [e.firing for e in world.told()] == [True]


async def test_silence_ends_it_only_after_long() -> None:
    world = World()
    await world.take(*(bounced() for _ in range(20)))
    world.clock.at = NOON + 2 * DAY
    await world.take()
    assert len(world.told()) == 1
    world.clock.at = NOON + 3 * DAY + HOUR
    await world.take()
    assert "no mail" in world.told()[-1].reason


async def test_another_process_and_a_restart_know_what_fires() -> None:
    first = World()
    await first.take(*(bounced() for _ in range(20)))
    second = World(first.memory)
    await second.take(bounced())
    assert len(second.told()) == 1
    assert [f.rule for f in second.projector.findings.firing] == ["bounces"]


async def test_a_rule_that_was_removed_is_over() -> None:
    first = World()
    await first.take(*(bounced() for _ in range(20)))
    second = World(first.memory, name="other", signal="deferral_rate", threshold=0.4)
    await second.take(delivered())
    assert second.told()[-1].reason == "its rule was removed"
    assert second.projector.findings.firing == ()


async def test_deferrals_hold_the_warm_up_by_their_own_denominator() -> None:
    world = World(
        name="deferrals", signal="deferral_rate", threshold=0.2, action="hold_warmup",
        by=["source", "sending_domain", "provider"],
    )  # fmt: skip
    await world.take(*(delivered() for _ in range(20)), *(deferred() for _ in range(80)), deferred(attempt=2))
    (event,) = world.told()
    assert event.action == "hold_warmup"
    assert event.scope.source == "a"
    assert event.evidence is not None
    assert (event.evidence.numerator, event.evidence.denominator) == (80, 100)


async def test_a_fixed_window_acts_on_the_bare_rate_and_says_so() -> None:
    world = World(evidence="window", window_hours=2, minimum_total=100, threshold=0.02, minimum_bad=1)
    await world.take(*(delivered() for _ in range(96)), *(bounced() for _ in range(3)))
    assert world.told() == []
    await world.take(delivered())
    (event,) = world.told()
    assert "a fixed window" in event.reason
    assert event.evidence is not None
    assert event.evidence.limit == 0


async def test_a_minimum_effect_keeps_a_sure_but_small_excess_quiet() -> None:
    events: list[Event] = [*(delivered() for _ in range(1940)), *(bounced() for _ in range(160))]
    quiet, loud = World(threshold=0.05, minimum_effect=2), World(threshold=0.05)
    await quiet.take(*events)
    await loud.take(*events)
    assert (len(quiet.told()), len(loud.told())) == (0, 1)


def test_the_last_word_on_a_scope_holds() -> None:
    scope = Scope(provider="yahoo")
    events = [
        RuleChanged(at=i, rule="r", scope=scope, firing=i % 2 == 0, action="alert", reason="", evidence=None)
        for i in range(4)
    ]
    assert Findings(events).firing == ()
    assert Findings(events[:3]).firing == (events[2],)


async def test_a_list_is_judged_for_itself_and_its_gate_holds_only_its_mail() -> None:
    world = World(action="pause", by=["stream", "list_source"])
    good, bad = (traffic(), "shop"), (traffic(), "fair")
    events: list[Event] = []
    for (base, name), deads in ((good, 0), (bad, 12)):
        under = Attribution(traffic=replace(base, list_source=name), cohort=cohort_of(NOON))
        events += [replace(delivered(), attribution=under) for _ in range(60)]
        events += [replace(bounced(), attribution=under) for _ in range(deads)]
    await world.take(*events)
    (gate,) = world.projector.gates
    assert gate.scope.key == "stream=bulk,list_source=fair"
    assert gate.scope.covers(replace(traffic(), list_source="fair"))
    assert not gate.scope.covers(replace(traffic(), list_source="shop"))
    assert parse_scope("stream=bulk,list_source=fair, 2026") == Scope(stream="bulk", list_source="fair, 2026")
