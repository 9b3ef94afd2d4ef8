"""The projector: follows the event log, keeps counters and moves gates.  One transaction a batch.

Contract: counters += fold(batch), the gates that move with their events, and the cursor are committed together
(core.ports.Counters.commit), so a crash repeats nothing and skips nothing.  Several processes may run one each: the
first to commit a batch leads, the others follow in memory and take over when it stops.  When storage failed, memory
is thrown away and read again at the next step.  Gates also move by time alone.  Its own GateChanged events are passed
over; an operator's are the signal to read the gates again.

`run` reacts to a commit of this process at once and to other processes within `poll` real seconds.  `lag()` grows
from the last moment at which the log's head was reached, so a projector that stopped is a projector that lags.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from config.tables import Rule
from core.errors import StorageConflict
from core.events import Event, GateChanged, GateState, Logged, RuleChanged
from core.lane import DAY, cohort_of, day_of
from core.ports import Clock, Controls, Counters, EventLog
from core.state import CounterKey, Gate
from monitor import guard
from monitor.canary import Terms
from monitor.counters import fold
from monitor.evidence import DelayEnvelope
from monitor.findings import LOOK_BACK, Findings
from monitor.judge import Judge, Moves
from monitor.rules import Verdict
from monitor.samples import SAMPLED

CURSOR = "monitor"
BATCH = 2000


class Monotonic(Protocol):
    """Real seconds from some start."""

    def __call__(self) -> float: ...


class Projector:
    """See the module.  `no_feedback` are providers without complaint reports ('other': unknown providers).

    `envelopes` give reporting delays by provider (monitor.delays); without one, evidence is delay-safe but slower.
    `on_change` is called after a gate moved, or was found moved by somebody else.
    """

    def __init__(
        self,
        *,
        log: EventLog,
        counters: Counters,
        controls: Controls,
        rules: Sequence[Rule],
        transactional: tuple[str, ...],
        no_feedback: frozenset[str],
        clock: Clock,
        on_change: Callable[[], None],
        envelopes: Mapping[str, DelayEnvelope] | None = None,
        canaries: Mapping[str, Terms] | None = None,
        poll: float = 0.4,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._log = log
        self._store = counters
        self._controls = controls
        self._judge = Judge(
            rules, transactional=transactional, no_feedback=no_feedback, envelopes=envelopes, canaries=canaries
        )
        self._clock = clock
        self._on_change = on_change
        self._poll = poll
        self._monotonic = monotonic
        self._reached = monotonic()
        self._loaded = False
        self._certain = False  # a commit has shown that the counters read belong to the cursor read
        self._cursor = 0
        self._elsewhere = 0  # how far another projector was seen to be
        self._day = 0
        self._forgiven: dict[tuple[str, str], tuple[float, int, int]] = {}

    @property
    def findings(self) -> Findings:
        """What rules without a gate say; a live view."""
        return self._judge.findings

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Every stored gate, open ones too, as of the last step."""
        return tuple(self._judge.gates.values())

    @property
    def counters(self) -> Mapping[CounterKey, int]:
        """Counters of the window; a live view."""
        return MappingProxyType(self._judge.counters)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Findings that are not quiet, also of rules that only alert."""
        return tuple(self._judge.loud.values())

    @property
    def budgets(self) -> dict[str, tuple[float, int]]:
        """The declared false-alarm budget: rule → (days between false alarms, or chance per campaign; scopes K)."""
        return {
            name: (t.rule.false_alarm_days if t.standing else t.rule.false_alarm_chance, t.sharing)
            for name, t in self._judge.tallies.items()
        }

    @property
    def envelopes(self) -> Mapping[str, DelayEnvelope]:
        """How late each provider reports, as far as known."""
        return self._judge.envelopes

    def set_envelopes(self, envelopes: Mapping[str, DelayEnvelope]) -> None:
        """From now on judge by these reporting delays."""
        self._judge.set_envelopes(envelopes)

    def lag(self) -> float:
        """Real seconds since the head of the log was last reached."""
        return max(0.0, self._monotonic() - self._reached)

    async def start(self) -> None:
        """Read cursor, counters, gates and recent samples.  Also the way back after a lost race."""
        self._loaded = self._certain = False
        judge, now = self._judge, self._clock.now()
        self._cursor = self._elsewhere = await self._store.cursor(CURSOR)
        stored = await self._store.load(cohort_of((day_of(now) - judge.window_days) * DAY))
        # counters newer than the cursor do no harm: the next commit finds the cursor moved, and all is read again
        told = await self._log.recent([RuleChanged.__name__], LOOK_BACK)
        judge.begin(e.event for e in reversed(told) if isinstance(e.event, RuleChanged))
        judge.take(stored)
        await self._read_gates()
        recent = await self._log.recent([kind.__name__ for kind in SAMPLED], 500)
        for logged in reversed(recent):
            judge.samples.keep(logged.event, judge.tallies)
        self._day = day_of(now)
        self._loaded = True
        self._on_change()

    async def step(self) -> int:
        """Take in one batch and judge what it touched.  How many events it held; 0 at the head of the log."""
        if not self._loaded:
            await self.start()
        now = self._clock.now()
        batch = await self._log.read(self._cursor, BATCH)
        self._loaded = False  # until the commit, memory is ahead of storage
        try:
            await self._take(batch, now)
        except StorageConflict:
            return len(batch)  # the other one has stopped half-way: the next step reads everything again
        self._loaded = True
        if len(batch) < BATCH:
            self._reached = self._monotonic()
        return len(batch)

    async def run(self) -> None:
        """Follow the log for ever."""
        while True:
            if await self.step() < BATCH:
                await self._log.changed(self._poll)

    async def _take(self, batch: Sequence[Logged], now: float) -> None:
        judge = self._judge
        events = [logged.event for logged in batch]
        reread = any(isinstance(e, GateChanged) and e.by != guard.BY for e in events)
        if reread:
            await self._read_gates()
        if day_of(now) != self._day:
            self._day = day_of(now)
            judge.forget(now)
        deltas = fold(events)
        touched = judge.take(deltas)
        if reread:
            self._forgive(events, now)
        judge.note(events)
        moves = judge.decide(touched, now)
        if moves.gates and not reread:
            # an operator may have spoken since; his gates win, and his events are in the next batch
            await self._read_gates()
            moves = judge.decide(touched, now)
        before, after = self._cursor, batch[-1].seq if batch else self._cursor
        known = dict(judge.gates)
        if batch or moves.gates or moves.told:
            try:
                await self._store.commit(CURSOR, before, after, deltas, moves.gates, moves.told)
            except StorageConflict:
                elsewhere = await self._store.cursor(CURSOR)
                if not self._certain or elsewhere <= self._elsewhere:
                    raise
                # another projector leads, with the moves that it made; this one only counts along
                self._elsewhere, moves = elsewhere, Moves()
                await self._read_gates()
            self._certain = True
        self._cursor = after
        judge.settle(moves)
        if reread or judge.gates != known:
            self._on_change()

    async def _read_gates(self) -> None:
        gates = {(gate.scope.key, gate.rule): gate for gate in await self._controls.gates()}
        for key, (since, bad, total) in list(self._forgiven.items()):
            gate = gates.get(key)
            if gate is not None and gate.since == since:
                gates[key] = replace(gate, base_bad=bad, base_total=total)
            else:
                del self._forgiven[key]
        self._judge.gates = gates

    def _forgive(self, events: Sequence[Event], now: float) -> None:
        """What was counted up to a person's resume is known to that person: it does not close the gate again.

        The resume itself knows only the counts at the machine's last move; what was under way then came back later.
        """
        gates = self._judge.gates
        for event in events:
            if not isinstance(event, GateChanged) or event.by == guard.BY or event.after is not GateState.OPEN:
                continue
            for (scope_key, rule), gate in list(gates.items()):
                tally = self._judge.tallies.get(rule)
                if scope_key != event.scope.key or gate.since != event.at or tally is None:
                    continue
                if gate.epoch == cohort_of(now):
                    seen = tally.verdict(gate.scope, gate, now)
                    self._forgiven[scope_key, rule] = (gate.since, seen.here_bad, seen.here_total)
                    gates[scope_key, rule] = replace(gate, base_bad=seen.here_bad, base_total=seen.here_total)
