"""What rules would have done with the mail of the past: which pauses, when, what they spare and what they wrongly hold.

Contract: `take` is given the counts of slices of time in order; `end` closes the account.  The gates are moved by the
same tallies and the same guard as the service's.  Mail that a closed gate would have held counts as held: it is taken
out of the evidence that follows, with the share of its later events that it would have had, and put to the account of
the earliest gate that held it.  A probe or a slowed scope lets through what it would have.  Held mail is not sent
later: what really happened afterwards cannot be known.

`Finding.outcome` judges in hindsight by the held mail's own rate: SPARED above the rule's threshold, WRONGLY_HELD at
or below it, UNKNOWN when too little was held to tell.  Memory: counts of a window, and the pauses.  Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from config.tables import Rule
from core.events import Evidence, GateState
from core.lane import DAY, HOUR, Traffic, cohort_of, day_of
from core.metrics import Metric
from core.state import CounterKey, Gate
from monitor import guard
from monitor.evidence import DelayEnvelope
from monitor.rules import RuleTally
from monitor.signals import SIGNALS

_CLOSED = (GateState.PAUSED, GateState.HARD_STOPPED)
_SURE = 3.0  # as many bad events as this must be expected at the threshold before none of them says "wrongly held"
MOST_FINDINGS = 10_000


class Outcome(StrEnum):
    """Hindsight."""

    SPARED = "spared"
    WRONGLY_HELD = "wrongly_held"
    UNKNOWN = "unknown"


@dataclass(slots=True, kw_only=True)
class Finding:
    """One episode of a gate, from its first closing to its opening (`until` 0: still closed at the end)."""

    rule: str
    scope: str
    at: float
    state: GateState
    evidence: Evidence
    threshold: float
    until: float = 0.0
    closings: int = 1
    held: int = 0  # first attempts that would not have been made
    total: int = 0  # of them what the rule divides by
    bad: int = 0  # and what it counts
    spared: dict[str, int]

    @property
    def outcome(self) -> Outcome:
        """See the module."""
        if self.bad and self.bad > self.threshold * self.total:
            return Outcome.SPARED
        if self.threshold * self.total >= _SURE:
            return Outcome.WRONGLY_HELD
        return Outcome.UNKNOWN


@dataclass(slots=True)
class _Hour:
    """First attempts of one traffic in one hour; `by` names the episode that held the rest."""

    attempted: int = 0
    admitted: int = 0
    by: Finding | None = None


class Backtest:
    """See the module."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        transactional: Sequence[str] = (),
        no_feedback: frozenset[str] = frozenset(),
        envelopes: Mapping[str, DelayEnvelope] | None = None,
    ) -> None:
        self._tallies = [
            RuleTally(rule, transactional=transactional, no_feedback=no_feedback, envelopes=envelopes)
            for rule in rules
            if rule.signal in SIGNALS
        ]
        self._window = max((rule.window_days for rule in rules), default=1)
        self._gates: dict[tuple[str, str], Gate] = {}
        self._open: dict[tuple[str, str], Finding] = {}
        self._hours: dict[tuple[Traffic, int], _Hour] = {}
        self._rests: Counter[CounterKey] = Counter()
        self._used: Counter[tuple[str, int]] = Counter()
        self._day = 0
        self._last = 0.0
        self.findings: list[Finding] = []
        self.messages = 0

    def take(self, at: float, deltas: Mapping[CounterKey, int]) -> None:
        """Counts of the slice that ends at `at`."""
        self._last = at
        if day_of(at) != self._day:
            self._next_day(at)
        touched: dict[tuple[str, int], bool] = {}
        attempts = {k: n for k, n in deltas.items() if k.metric == Metric.ATTEMPTED}
        for key, n in attempts.items():
            self.messages += n
            self._add(key, self._admit(key, n, at), touched)
        for key, n in deltas.items():
            if key not in attempts:
                self._add(key, self._kept(key, n), touched)
        self._judge(touched, at)

    def end(self) -> None:
        """No more comes: episodes that are still closed keep `until` 0."""
        self._open.clear()

    # --- what would have been held -----------------------------------------------------------------------------------
    def _admit(self, key: CounterKey, n: int, at: float) -> int:
        """How many of these first attempts the gates would have let through."""
        traffic, cohort = key.attribution.traffic, key.attribution.cohort
        hour = self._hours.setdefault((traffic, cohort), _Hour())
        hour.attempted += n
        room, holder = n, None
        for name, gate in self._gates.items():
            if gate.state is GateState.OPEN or not gate.scope.covers(traffic):
                continue
            left = self._left(gate, at)
            if left < room:
                room = max(0, left)
            if left < n:
                found = self._open.get(name)
                if found is not None and (holder is None or found.at < holder.at):
                    holder = found
        for gate in self._gates.values():
            if gate.state in (GateState.PROBING, GateState.SLOWED) and gate.scope.covers(traffic):
                self._used[_allowance(gate, at)] += room
        hour.admitted += room
        if holder is not None:
            hour.by = holder
            holder.held += n - room
        return self._told(key, n, room, hour)

    def _left(self, gate: Gate, at: float) -> int:
        return 0 if gate.state in _CLOSED else gate.limit - self._used[_allowance(gate, at)]

    def _kept(self, key: CounterKey, n: int) -> int:
        """How many of these later events belong to mail that would have been sent; the rest is spared."""
        hour = self._hours.get((key.attribution.traffic, key.attribution.cohort))
        if hour is None or hour.admitted == hour.attempted:
            return n
        # whole events: what is left of one is carried to the next of the same key
        exact = n * (1 - hour.admitted / hour.attempted) * 1_000_000 + self._rests[key]
        held = min(n, int(exact // 1_000_000))
        self._rests[key] = int(exact - held * 1_000_000)
        return self._told(key, n, n - held, hour)

    def _told(self, key: CounterKey, n: int, kept: int, hour: _Hour) -> int:
        found = hour.by
        if found is not None and n > kept:
            held = n - kept
            found.spared[key.metric] = found.spared.get(key.metric, 0) + held
            signal = next(SIGNALS[t.rule.signal] for t in self._tallies if t.rule.name == found.rule)
            found.bad += held if key.metric in signal.bad else 0
            found.total += held if key.metric in signal.total else 0
        return kept

    # --- judging -----------------------------------------------------------------------------------------------------
    def _add(self, key: CounterKey, n: int, touched: dict[tuple[str, int], bool]) -> None:
        if n <= 0:
            return
        for index, tally in enumerate(self._tallies):
            scope = tally.add(key, n)
            if scope is not None and key.metric in SIGNALS[tally.rule.signal].bad:
                touched[scope.key, index] = True

    def _judge(self, touched: Mapping[tuple[str, int], bool], at: float) -> None:
        """Good mail alone never raises evidence: an open gate is judged only where something bad came."""
        names = {tally.rule.name: index for index, tally in enumerate(self._tallies)}
        asked = set(touched) | {
            (scope, names[rule]) for (scope, rule), gate in self._gates.items() if gate.state is not GateState.OPEN
        }
        for scope_key, index in sorted(asked):
            tally = self._tallies[index]
            name = (scope_key, tally.rule.name)
            gate = self._gates.get(name)
            scope = tally.scope(scope_key) or (gate.scope if gate else None)
            if scope is None:
                continue
            moved = guard.step(gate or guard.first(tally.rule.name, scope), tally.verdict(scope, gate, at), at)
            if moved is not None:
                self._gates[name] = moved[0]
                self._note(name, moved[0], tally.rule, at)

    def _note(self, name: tuple[str, str], gate: Gate, rule: Rule, at: float) -> None:
        found = self._open.get(name)
        if gate.state is GateState.OPEN:
            if found is not None:
                found.until = at
                del self._open[name]
        elif found is None and gate.evidence is not None and len(self.findings) < MOST_FINDINGS:
            found = Finding(
                rule=rule.name, scope=gate.scope.key, at=at, state=gate.state, evidence=gate.evidence,
                threshold=rule.threshold, spared={}, closings=int(gate.state in _CLOSED),
            )  # fmt: skip
            self._open[name] = found
            self.findings.append(found)
        elif found is not None and gate.state in _CLOSED:
            if found.closings == 0:  # it was only slowed until now
                found.state, found.evidence = gate.state, gate.evidence or found.evidence
            found.closings += 1

    def _next_day(self, at: float) -> None:
        self._day = day_of(at)
        for tally in self._tallies:
            tally.forget(at)
        oldest, hour = cohort_of(at - self._window * DAY), cohort_of(at) - 2
        self._hours = {
            k: h for k, h in self._hours.items() if k[1] >= hour or (k[1] >= oldest and h.admitted < h.attempted)
        }
        alive = {(t, c) for t, c in self._hours}
        self._rests = Counter(
            {k: n for k, n in self._rests.items() if (k.attribution.traffic, k.attribution.cohort) in alive}
        )
        self._used.clear()


def _allowance(gate: Gate, at: float) -> tuple[str, int]:
    """A probe's share, or the hour of a slowed scope."""
    if gate.state is GateState.PROBING:
        return (gate.pause_id, cohort_of(gate.until))
    return (gate.pause_id, int(at // HOUR))
