"""Waits of our own cost nothing, and what hangs within the process is cut off."""

from __future__ import annotations

import asyncio

import pytest

from core.decision import Decision, Defer, DeferReason
from core.lane import Traffic
from core.messages import Body, BodyId
from tests.unit.sender.fakes import START, House, virtually

HOUR = 3600.0


def test_a_line_that_takes_no_step_is_cut_off_and_its_mail_goes_on() -> None:
    async def story() -> None:
        house = House(lease_seconds=60)
        real, asked = house.queue.body, 0

        async def body(body_id: BodyId) -> Body:
            nonlocal asked
            asked += 1
            if asked == 1:
                await asyncio.sleep(30 * 86400.0)  # a disk that never answers
            return await real(body_id)

        house.queue.body = body  # type: ignore[method-assign]
        await house.put("ann@gmail.test")
        await house.work(2 * HOUR)
        (event,) = house.delivered()
        assert event.attempt == 1
        assert event.at - START < HOUR

    virtually(story)


@pytest.mark.parametrize("reason", [r for r in DeferReason if r is not DeferReason.CONNECTION_LIMIT])
def test_no_wait_of_our_own_choosing_costs_attempts_or_age(reason: DeferReason) -> None:
    async def story() -> None:
        house = House()

        def rule(_t: Traffic, _f: int, _r: int, now: float) -> Decision | None:
            return Defer(until=now + 600, reason=reason) if now < START + 30 * HOUR else None

        house.admission.rule = rule
        await house.put("ann@gmail.test", max_age=2 * HOUR)
        await house.work(40 * HOUR)
        (event,) = house.delivered()
        assert event.attempt == 1

    virtually(story)


def test_a_send_at_time_costs_no_age_and_needs_no_attempt() -> None:
    async def story() -> None:
        house = House(poll=30.0)
        await house.put("ann@gmail.test", after=100 * HOUR, max_age=HOUR)
        await house.work(102 * HOUR)
        (event,) = house.delivered()
        assert 100 * HOUR <= event.at - START <= 100 * HOUR + 60
        assert event.attempt == 1

    virtually(story)
