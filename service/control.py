"""What this process knows of the gate right now: the snapshot that admission decides on.

Contract: gates come from the monitor of this process the moment they change, and from storage every `POLL` real
seconds, so that a pause by another process or an operator holds within one second.  Allowances used are a hint for
early decisions; the truth is the conditional UPDATE of the claim.  A lane without a warm-up state that mail is
waiting for is started here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from core.decision import Decision, Defer, DeferReason
from core.events import GateState
from core.lane import Lane, Traffic
from core.ports import Admission, Allowances, Clock, Controls
from core.state import Gate, Snapshot
from warmup.admission import watched

logger = logging.getLogger("penstock.control")
POLL = 0.4  # real seconds


class Monitoring(Protocol):
    """The monitor: the projector of this process, or what is heard of it elsewhere."""

    @property
    def gates(self) -> tuple[Gate, ...]: ...
    def lag(self) -> float: ...


class Starter(Protocol):
    """Gives a lane its warm-up state (warmup.steps)."""

    async def ensure(self, lane: Lane, now: float) -> None: ...


class Control:
    """See the module.  `on_change` is called when a gate closed or opened."""

    def __init__(
        self,
        *,
        controls: Controls,
        allowances: Allowances,
        projector: Monitoring,
        steps: Starter,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._controls = controls
        self._allowances = allowances
        self._projector = projector
        self._steps = steps
        self._clock = clock
        self._on_change = on_change
        self._snapshot = Snapshot()
        self._wanted: set[Lane] = set()
        self._wake = asyncio.Event()

    def snapshot(self) -> Snapshot:
        """The newest picture; costs nothing."""
        return self._snapshot

    def want(self, lane: Lane) -> None:
        """Mail waits for a lane that has no warm-up state: start it."""
        self._wanted.add(lane)
        self._wake.set()

    def spent(self, allowances: Sequence[tuple[str, int, int]], units: int) -> None:
        """This process reserved so much: known here before storage is read again."""
        used = self._snapshot.used
        for key, period, _cap in allowances:
            used[key, period] = used.get((key, period), 0) + units

    def look(self) -> None:
        """Something changed in the store: read it now."""
        self._wake.set()

    def gates_changed(self) -> None:
        """The monitor of this process moved a gate: take it over at once, before the next look at storage."""
        self._replace_gates(self._projector.gates)

    async def refresh(self) -> None:
        """Read gates, steps and what is used today."""
        now = self._clock.now()
        while self._wanted:
            await self._steps.ensure(self._wanted.pop(), now)
        gates = tuple(await self._controls.gates())
        steps = {state.lane: state for state in await self._allowances.steps()}
        used: dict[tuple[str, int], int] = {}
        periods = watched(gates, steps.values(), now)
        for period, keys in periods.items():
            for key, units in (await self._allowances.used(keys, period)).items():
                used[key, period] = units
        changed = _closing(gates) != _closing(self._snapshot.gates)
        self._snapshot = Snapshot(gates=gates, steps=steps, used=used, monitor_lag=self._projector.lag())
        if changed:
            self._on_change()

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            await self.refresh()
            self._wake.clear()
            try:
                # not wait_for: until Python 3.12 it may swallow a cancellation that comes with the answer
                async with asyncio.timeout(POLL):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _replace_gates(self, gates: tuple[Gate, ...]) -> None:
        before = self._snapshot
        self._snapshot = Snapshot(gates=gates, steps=before.steps, used=before.used, monitor_lag=self._projector.lag())
        if _closing(gates) != _closing(before.gates):
            self._on_change()


class StartingAdmission:
    """Admission that also asks Control to start a lane which mail is waiting for."""

    def __init__(self, inner: Admission, control: Control) -> None:
        self._inner = inner
        self._control = control

    def decide(self, traffic: Traffic, fresh: int, retries: int, snapshot: Snapshot, now: float) -> Decision:
        decision = self._inner.decide(traffic, fresh, retries, snapshot, now)
        if isinstance(decision, Defer) and decision.reason is DeferReason.NO_PLAN:
            self._control.want(traffic.lane)
        return decision


def _closing(gates: tuple[Gate, ...]) -> set[tuple[str, str, GateState]]:
    return {(gate.scope.key, gate.pause_id, gate.state) for gate in gates}
