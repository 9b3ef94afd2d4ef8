"""Contract of the smaller storage ports: log, suppressions, controls, counters, allowances, leases, meta, reports."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest

from core.errors import StorageConflict
from core.events import (
    Door,
    Event,
    Evidence,
    GateChanged,
    GateState,
    IntakeRefused,
    RuleChanged,
    SeedBlind,
    StepChanged,
    StepMove,
    SuppressionRemoved,
)
from core.lane import Attribution, Scope, Stream, Traffic
from core.messages import Node
from core.metrics import Metric
from core.state import CounterKey, Gate, StepState
from core.tokens import MessageId
from storage.stores import Stores
from tests.contract.samples import LANE, NOW, accepted, submission, suppression
from tests.waiting import within

SCOPE = Scope(provider="gmail", stream="bulk", spare=("transactional",))


def gate(state: GateState = GateState.PAUSED, rule: str = "spam") -> Gate:
    evidence = Evidence(
        rule=rule, numerator=3, denominator=9, threshold=0.1, e_value=math.inf, limit=20.0, since=500_000,
        samples=("550 «нет»",),
    )  # fmt: skip
    return Gate(
        scope=SCOPE, state=state, pause_id="p1", rule=rule, since=NOW, until=NOW + 60, reason="why", by="guard",
        evidence=evidence, limit=5, epoch=7, base_bad=1, base_total=2, episodes=1, mark=7, mark_bad=1, mark_total=3,
    )  # fmt: skip


def moved(before: GateState, after: Gate) -> GateChanged:
    return GateChanged(
        at=NOW, pause_id=after.pause_id, scope=after.scope, before=before, after=after.state, reason="why",
        until=after.until, by="guard", evidence=after.evidence, limit=after.limit,
    )  # fmt: skip


def refused(name: str) -> IntakeRefused:
    return IntakeRefused(at=NOW, recipient=name, stream="bulk", campaign="", door=Door.SMTP, reason="suppressed")


# --- the log -------------------------------------------------------------------------------------
async def test_the_log_gives_back_what_was_written_in_its_order(stores: Stores) -> None:
    assert await stores.log.head() == 0
    written: list[Event] = [refused("a"), refused("б\ud800"), accepted(submission()), moved(GateState.OPEN, gate())]
    await stores.log.append(written)
    got = await stores.log.read(0)
    assert [x.event for x in got] == [written[0], refused("б?"), *written[2:]]
    assert [x.seq for x in got] == sorted({x.seq for x in got})
    assert await stores.log.head() == got[-1].seq
    assert await stores.log.read(got[1].seq, 1) == [got[2]]
    assert await stores.log.read(got[-1].seq) == []
    assert [x.event for x in await stores.log.of_pause("p1")] == [written[3]]
    assert await stores.log.of_message(MessageId("nobody")) == []


async def test_two_followers_read_the_same_log_whoever_appends(stores: Stores, other: Stores) -> None:
    await stores.log.append([refused("0"), refused("1")])
    first = await stores.log.read(0, 1)
    await other.log.append([refused("2")])
    assert [x.event for x in await stores.log.read(first[0].seq)] == [refused("1"), refused("2")]
    await other.log.append([refused("3")])
    assert [x.event for x in await stores.log.read(0, 3)] == [refused("0"), refused("1"), refused("2")]
    assert await stores.log.read(0) == await other.log.read(0)


async def test_recent_events_come_newest_first_page_by_page(stores: Stores) -> None:
    blind = SeedBlind(at=NOW, mailbox="m", provider="gmail", problem="login")
    await stores.log.append([refused("0"), blind, refused("1"), accepted(submission()), refused("2"), refused("3")])
    kinds = ["IntakeRefused", "SeedBlind"]
    page = await stores.log.recent(kinds, 2)
    assert [x.event for x in page] == [refused("3"), refused("2")]
    rest = await stores.log.recent(kinds, 9, before=page[-1].seq)
    assert [x.event for x in rest] == [refused("1"), blind, refused("0")]
    assert await stores.log.recent([], 5) == []


async def test_who_waits_for_the_log_wakes_when_this_process_appends(stores: Stores) -> None:
    await stores.log.changed(0.001)
    waiting = asyncio.gather(stores.log.changed(60), stores.log.changed(60))
    await asyncio.sleep(0)
    await stores.log.append([refused("a")])
    await within(waiting, "both wake")


# --- suppressions --------------------------------------------------------------------------------
async def test_a_suppression_is_new_once_and_keeps_its_first_evidence(stores: Stores) -> None:
    first = suppression("ann@x.test")
    twice = replace(first, evidence="later")
    assert (
        await stores.suppressions.add([first, twice, suppression("bob@x.test")], MessageId("m1"), [refused("n")]) == 2
    )
    assert await stores.suppressions.add([twice]) == 0
    assert await stores.suppressions.check(["ann@x.test", "eve@x.test"], "bulk") == {"ann@x.test": first}
    assert await stores.suppressions.count() == 2
    assert [type(x.event).__name__ for x in await stores.log.read(0)] == [
        "IntakeRefused",
        "SuppressionAdded",
        "SuppressionAdded",
    ]


async def test_questions_that_come_together_get_their_own_answers(stores: Stores) -> None:
    await stores.suppressions.add([suppression("all@x.test"), suppression("bulk@x.test", stream="bulk")])
    asked = [("all@x.test", "a"), ("bulk@x.test", "bulk"), ("bulk@x.test", "a"), ("free@x.test", "bulk")] * 10
    answers = await asyncio.gather(*(stores.suppressions.check([who], stream) for who, stream in asked))
    assert [bool(answer) for answer in answers] == [True, True, False, False] * 10


async def test_a_streams_suppression_covers_that_stream_and_the_empty_one_all(stores: Stores) -> None:
    await stores.suppressions.add([suppression("ann@x.test", stream="bulk"), suppression("all@x.test")])
    both = ["ann@x.test", "all@x.test"]
    assert set(await stores.suppressions.check(both, "bulk")) == set(both)
    assert set(await stores.suppressions.check(both, "transactional")) == {"all@x.test"}
    many = [f"u{n}@x.test" for n in range(1500)]
    assert set(await stores.suppressions.check([*many, *both], "bulk")) == set(both)


async def test_removal_says_who_and_is_told_once(stores: Stores) -> None:
    await stores.suppressions.add([suppression("ann@x.test")])
    assert not await stores.suppressions.remove("ann@x.test", "bulk", "op", NOW)
    assert await stores.suppressions.remove("ann@x.test", "", "op", NOW)
    assert not await stores.suppressions.remove("ann@x.test", "", "op", NOW)
    [last] = await stores.log.recent(["SuppressionRemoved"], 5)
    assert last.event == SuppressionRemoved(at=NOW, address="ann@x.test", stream="", by="op")


async def test_pages_never_cut_an_address_in_two(stores: Stores) -> None:
    entries = [suppression(f"{name}@x.test", stream=stream) for name in "abc" for stream in ("", "bulk", "news")]
    assert await stores.suppressions.add(entries) == 9
    first = await stores.suppressions.page(limit=4)
    assert first == entries[:6]
    assert await stores.suppressions.page(first[-1].address, 100) == entries[6:]


# --- controls ------------------------------------------------------------------------------------
async def test_a_gate_moves_only_from_the_state_its_writer_knew(stores: Stores, other: Stores) -> None:
    paused = gate()
    await stores.controls.put(paused, moved(GateState.OPEN, paused), None)
    with pytest.raises(StorageConflict):
        await other.controls.put(paused, moved(GateState.OPEN, paused), None)
    probing = replace(paused, state=GateState.PROBING)
    await other.controls.put(probing, moved(GateState.PAUSED, probing), GateState.PAUSED)
    with pytest.raises(StorageConflict):
        await stores.controls.put(paused, moved(GateState.OPEN, paused), GateState.PAUSED)
    operator = gate(rule="operator")
    await stores.controls.put(operator, moved(GateState.OPEN, operator), None)
    assert await other.controls.gates() == [operator, probing]
    assert len(await stores.log.of_pause("p1")) == 3


# --- counters ------------------------------------------------------------------------------------
def key(metric: Metric = Metric.DELIVERED, cohort: int = 10) -> CounterKey:
    traffic = Traffic(lane=LANE, stream=Stream("bulk"))
    return CounterKey(attribution=Attribution(traffic=traffic, cohort=cohort), metric=metric)


async def test_counters_cursor_and_gates_move_together_or_not_at_all(stores: Stores, other: Stores) -> None:
    assert await stores.counters.cursor("monitor") == 0
    await stores.counters.commit("monitor", 0, 5, {key(): 3, key(Metric.COMPLAINED): 1, key(cohort=9): 7}, [])
    paused = gate()
    await other.counters.commit("monitor", 5, 9, {key(): 2}, [(paused, moved(GateState.OPEN, paused))])
    with pytest.raises(StorageConflict):
        await stores.counters.commit("monitor", 5, 8, {key(): 100}, [])
    assert await stores.counters.cursor("monitor") == 9
    assert await stores.counters.load(10) == {key(): 5, key(Metric.COMPLAINED): 1}
    assert await stores.counters.load(0) == {key(): 5, key(Metric.COMPLAINED): 1, key(cohort=9): 7}
    assert await stores.controls.gates() == [paused]
    assert len(await stores.log.of_pause("p1")) == 1


async def test_the_monitor_never_overwrites_a_gate_that_moved_meanwhile(stores: Stores, other: Stores) -> None:
    paused, opened = gate(), gate(GateState.OPEN)
    await stores.controls.put(paused, moved(GateState.OPEN, paused), None)
    await other.controls.put(opened, moved(GateState.PAUSED, opened), GateState.PAUSED)
    probing = gate(GateState.PROBING)
    with pytest.raises(StorageConflict):
        await stores.counters.commit("monitor", 0, 4, {key(): 1}, [(probing, moved(GateState.PAUSED, probing))])
    assert await stores.controls.gates() == [opened]
    assert await stores.counters.cursor("monitor") == 0
    assert await stores.counters.load(0) == {}
    await stores.counters.commit("monitor", 0, 4, {}, [(paused, moved(GateState.OPEN, paused))])
    assert await stores.controls.gates() == [paused]


async def test_a_commit_at_the_same_place_stores_gates_that_only_time_moved(stores: Stores) -> None:
    await stores.counters.commit("monitor", 0, 0, {}, [(gate(), moved(GateState.OPEN, gate()))])
    assert await stores.counters.cursor("monitor") == 0
    assert await stores.controls.gates() == [gate()]


async def test_events_of_a_commit_are_written_with_it_or_not_at_all(stores: Stores) -> None:
    found = RuleChanged(
        at=5.0, rule="deferrals", scope=Scope(provider="gmail"), firing=True, action="hold_warmup", reason="why",
        evidence=None, epoch=3,
    )  # fmt: skip
    await stores.counters.commit("monitor", 0, 3, {}, [], [found])
    with pytest.raises(StorageConflict):
        await stores.counters.commit("monitor", 0, 4, {}, [], [found])
    assert [row.event for row in await stores.log.recent(["RuleChanged"], 10)] == [found]


# --- allowances and steps ------------------------------------------------------------------------
async def test_a_reservation_gives_what_is_left_of_its_day(stores: Stores) -> None:
    assert await stores.allowances.reserve("k", 1, 5, 3) == 3
    assert await stores.allowances.reserve("k", 1, 5, 3) == 2
    assert await stores.allowances.reserve("k", 1, 5, 3) == 0
    assert await stores.allowances.reserve("k", 1, 4, 3) == 0
    assert await stores.allowances.reserve("k", 1, 6, 0) == 0
    assert await stores.allowances.reserve("k", 2, 5, 3) == 3
    assert await stores.allowances.used(["k", "other"], 1) == {"k": 5}


async def test_a_lanes_step_is_replaced_and_told(stores: Stores) -> None:
    state = StepState(
        lane=LANE, plan="standard", step=1, cap=50, day=20_000, started_day=19_999, last_sent_day=19_999, peak=40,
        finished=False, reason="advanced",
    )  # fmt: skip
    event = StepChanged(
        at=NOW, lane=LANE, plan="standard", move=StepMove.ADVANCED, step=1, cap_before=20, cap_after=50, day=20_000,
        reason="advanced",
    )  # fmt: skip
    await stores.allowances.put_step(state, event)
    await stores.allowances.put_step(replace(state, step=2), event)
    assert await stores.allowances.steps() == [replace(state, step=2)]
    with pytest.raises(StorageConflict):  # somebody else moved it meanwhile
        await stores.allowances.put_step(replace(state, step=3), event, before=state)
    await stores.allowances.put_step(replace(state, step=3), event, before=replace(state, step=2))
    assert len(await stores.log.recent(["StepChanged"], 5)) == 3


# --- leases, meta --------------------------------------------------------------------------------
async def test_a_task_has_one_holder_until_its_time_runs_out_or_it_lets_go(stores: Stores) -> None:
    a, b = Node("a"), Node("b")
    assert await stores.leases.acquire("t", a, NOW, NOW + 10)
    assert await stores.leases.acquire("t", a, NOW + 5, NOW + 15)
    assert not await stores.leases.acquire("t", b, NOW + 14, NOW + 20)
    assert await stores.leases.acquire("t", b, NOW + 15, NOW + 20)
    await stores.leases.release("t", a)
    assert not await stores.leases.acquire("t", a, NOW + 16, NOW + 20)
    await stores.leases.release("t", b)
    assert await stores.leases.acquire("t", a, NOW + 16, NOW + 20)


async def test_a_named_value_is_the_last_that_was_put(stores: Stores) -> None:
    assert await stores.meta.get("clock") is None
    await stores.meta.put("clock", "1")
    await stores.meta.put("clock", "два")
    assert await stores.meta.get("clock") == "два"
