"""Commands share the clock of a service that runs, and find it standing still when it does not."""

from __future__ import annotations

import json

from core.clock import FixedClock, ScaledClock, SystemClock
from service.clockstore import KEY, STALE, clock_of, note_clock, resumed_clock


class Notes:
    """core.ports.Meta in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def put(self, name: str, value: str) -> None:
        self.values[name] = value


async def test_without_a_note_or_at_real_rate_it_is_the_machines_clock() -> None:
    notes = Notes()
    assert type(await clock_of(notes)) is SystemClock
    await note_clock(notes, SystemClock())
    assert type(await clock_of(notes)) is SystemClock


async def test_beside_a_running_sandbox_its_scaled_clock_goes_on() -> None:
    notes = Notes()
    sandbox = ScaledClock(2_000_000_000.0, 4320.0)
    await note_clock(notes, sandbox)
    beside = await clock_of(notes)
    assert beside.rate == 4320.0
    assert abs(beside.now() - sandbox.now()) < 4320.0


async def test_a_stopped_sandbox_stands_still_and_goes_on_from_there() -> None:
    notes = Notes()
    stopped = {"now": 2_000_000_000.0, "rate": 4320.0, "real": SystemClock().now() - STALE - 1}
    notes.values[KEY] = json.dumps(stopped)
    clock = await clock_of(notes)
    assert isinstance(clock, FixedClock)
    assert clock.now() == 2_000_000_000.0
    again = await resumed_clock(notes, 0.0, 4320.0)
    assert 0 <= again.now() - 2_000_000_000.0 < 4320.0
