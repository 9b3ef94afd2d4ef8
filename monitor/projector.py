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
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from config.rules import GATING
from config.tables import Rule
from core.errors import StorageConflict
from core.events import (
    Event,
    GateChanged,
    GateState,
    Logged,
    RuleChanged,
)
from core.lane import DAY, Scope, cohort_of, day_of
from core.ports import Clock, Controls, Counters, EventLog
from core.state import CANARY, CounterKey, Gate
from monitor import guard, listing, operator
from monitor.canary import Canaries, Terms
from monitor.counters import fold
from monitor.evidence import DelayEnvelope
from monitor.findings import LOOK_BACK, Findings
from monitor.findings import step as step_finding
from monitor.narrowing import close_parts, narrow_scopes
from monitor.rules import Level, RuleTally, Verdict
from monitor.samples import SAMPLED, Samples
from monitor.signals import SIGNALS

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
        self._rules = {rule.name: rule for rule in rules}
        self._transactional = transactional
        self._no_feedback = no_feedback
        self._clock = clock
        self._on_change = on_change
        self._envelopes = envelopes or {}
        self._canaries = Canaries(canaries or {})
        self._poll = poll
        self._monotonic = monotonic
        self._reached = monotonic()
        self._loaded = False
        self._certain = False  # a commit has shown that the counters read belong to the cursor read
        self._cursor = 0
        self._elsewhere = 0  # how far another projector was seen to be
        self._day = 0
        self._counters: Counter[CounterKey] = Counter()
        self._tallies: dict[str, RuleTally] = {}
        self._gates: dict[tuple[str, str], Gate] = {}
        self._samples = Samples()
        self._forgiven: dict[tuple[str, str], tuple[float, int, int]] = {}
        self._loud: dict[tuple[str, str], Verdict] = {}
        self._findings = Findings()

    @property
    def findings(self) -> Findings:
        """What rules without a gate say; a live view."""
        return self._findings

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Every stored gate, open ones too, as of the last step."""
        return tuple(self._gates.values())

    @property
    def counters(self) -> Mapping[CounterKey, int]:
        """Counters of the window; a live view."""
        return MappingProxyType(self._counters)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Findings that are not quiet, also of rules that only alert."""
        return tuple(self._loud.values())

    @property
    def budgets(self) -> dict[str, tuple[float, int]]:
        """The declared false-alarm budget: rule → (days between false alarms, or chance per campaign; scopes K)."""
        return {
            name: (t.rule.false_alarm_days if t.standing else t.rule.false_alarm_chance, t.sharing)
            for name, t in self._tallies.items()
        }

    @property
    def envelopes(self) -> Mapping[str, DelayEnvelope]:
        """How late each provider reports, as far as known."""
        return self._envelopes

    def set_envelopes(self, envelopes: Mapping[str, DelayEnvelope]) -> None:
        """From now on judge by these reporting delays."""
        self._envelopes = envelopes
        for tally in self._tallies.values():
            tally.envelopes = envelopes

    def lag(self) -> float:
        """Real seconds since the head of the log was last reached."""
        return max(0.0, self._monotonic() - self._reached)

    async def start(self) -> None:
        """Read cursor, counters, gates and recent samples.  Also the way back after a lost race."""
        self._loaded = self._certain = False
        now = self._clock.now()
        days = max([rule.window_days for rule in self._rules.values()], default=1)
        self._cursor = self._elsewhere = await self._store.cursor(CURSOR)
        stored = await self._store.load(cohort_of((day_of(now) - days) * DAY))
        # counters newer than the cursor do no harm: the next commit finds the cursor moved, and all is read again
        self._tallies = {
            name: RuleTally(
                rule,
                transactional=self._transactional,
                no_feedback=self._no_feedback,
                envelopes=self._envelopes,
            )
            for name, rule in self._rules.items()
            if rule.signal in SIGNALS
        }
        told = await self._log.recent([RuleChanged.__name__], LOOK_BACK)
        self._findings = Findings(e.event for e in reversed(told) if isinstance(e.event, RuleChanged))
        self._counters, self._samples, self._loud = Counter(), Samples(), {}
        self._canaries.clear()
        self._add(stored)
        await self._read_gates()
        recent = await self._log.recent([kind.__name__ for kind in SAMPLED], 500)
        for logged in reversed(recent):
            self._samples.keep(logged.event, self._tallies)
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
        events = [logged.event for logged in batch]
        reread = any(isinstance(e, GateChanged) and e.by != guard.BY for e in events)
        if reread:
            await self._read_gates()
        if day_of(now) != self._day:
            self._forget(now)
        deltas = fold(events)
        touched = self._add(deltas)
        if reread:
            self._forgive(events, now)
        for event in events:
            self._samples.keep(event, self._tallies)
            self._canaries.note(event)
            if isinstance(event, RuleChanged):
                self._findings.note(event)
        touched |= self._keep_apart(now)
        moves = self._judge(touched, now)
        if moves and not reread:
            # an operator may have spoken since; his gates win, and his events are in the next batch
            await self._read_gates()
            touched |= self._keep_apart(now)
            moves = self._judge(touched, now)
        told = self._tell(touched, now)
        before, after = self._cursor, batch[-1].seq if batch else self._cursor
        known = dict(self._gates)
        if batch or moves or told:
            try:
                await self._store.commit(CURSOR, before, after, deltas, moves, told)
            except StorageConflict:
                elsewhere = await self._store.cursor(CURSOR)
                if not self._certain or elsewhere <= self._elsewhere:
                    raise
                # another projector leads, with the moves that it made; this one only counts along
                self._elsewhere, moves, told = elsewhere, [], []
                await self._read_gates()
            self._certain = True
        self._cursor = after
        for gate, _ in moves:
            self._gates[gate.scope.key, gate.rule] = gate
        for finding in told:
            self._findings.note(finding)
        if reread or self._gates != known:
            self._on_change()

    def _keep_apart(self, now: float) -> set[tuple[str, str]]:
        """The parts that gates of theirs judge, as the gates now stand; what has other counts for it."""
        return {
            (key, name)
            for name, tally in self._tallies.items()
            for key in tally.keep_apart(narrow_scopes(self._gates.values(), tally.rule, now), self._counters)
        }

    def _judge(self, touched: set[tuple[str, str]], now: float) -> list[tuple[Gate, Event]]:
        """Moves of every gate that new counts or the time may have changed."""
        moves: list[tuple[Gate, Event]] = list(self._canaries.moves(self._gates, now))
        for key, gate in self._gates.items():
            if gate.rule in (listing.RULE, CANARY):
                continue  # the watch of blocklists moves the one, monitor.canary the other
            if gate.rule == operator.RULE or gate.rule not in self._tallies:
                why = "the operator's pause ran out" if gate.rule == operator.RULE else "its rule was removed"
                moved = guard.lapse(gate, now, why)
                if moved is not None:
                    moves.append(moved)
            elif gate.state is not GateState.OPEN:
                touched = touched | {key}
        for scope_key, rule_name in sorted(touched):
            tally = self._tallies[rule_name]
            stored = self._gates.get((scope_key, rule_name))
            scope = tally.scope(scope_key) or (stored.scope if stored else None)
            if scope is None:
                continue
            verdict = tally.verdict(scope, stored, now)
            if verdict.level is Level.QUIET:
                self._loud.pop((scope_key, rule_name), None)
            else:
                verdict = replace(verdict, evidence=self._samples.with_evidence(verdict.evidence, scope, rule_name))
                self._loud[scope_key, rule_name] = verdict
            parts = close_parts(tally, self._counters, stored, verdict, self._gates, now)
            if parts:
                self._loud.pop((scope_key, rule_name), None)
                moves += [self._with_samples(scope, *part) for part in parts]
                continue
            moved = guard.step(stored or guard.first(rule_name, scope), verdict, now)
            if moved is not None:
                moves.append(moved)
        return moves

    def _tell(self, touched: set[tuple[str, str]], now: float) -> list[RuleChanged]:
        """What rules without a gate begin to find, and what is over."""
        told = self._findings.without(self._rules, now)
        asked = touched | {(f.scope.key, f.rule) for f in self._findings.firing}
        for scope_key, name in sorted(asked):
            tally, last = self._tallies.get(name), self._findings.last(scope_key, name)
            if tally is None or tally.rule.action in GATING:
                continue
            scope = tally.scope(scope_key) or (last.scope if last else None)
            if scope is None:
                continue
            event = step_finding(last, tally.verdict(scope, last, now), tally, now)
            if event is not None:
                if event.firing and event.evidence is not None:
                    event = replace(event, evidence=self._samples.with_evidence(event.evidence, scope, name))
                told.append(event)
        return told

    def _add(self, deltas: Mapping[CounterKey, int]) -> set[tuple[str, str]]:
        """Count; (scope key, rule) of every scope whose verdict may have changed."""
        touched: set[tuple[str, str]] = set()
        for key, n in deltas.items():
            self._counters[key] += n
            self._canaries.count(key, n)
            for name, tally in self._tallies.items():
                scope = tally.add(key, n)
                if scope is None:
                    continue
                # good mail alone raises no evidence; but it fills a fixed window, and calms what was loud
                found = (scope.key, name)
                if (
                    key.metric in SIGNALS[tally.rule.signal].bad
                    or tally.rule.evidence == "window"
                    or found in self._loud
                ):
                    touched.add(found)
        return touched

    async def _read_gates(self) -> None:
        self._gates = {(gate.scope.key, gate.rule): gate for gate in await self._controls.gates()}
        for key, (since, bad, total) in list(self._forgiven.items()):
            gate = self._gates.get(key)
            if gate is not None and gate.since == since:
                self._gates[key] = replace(gate, base_bad=bad, base_total=total)
            else:
                del self._forgiven[key]

    def _forgive(self, events: Sequence[Event], now: float) -> None:
        """What was counted up to a person's resume is known to that person: it does not close the gate again.

        The resume itself knows only the counts at the machine's last move; what was under way then came back later.
        """
        for event in events:
            if not isinstance(event, GateChanged) or event.by == guard.BY or event.after is not GateState.OPEN:
                continue
            for (scope_key, rule), gate in list(self._gates.items()):
                tally = self._tallies.get(rule)
                if scope_key != event.scope.key or gate.since != event.at or tally is None:
                    continue
                if gate.epoch == cohort_of(now):
                    seen = tally.verdict(gate.scope, gate, now)
                    self._forgiven[scope_key, rule] = (gate.since, seen.here_bad, seen.here_total)
                    self._gates[scope_key, rule] = replace(gate, base_bad=seen.here_bad, base_total=seen.here_total)

    def _forget(self, now: float) -> None:
        self._day = day_of(now)
        for tally in self._tallies.values():
            tally.forget(now)
        days = max([rule.window_days for rule in self._rules.values()], default=1)
        oldest = cohort_of((self._day - days) * DAY)
        self._counters = Counter({k: n for k, n in self._counters.items() if k.attribution.cohort >= oldest})
        alive = {(s.key, name) for name, t in self._tallies.items() for s in t.scopes()}
        self._samples.forget(alive)
        self._loud = {key: verdict for key, verdict in self._loud.items() if key in alive}

    def _with_samples(self, whole: Scope, gate: Gate, event: GateChanged) -> tuple[Gate, Event]:
        assert event.evidence is not None, "a part is closed on evidence"
        evidence = self._samples.with_evidence(event.evidence, gate.scope, gate.rule, whole)
        return replace(gate, evidence=evidence), replace(event, evidence=evidence)
