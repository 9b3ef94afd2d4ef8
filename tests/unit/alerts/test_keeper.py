"""Who is told what and when: beginnings, repetitions, ends, failures, restarts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from alerts.keeper import AFTERGLOW, GIVE_UP, MAX_ALERTS, META_NAME, AlertKeeper
from core.clock import FixedClock, SystemClock
from core.errors import Unavailable
from core.events import AlertChanged, AlertDelivered, Event, Logged
from core.state import Alert
from core.tokens import MessageId


class Memory:
    """Meta in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.puts = 0

    async def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def put(self, name: str, value: str) -> None:
        self.values[name] = value
        self.puts += 1


class Log:
    """EventLog in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def append(self, events: Sequence[Event]) -> None:
        self.events += events

    async def read(self, after: int, limit: int = 2000) -> list[Logged]:
        return [Logged(seq=i, event=e) for i, e in enumerate(self.events, 1)][after : after + limit]

    async def head(self) -> int:
        return len(self.events)

    async def of_message(self, message_id: MessageId) -> list[Logged]:
        return []

    async def recent(self, kinds: Sequence[str], limit: int, *, before: int = 0) -> list[Logged]:
        return []

    async def of_pause(self, pause_id: str) -> list[Logged]:
        return []

    async def changed(self, timeout: float) -> None:
        return None


@dataclass
class Sink:
    """Remembers what it took; fails on demand."""

    name: str = "hook"
    refreshes: bool = False
    problem: Exception | None = None
    took: list[list[Alert]] = field(default_factory=list)
    asked: int = 0

    async def notify(self, alerts: Sequence[Alert]) -> None:
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        self.took.append(list(alerts))

    @property
    def story(self) -> list[str]:
        return ["resolved" if a.ends_at else "firing" for batch in self.took for a in batch]


def alert(scope: str = "provider=gmail", **said: str) -> Alert:
    return Alert(
        labels={"alertname": "SendingPaused", "severity": "critical", "scope": scope},
        annotations={"summary": f"Paused: {scope}", **said}, starts_at=1000.0, ends_at=0.0,
    )  # fmt: skip


class World:
    def __init__(self, *sinks: Sink, rate: float = 1.0) -> None:
        self.meta, self.log, self.sinks = Memory(), Log(), sinks
        self.clock = FixedClock(1000.0)
        self.clock.rate = rate
        self.keeper = self.restarted()

    def restarted(self, clock: SystemClock | None = None) -> AlertKeeper:
        self.keeper = AlertKeeper(
            meta=self.meta, log=self.log, sinks=self.sinks, clock=clock or self.clock, repeat_hours=4, post_interval=60
        )
        return self.keeper

    async def after(self, seconds: float, *active: Alert) -> None:
        self.clock.advance(seconds)
        await self.keeper.tick(active)

    def changes(self) -> list[bool]:
        return [e.firing for e in self.log.events if isinstance(e, AlertChanged)]

    def deliveries(self) -> list[tuple[str, bool, str]]:
        return [(e.notifier, e.ok, e.detail) for e in self.log.events if isinstance(e, AlertDelivered)]


async def test_a_person_is_told_once_then_again_after_the_repeat_interval_and_once_of_the_end() -> None:
    world = World(hook := Sink())
    for _ in range(10):
        await world.after(60, alert())
    assert hook.story == ["firing"]
    await world.after(4 * 3600, alert())
    await world.after(60)
    for _ in range(10):
        await world.after(60)
    assert hook.story == ["firing", "firing", "resolved"]
    assert world.changes() == [True, False]
    assert [detail for _, _, detail in world.deliveries()] == ["firing", "repeated", "resolved"]
    assert not world.keeper.entries


async def test_a_notifier_that_forgets_is_posted_to_each_minute_and_five_minutes_after_the_end() -> None:
    world = World(am := Sink(name="alertmanager", refreshes=True))
    for _ in range(6):
        await world.after(30, alert())
    assert am.story == ["firing"] * 3
    for _ in range(40):
        await world.after(30)
    assert am.story[:3] == ["firing"] * 3
    assert set(am.story[3:]) == {"resolved"}
    assert len(am.story[3:]) == AFTERGLOW / 60 + 1
    assert not world.keeper.entries
    # an event for each beginning and end, not for each post
    assert world.deliveries() == [("alertmanager", True, "firing"), ("alertmanager", True, "resolved")]


async def test_the_interval_is_real_time_even_when_the_clock_runs_fast() -> None:
    class Fast(FixedClock):
        rate = 4320.0

        def real(self, seconds: float) -> float:
            return seconds * self.rate

    clock = Fast(1000.0)
    world = World(am := Sink(name="alertmanager", refreshes=True))
    keeper = world.restarted(clock)
    for _ in range(60):  # a minute of real time, a tick a second
        await keeper.tick([alert()])
        clock.advance(4320.0)
    assert am.story == ["firing"]
    await keeper.tick([alert()])
    assert am.story == ["firing", "firing"]


async def test_figures_change_but_the_first_instant_stays() -> None:
    world = World(hook := Sink())
    await world.after(0, alert(numerator="3"))
    await world.after(4 * 3600, Alert(labels=alert().labels, annotations={"numerator": "9"}, starts_at=9e9, ends_at=0))
    (again,) = hook.took[1]
    assert again.annotations["numerator"] == "9"
    assert again.starts_at == 1000.0


async def test_a_restart_neither_repeats_nor_forgets() -> None:
    world = World(hook := Sink())
    await world.after(0, alert())
    world.restarted()
    await world.after(60, alert())
    assert hook.story == ["firing"]
    world.restarted()
    await world.after(60)
    assert hook.story == ["firing", "resolved"]
    assert world.changes() == [True, False]


async def test_nothing_is_written_while_nothing_changes() -> None:
    world = World(Sink())
    await world.after(0, alert())
    puts = world.meta.puts
    for _ in range(20):
        await world.after(1, alert())
    assert world.meta.puts == puts


async def test_alerts_of_one_moment_are_one_notification() -> None:
    world = World(hook := Sink())
    await world.after(0, alert("provider=gmail"), alert("provider=yahoo"))
    assert [len(batch) for batch in hook.took] == [2]


@pytest.mark.parametrize("problem", [Unavailable("refused"), RuntimeError("a defect"), TimeoutError()])
async def test_a_failing_notifier_is_retried_ever_more_rarely_and_delays_nobody(problem: Exception) -> None:
    world = World(bad := Sink(name="bad", problem=problem), good := Sink(name="good"))
    await world.after(0, alert())
    assert good.story == ["firing"]
    for _ in range(60):
        await world.after(1, alert())
    assert bad.asked == 4  # at 0, 5, 15 and 35 s
    assert [row[:2] for row in world.deliveries()] == [("bad", False), ("good", True)]
    bad.problem = None
    await world.after(300, alert())
    assert bad.story == ["firing"]
    assert world.deliveries()[-1] == ("bad", True, "firing")
    assert good.story == ["firing"]


async def test_an_end_is_tried_at_once_even_while_the_notifier_is_backing_off() -> None:
    world = World(bad := Sink(problem=Unavailable("down")))
    for _ in range(40):
        await world.after(1, alert())
    bad.problem = None
    await world.after(1)
    assert bad.story == ["resolved"]


async def test_an_end_that_nobody_takes_is_given_up_at_last() -> None:
    world = World(bad := Sink())
    await world.after(0, alert())
    bad.problem = Unavailable("down")
    await world.after(60)
    assert world.keeper.entries
    await world.after(GIVE_UP)
    assert not world.keeper.entries
    assert json.loads(world.meta.values[META_NAME])["alerts"] == {}


async def test_an_alert_that_comes_back_fires_anew() -> None:
    world = World(hook := Sink(), am := Sink(name="alertmanager", refreshes=True))
    await world.after(0, alert())
    await world.after(60)
    await world.after(60, alert())
    assert hook.story == ["firing", "resolved", "firing"]
    assert am.story[-1] == "firing"
    assert world.changes() == [True, False, True]


async def test_a_new_notifier_hears_of_what_already_fires_and_not_of_what_is_over() -> None:
    world = World(Sink(name="old", problem=None))
    await world.after(0, alert())
    world.sinks = (new := Sink(name="new"),)
    world.restarted()
    await world.after(60, alert())
    assert new.story == ["firing"]
    world.sinks = (late := Sink(name="late"),)
    world.restarted()
    await world.after(60)
    assert late.story == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 9}', '{"version": 1, "alerts": {"a": {"alert": {}}}}'])
async def test_states_that_cannot_be_read_begin_anew(text: str) -> None:
    world = World(hook := Sink())
    world.meta.values[META_NAME] = text
    await world.after(0, alert())
    assert hook.story == ["firing"]


async def test_a_flood_keeps_the_most_severe() -> None:
    world = World(hook := Sink())
    flood = [
        Alert(labels={"alertname": "x", "severity": "warning", "scope": str(n)}, annotations={}, starts_at=1, ends_at=0)
        for n in range(MAX_ALERTS)
    ]
    await world.after(0, *flood, alert())
    assert len(hook.took[0]) == MAX_ALERTS
    assert "critical" in {a.labels["severity"] for a in hook.took[0]}
