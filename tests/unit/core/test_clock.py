"""Clocks: weeks under virtual time, and a loop that says when nothing can ever happen."""

from __future__ import annotations

import asyncio

import pytest

from core.clock import FixedClock, ScaledClock, VirtualClock, VirtualTimeLoop, iso
from core.lane import DAY


def _under_virtual_time(main: object) -> object:
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)  # type: ignore[arg-type]
    finally:
        loop.close()


def test_six_weeks_pass_in_the_order_of_their_timers() -> None:
    async def main() -> list[tuple[float, str]]:
        clock = VirtualClock(0.0)
        seen: list[tuple[float, str]] = []

        async def note(after: float, name: str) -> None:
            await clock.sleep(after)
            seen.append((clock.now(), name))

        async with asyncio.TaskGroup() as group:
            group.create_task(note(42 * DAY, "late"))
            group.create_task(note(DAY, "early"))
        return seen

    assert _under_virtual_time(main()) == [(DAY, "early"), (42 * DAY, "late")]


def test_waiting_for_what_no_timer_brings_is_an_error_and_no_hang() -> None:
    loop = VirtualTimeLoop()
    with pytest.raises(RuntimeError, match="virtual time"):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_a_scaled_clock_turns_real_seconds_into_its_own() -> None:
    clock = ScaledClock(1000.0, 4320.0)
    assert clock.now() >= 1000.0
    assert clock.real(2.0) == 8640.0
    with pytest.raises(ValueError, match="above 0"):
        ScaledClock(0.0, 0.0)


async def test_a_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock(5.0)
    await clock.sleep(2.0)
    clock.advance(3.0)
    assert clock.now() == 10.0
    assert iso(clock.now()) == "1970-01-01T00:00:10.000Z"
