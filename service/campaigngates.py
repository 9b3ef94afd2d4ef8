"""Gates of campaigns that are over: a probe or a canary of a campaign without mail in the queue ends, records go.

Contract: `look` opens gates of the machine that probe or slow a campaign which has had nothing left in the queue for
`QUIET` (a canary: for its waiting time, when that is longer), with an event that says so.  Pauses and hard stops stay:
they hold what may still be injected.  Open gates are forgotten KEPT days after they opened, those of a campaign only
when no mail of it is counted or queued any more: while it is, a new canary would begin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from core.causes import Cause, Why
from core.errors import StorageConflict
from core.events import GateState
from core.lane import DAY, HOUR
from core.ports import Clock, Controls
from core.state import CANARY, CounterKey, Gate
from monitor import guard, listing, operator
from monitor.canary import Terms
from storage.campaigns import SqlCampaigns

QUIET = HOUR
BY = "campaign"  # not the guard: every projector must read again what it did not write
KEPT = 90 * DAY  # the longest window of a rule


class CampaignGates:
    """See the module."""

    def __init__(
        self,
        campaigns: SqlCampaigns,
        controls: Controls,
        counters: Callable[[], Mapping[CounterKey, int]],
        terms: Mapping[str, Terms],
        clock: Clock,
    ) -> None:
        self._campaigns = campaigns
        self._controls = controls
        self._counters = counters
        self._terms = terms
        self._clock = clock
        self._empty_since: dict[tuple[str, str], float] = {}

    async def look(self) -> None:
        """End what is over, forget what is old."""
        now = self._clock.now()
        gates = await self._controls.gates()
        await self._end(gates, now)
        await self._forget([g for g in gates if g.state is GateState.OPEN and g.since < now - KEPT])

    async def _end(self, gates: list[Gate], now: float) -> None:
        going = [
            gate
            for gate in gates
            if gate.state in (GateState.PROBING, GateState.SLOWED)
            and gate.scope.campaign and gate.scope.stream
            and gate.rule not in (operator.RULE, listing.RULE)
        ]  # fmt: skip
        waiting = await self._campaigns.waiting(_names(gate)[0] for gate in going)
        empty = {name for gate in going for name in _names(gate)} - waiting
        self._empty_since = {name: self._empty_since.get(name, now) for name in empty}
        for gate in going:
            (name,) = _names(gate)
            since = max(self._empty_since.get(name, now), gate.since)
            terms = self._terms.get(gate.scope.stream)
            quiet = max(QUIET, terms.hours * HOUR) if terms and gate.rule == CANARY else QUIET
            if name in empty and now - since >= quiet:
                opened, event = guard.finish(gate, now, Cause(why=Why.CAMPAIGN_OVER, rule=gate.rule), by=BY)
                try:
                    await self._controls.put(opened, event, gate.state)
                except StorageConflict:
                    continue  # it moved meanwhile: the next look sees

    async def _forget(self, old: list[Gate]) -> None:
        named = {name for gate in old for name in _names(gate)}
        if named:
            counted = {
                (str(k.attribution.traffic.stream), str(k.attribution.traffic.campaign)) for k in self._counters()
            }
            alive = (named & counted) | await self._campaigns.waiting(named)
            old = [gate for gate in old if not alive.intersection(_names(gate))]
        if old:
            await self._campaigns.forget(old)


def _names(gate: Gate) -> list[tuple[str, str]]:
    return [(gate.scope.stream, gate.scope.campaign)] if gate.scope.campaign else []
