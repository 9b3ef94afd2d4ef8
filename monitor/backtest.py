"""What rules would have done with the mail of the past: which pauses, when, what they spare and what they wrongly hold.

Contract: `take` is given the counts of slices of time in order; `end` closes the account.  Gates, parts of scopes,
canaries and findings are decided by the service's own judge (monitor.judge), limits are those of its admission.  Mail
that a closed gate would have held counts as held: it is taken out of the evidence that follows, with the share of its
later events that it would have had, and put to the account of the earliest gate that held it.  A probe or a slowed
scope lets through what it would have.  Held mail is not sent later: what really happened afterwards cannot be known.
Mail behind a canary is: when the canary opens it goes at once, counted in that hour with the events that it had; when a
rule closes a gate over it first, it is held by that gate.

Reporting delays are fitted anew each day from the reports that had come by then.  Memory: counts of a window, and what
is told.  Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from config.tables import Rule
from core.events import GateChanged, GateState, RuleChanged
from core.lane import DAY, HOUR, Attribution, Traffic, cohort_of, day_of
from core.metrics import Metric
from core.state import CANARY, CounterKey, Gate
from monitor.canary import Terms
from monitor.delays import Lateness, fit
from monitor.hindsight import CanaryRun, Finding, Told
from monitor.judge import Judge, Key, Moves
from monitor.signals import SIGNALS

_CLOSED = (GateState.PAUSED, GateState.HARD_STOPPED)
_PART = 1_000_000  # shares of events are carried in millionths
MOST_FINDINGS = 10_000
MOST_AT_ONCE = 3  # looks after moves in the same instant
MOST_LOOKS = 24 * 14  # at gates alone, in a time without mail


Allowance = Callable[[Gate, float], tuple[str, int, int] | None]  # (key, period, cap): warmup.admission.gate_allowance


@dataclass(slots=True)
class _Hour:
    """First attempts of one traffic in one hour.

    `by` is the episode that held the rest, without the `waiting` ones: those a canary holds, or let go at `sent_at`
    (a cohort)."""

    attempted: int = 0
    admitted: int = 0
    by: Finding | None = None
    waiting: int = 0
    sent_at: int = 0
    later: Counter[str] = field(default_factory=Counter)  # events of those that wait, by metric


class Backtest:
    """See the module.  `slice_seconds`: how long a slice is; `lateness`: when each report of a complaint came."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        allowance: Allowance,
        transactional: Sequence[str] = (),
        no_feedback: frozenset[str] = frozenset(),
        lateness: Sequence[Lateness] = (),
        canaries: Mapping[str, Terms] | None = None,
        slice_seconds: float = HOUR,
    ) -> None:
        self._judge = Judge(rules, transactional=transactional, no_feedback=no_feedback, canaries=canaries)
        self._canaried = frozenset(canaries or ())
        self._allowance = allowance
        self._lateness = lateness
        self._slice = slice_seconds
        self._shut: list[Gate] = []  # gates that are not open
        self._open: dict[Key, Finding] = {}
        self._runs: dict[Key, CanaryRun] = {}
        self._telling: dict[Key, Told] = {}
        self._hours: dict[tuple[Traffic, int], _Hour] = {}
        self._waiting: set[tuple[Traffic, int]] = set()
        self._rests: Counter[CounterKey] = Counter()
        self._used: Counter[tuple[str, int]] = Counter()
        self._day = 0
        self._last = 0.0
        self.findings: list[Finding] = []
        self.canaries: list[CanaryRun] = []
        self.told: list[Told] = []
        self.messages = 0

    def take(self, at: float, deltas: Mapping[CounterKey, int]) -> None:
        """Counts of the slice that ends at `at`."""
        self._pass_time(at - self._slice)
        if day_of(at) != self._day:
            self._next_day(at)
        attempts = {k: n for k, n in deltas.items() if k.metric == Metric.ATTEMPTED}
        self._begin_canaries(attempts, at)
        kept: Counter[CounterKey] = Counter()
        for key, n in attempts.items():
            self.messages += n
            kept[key] += self._admit(key, n, at)
        for key, n in deltas.items():
            if key.metric != Metric.ATTEMPTED:
                for now_under, rest in self._of_sent(key, n):
                    kept[now_under] += rest
        self._decide({key: n for key, n in kept.items() if n > 0}, at)
        self._let_go(at)
        self._last = at

    @property
    def counted(self) -> Mapping[CounterKey, int]:
        """What would have been sent and come of it, of the window."""
        return self._judge.counters

    @property
    def behind_canaries(self) -> int:
        """First attempts that still wait."""
        return sum(self._hours[name].waiting for name in self._waiting)

    def end(self) -> None:
        """No more comes: what is still closed keeps `until` 0."""
        self._open.clear()

    # --- time without mail -------------------------------------------------------------------------------------------
    def _pass_time(self, until: float) -> None:
        """Gates move by time alone, also where no mail comes."""
        if not self._last or not (self._shut or self._telling):
            return
        at = max(self._last + self._slice, until - MOST_LOOKS * self._slice)
        while at <= until:
            self._decide({}, at)
            self._let_go(at)
            at += self._slice

    def _next_day(self, at: float) -> None:
        self._day = day_of(at)
        self._judge.forget(at)
        if self._lateness:
            self._judge.set_envelopes(fit(self._lateness, at))
        oldest, hour = cohort_of(at - self._judge.window_days * DAY), cohort_of(at) - 2
        self._hours = {
            k: h for k, h in self._hours.items() if k[1] >= hour or (k[1] >= oldest and h.admitted < h.attempted)
        }
        self._waiting &= self._hours.keys()
        self._rests = Counter(
            {k: n for k, n in self._rests.items() if (k.attribution.traffic, k.attribution.cohort) in self._hours}
        )
        alive = {found[:2] for gate in self._shut if (found := self._allowance(gate, at)) is not None}
        self._used = Counter({key: n for key, n in self._used.items() if key in alive})

    # --- what would have been held -----------------------------------------------------------------------------------
    def _begin_canaries(self, attempts: Mapping[CounterKey, int], at: float) -> None:
        if not self._canaried:
            return
        known = self._judge.canaries
        for key in attempts:
            traffic = key.attribution.traffic
            if traffic.stream in self._canaried and traffic.campaign:
                known.meet(traffic.stream, traffic.campaign)
        self._settle(Moves(gates=known.moves(self._judge.gates, at)), at)

    def _admit(self, key: CounterKey, n: int, at: float) -> int:
        """How many of these first attempts the gates would have let through."""
        traffic, cohort = key.attribution.traffic, key.attribution.cohort
        hour = self._hours.get((traffic, cohort))
        if hour is None:
            hour = self._hours[traffic, cohort] = _Hour()
        hour.attempted += n
        room, slice_left, holder = n, n, None
        bounds = []
        for gate in self._shut:
            if not gate.scope.covers(traffic):
                continue
            bound = self._allowance(gate, at)
            left = 0 if gate.state in _CLOSED or bound is None else max(0, bound[2] - self._used[bound[:2]])
            bounds += [bound[:2]] if bound else []
            if gate.rule == CANARY:
                slice_left = min(slice_left, left)
                continue
            room = min(room, left)
            if left < n:
                found = self._open.get((gate.scope.key, gate.rule))
                if found is not None and (holder is None or found.at < holder.at):
                    holder = found
        sent = min(room, slice_left)
        for bound_key in bounds:
            self._used[bound_key] += sent
        hour.admitted += sent
        if room > sent:
            hour.waiting += room - sent
            self._waiting.add((traffic, cohort))
        if holder is not None and n > room:
            hour.by = holder
            self._told_held(holder, Metric.ATTEMPTED, n - room)
            holder.held += n - room
        return sent

    def _of_sent(self, key: CounterKey, n: int) -> list[tuple[CounterKey, int]]:
        """These later events as far as they belong to mail that would have been sent; the rest is spared or waits."""
        under = key.attribution
        hour = self._hours.get((under.traffic, under.cohort))
        if hour is None or hour.admitted == hour.attempted:
            return [(key, n)]
        # whole events: what is left of one is carried to the next of the same key
        exact = n * _PART * (hour.attempted - hour.admitted) // hour.attempted + self._rests[key]
        behind = min(n, exact // _PART)
        self._rests[key] = exact - behind * _PART
        found = [(key, n - behind)]
        waiting = behind * hour.waiting // (hour.attempted - hour.admitted)
        if waiting and hour.sent_at:
            found += self._of_sent(_moved(key, hour.sent_at), waiting)
        elif waiting:
            hour.later[key.metric] += waiting
        if hour.by is not None and behind > waiting:
            self._told_held(hour.by, key.metric, behind - waiting)
        return found

    def _told_held(self, found: Finding, metric: str, n: int) -> None:
        found.spared[metric] = found.spared.get(metric, 0) + n
        signal = SIGNALS[self._judge.rules[found.rule].signal]
        found.bad += n if metric in signal.bad else 0
        found.total += n if metric in signal.total else 0

    # --- canaries ----------------------------------------------------------------------------------------------------
    def _let_go(self, at: float) -> None:
        """Mail whose canary opened goes now, as far as other gates let it."""
        if not self._waiting:
            return
        shut = [gate for gate in self._shut if gate.rule == CANARY]
        for name in sorted(self._waiting):
            traffic, cohort = name
            if name not in self._waiting or any(gate.scope.covers(traffic) for gate in shut):
                continue
            self._waiting.discard(name)
            hour = self._hours[name]
            hour.sent_at = cohort_of(at)
            first = CounterKey(
                attribution=Attribution(traffic=traffic, cohort=hour.sent_at), metric=Metric.ATTEMPTED
            )  # fmt: skip
            if hour.sent_at == cohort:  # a canary of less than an hour
                hour.admitted, n, hour.waiting = hour.admitted + hour.waiting, hour.waiting, 0
                kept = {first: n}
            else:
                kept = {first: self._admit(first, hour.waiting, at)}
            for metric, n in hour.later.items():
                for key, rest in self._of_sent(replace(first, metric=metric), n):
                    kept[key] = kept.get(key, 0) + rest
            hour.later.clear()
            self._decide({key: n for key, n in kept.items() if n > 0}, at)

    def _take_over(self, found: Finding, gate: Gate) -> None:
        """A rule closed a gate over mail that waits behind a canary: from here on that gate holds it."""
        for name in [name for name in self._waiting if gate.scope.covers(name[0])]:
            hour = self._hours[name]
            hour.by = hour.by or found
            hour.by.held += hour.waiting
            self._told_held(hour.by, Metric.ATTEMPTED, hour.waiting)
            for metric, n in hour.later.items():
                self._told_held(hour.by, metric, n)
            hour.later.clear()
            hour.waiting = 0
            self._waiting.discard(name)

    # --- judging -----------------------------------------------------------------------------------------------------
    def _decide(self, deltas: Mapping[CounterKey, int], at: float) -> None:
        moves = self._judge.decide(self._judge.take(deltas), at)
        self._settle(moves, at)
        for _ in range(MOST_AT_ONCE):  # the service looks again at once: a part that was slowed may close
            if not moves.gates:
                break
            moves = self._judge.decide(set(), at)
            self._settle(moves, at)

    def _settle(self, moves: Moves, at: float) -> None:
        self._judge.settle(moves)
        if moves.gates:
            self._shut = [gate for gate in self._judge.gates.values() if gate.state is not GateState.OPEN]
        for gate, event in moves.gates:
            if gate.rule == CANARY:
                self._note_canary(gate, at)
            else:
                self._note(gate, event, at)
        for told in moves.told:
            self._note_told(told)

    def _note(self, gate: Gate, event: GateChanged, at: float) -> None:
        name = (gate.scope.key, gate.rule)
        found = self._open.get(name)
        if gate.state is GateState.OPEN:
            if found is not None:
                found.until = at
                del self._open[name]
            return
        evidence = event.evidence or gate.evidence
        if found is None and evidence is not None and len(self.findings) < MOST_FINDINGS:
            found = self._open[name] = Finding(
                rule=gate.rule, scope=gate.scope.key, at=at, state=gate.state, evidence=evidence,
                threshold=self._judge.rules[gate.rule].threshold, spared={}, closings=int(gate.state in _CLOSED),
            )  # fmt: skip
            self.findings.append(found)
        elif found is not None and gate.state in _CLOSED:
            if found.closings == 0:  # it was only slowed until now
                found.state, found.evidence = gate.state, evidence or found.evidence
            found.closings += 1
        if found is not None and gate.state in _CLOSED and self._waiting:
            self._take_over(found, gate)

    def _note_canary(self, gate: Gate, at: float) -> None:
        name = (gate.scope.key, gate.rule)
        run = self._runs.get(name)
        if run is None and gate.state is not GateState.OPEN and len(self.canaries) < MOST_FINDINGS:
            run = self._runs[name] = CanaryRun(scope=gate.scope.key, at=at, slice=gate.limit)
            self.canaries.append(run)
        elif run is not None and gate.state is GateState.OPEN:
            run.until = at
            run.waited = sum(self._hours[name].waiting for name in self._waiting if gate.scope.covers(name[0]))
            del self._runs[gate.scope.key, gate.rule]

    def _note_told(self, event: RuleChanged) -> None:
        name = (event.scope.key, event.rule)
        if event.firing and len(self.told) < MOST_FINDINGS:
            told = Told(
                rule=event.rule, scope=event.scope.key, action=event.action, at=event.at, evidence=event.evidence
            )  # fmt: skip
            self._telling[name] = told
            self.told.append(told)
        elif (known := self._telling.pop(name, None)) is not None:
            known.until = event.at


def _moved(key: CounterKey, cohort: int) -> CounterKey:
    return replace(key, attribution=replace(key.attribution, cohort=cohort))
