"""Keeps the monitor's picture of reporting delays: fitted from the stored log at the start and four times a day.

Contract: `fitted` reads and fits; `Delays.run` hands each result to the projector.  Every node does so for itself,
since each may have to lead.  When the log cannot be read the last picture stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from core.lane import HOUR
from core.ports import Clock
from monitor.delays import HORIZON, LOOK_BACK, Lateness, fit
from monitor.evidence import DelayEnvelope
from monitor.projector import Projector
from storage.lateness import SqlLateness

EVERY = 6 * HOUR  # domain seconds
_LEAST_WAIT = 5.0  # real seconds, under a clock that runs fast


class Delays:
    """See the module."""

    def __init__(self, store: SqlLateness, projector: Projector, clock: Clock) -> None:
        self._store = store
        self._projector = projector
        self._clock = clock

    async def refresh(self) -> None:
        """Fit now."""
        self._projector.set_envelopes(await fitted(self._store, self._clock.now()))

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(max(_LEAST_WAIT, EVERY / self._clock.rate))


async def fitted(store: SqlLateness, now: float) -> Mapping[str, DelayEnvelope]:
    """Envelopes by provider from the stored log."""
    return fit(await reports_of(store, now), now)


async def reports_of(store: SqlLateness, since: float) -> list[Lateness]:
    """Every stored report from which the delays at `since` and later can be fitted."""
    rows = await store.read(since - (HORIZON + LOOK_BACK) * HOUR)
    return [Lateness(provider=provider, cohort=cohort, at=at) for provider, cohort, at in rows]
