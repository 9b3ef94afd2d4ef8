"""The judge: counts of the window, gates and findings, and what new counts and the time do to them.  Pure.

Contract: one picture, used by the running monitor (monitor.projector) and by the back-test (monitor.backtest), so that
both decide the same.  `take` counts; `decide` says which gates move and what rules without a gate find, and changes
nothing that is stored; `settle` takes over what was decided.  Asking `decide` twice gives the same.  A gate also moves
by time alone.  Gates of blocklists (monitor.listing) and of persons (monitor.operator) are not the judge's to move,
except that a person's pause lapses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from config.rules import GATING
from config.tables import Rule
from core.causes import Cause, Why
from core.events import Event, GateChanged, GateState, RuleChanged
from core.lane import DAY, Scope, Traffic, cohort_of, day_of
from core.state import CANARY, CounterKey, Gate
from monitor import guard, listing, operator
from monitor.canary import Canaries, Terms
from monitor.evidence import DelayEnvelope
from monitor.findings import Findings
from monitor.findings import step as step_finding
from monitor.narrowing import close_parts, narrow_scopes
from monitor.rules import Level, RuleTally, Verdict
from monitor.samples import Samples
from monitor.signals import SIGNALS

Key = tuple[str, str]  # scope key, rule
MOST_WAYS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What was decided: gates with their events, and what rules without a gate tell."""

    gates: Sequence[tuple[Gate, GateChanged]] = ()
    told: Sequence[RuleChanged] = ()


class Judge:
    """See the module.  `no_feedback`: providers without complaint reports ('other': unknown providers)."""

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        transactional: Sequence[str] = (),
        no_feedback: frozenset[str] = frozenset(),
        envelopes: Mapping[str, DelayEnvelope] | None = None,
        canaries: Mapping[str, Terms] | None = None,
    ) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self._transactional = transactional
        self._no_feedback = no_feedback
        self.envelopes: Mapping[str, DelayEnvelope] = envelopes or {}
        self.canaries = Canaries(canaries or {})
        self.gates: dict[Key, Gate] = {}
        self.loud: dict[Key, Verdict] = {}
        self.begin()

    def begin(self, told: Iterable[RuleChanged] = ()) -> None:
        """With no counts and no gates; `told` is what the log says of rules without a gate, oldest first."""
        self.tallies = {
            name: RuleTally(
                rule,
                transactional=self._transactional,
                no_feedback=self._no_feedback,
                envelopes=self.envelopes,
            )
            for name, rule in self.rules.items()
            if rule.signal in SIGNALS
        }
        self._asking: dict[str, list[tuple[str, RuleTally, bool]]] = {}
        self._ways: dict[tuple[Traffic, str], list[tuple[RuleTally, Scope, Key, bool]]] = {}
        self.counters: Counter[CounterKey] = Counter()
        self.samples = Samples()
        self.findings = Findings(told)
        self.loud.clear()
        self.canaries.clear()

    @property
    def window_days(self) -> int:
        """The longest window of the rules."""
        return max((rule.window_days for rule in self.rules.values()), default=1)

    def set_envelopes(self, envelopes: Mapping[str, DelayEnvelope]) -> None:
        """From now on judge by these reporting delays."""
        self.envelopes = envelopes
        for tally in self.tallies.values():
            tally.envelopes = envelopes

    def take(self, deltas: Mapping[CounterKey, int]) -> set[Key]:
        """Count; every scope whose verdict may have changed."""
        touched: set[Key] = set()
        counters, loud = self.counters, self.loud
        for key, n in deltas.items():
            counters[key] += n
            self.canaries.count(key, n)
            under, metric = key.attribution, key.metric
            way = (under.traffic, metric)
            ways = self._ways.get(way)
            if ways is None:
                if len(self._ways) > MOST_WAYS:
                    self._ways.clear()
                ways = self._ways[way] = self._find_ways(under.traffic, metric)
            for tally, scope, name, asks in ways:
                tally.count(scope, name[0], under, metric, n)
                if asks or name in loud:  # good mail calms what was loud
                    touched.add(name)
        return touched

    def _find_ways(self, traffic: Traffic, metric: str) -> list[tuple[RuleTally, Scope, Key, bool]]:
        """Who counts this metric of this traffic, under what, and whether evidence may rise by it."""
        found = []
        for name, tally in self.tallies.items():
            counts_as = tally.metrics.get(metric)
            scope = tally.scope_of(traffic) if counts_as else None
            if counts_as and scope is not None:
                # good mail alone raises no evidence, but it fills a fixed window
                asks = counts_as[0] or tally.rule.evidence == "window"
                found.append((tally, scope, (scope.key, name), asks))
        return found

    def note(self, events: Iterable[Event]) -> None:
        """What counts do not say: samples for people, campaigns that begin, what rules told."""
        for event in events:
            self.samples.keep(event, self.tallies)
            self.canaries.note(event)
            if isinstance(event, RuleChanged):
                self.findings.note(event)

    def decide(self, touched: set[Key], now: float) -> Moves:
        """See the module.  `touched` is given what is counted apart from now on."""
        touched |= self._keep_apart(now)
        return Moves(gates=self._judge(touched, now), told=self._tell(touched, now))

    def settle(self, moves: Moves) -> None:
        """Take over what was decided."""
        for gate, _ in moves.gates:
            self.gates[gate.scope.key, gate.rule] = gate
        for finding in moves.told:
            self.findings.note(finding)

    def forget(self, now: float) -> None:
        """Drop what lies before the windows.  Once a day."""
        for tally in self.tallies.values():
            tally.forget(now)
        oldest = cohort_of((day_of(now) - self.window_days) * DAY)
        for key in [key for key in self.counters if key.attribution.cohort < oldest]:
            del self.counters[key]
        alive = {(s.key, name) for name, t in self.tallies.items() for s in t.scopes()}
        self.samples.forget(alive)
        self.loud = {key: verdict for key, verdict in self.loud.items() if key in alive}

    def _keep_apart(self, now: float) -> set[Key]:
        """The parts that gates of theirs judge, as the gates now stand; what has other counts for it."""
        changed: set[Key] = set()
        for name, tally in self.tallies.items():
            before = tally.apart
            wanted = narrow_scopes(self.gates.values(), tally.rule, now)
            changed |= {(key, name) for key in tally.keep_apart(wanted, self.counters)}
            if tally.apart is not before:
                self._ways.clear()
        return changed

    def _judge(self, touched: set[Key], now: float) -> list[tuple[Gate, GateChanged]]:
        """Moves of every gate that new counts or the time may have changed."""
        moves = [(gate, self._of_slice(event, now)) for gate, event in self.canaries.moves(self.gates, now)]
        asked, held = set(touched), operator.held_open(self.gates.values(), now)
        for key, gate in self.gates.items():
            if gate.rule in (listing.RULE, CANARY):
                continue  # the watch of blocklists moves the one, monitor.canary the other
            if gate.rule == operator.RULE or gate.rule not in self.tallies:
                why = Why.OPERATOR_OVER if gate.rule == operator.RULE else Why.RULE_GONE
                moved = guard.lapse(gate, now, Cause(why=why))
                if moved is not None:
                    moves.append(moved)
            elif gate.state is not GateState.OPEN:
                asked.add(key)
        for scope_key, name in sorted(asked):
            moves += self._judge_one(scope_key, name, held, now)
        return moves

    def _of_slice(self, event: GateChanged, now: float) -> GateChanged:
        """A canary's move with the strongest of what rules over campaigns know of it."""
        seen = [
            tally.verdict(scope, self.gates.get((scope.key, name)), now).evidence
            for name, tally in self.tallies.items()
            if not tally.standing and (scope := tally.scope(event.scope.key)) is not None
        ]
        told = [evidence for evidence in seen if evidence.denominator]
        worst = max(told, key=lambda one: one.e_value / one.limit if one.limit else 0.0, default=None)
        return event if worst is None else replace(event, evidence=worst)

    def _judge_one(
        self, scope_key: str, name: str, held: Sequence[Scope], now: float
    ) -> list[tuple[Gate, GateChanged]]:
        tally, stored = self.tallies[name], self.gates.get((scope_key, name))
        scope = tally.scope(scope_key) or (stored.scope if stored else None)
        if scope is None:
            return []
        verdict = tally.verdict(scope, stored, now)
        if verdict.level is Level.QUIET:
            self.loud.pop((scope_key, name), None)
        else:
            verdict = replace(verdict, evidence=self.samples.with_evidence(verdict.evidence, scope, name))
            self.loud[scope_key, name] = verdict
        parts = close_parts(tally, self.counters, stored, verdict, self.gates, now)
        if parts:
            self.loud.pop((scope_key, name), None)
            # of a part that a person holds open the whole does not suffer either
            return [self._with_samples(scope, *part) for part in parts if not _is_held(part[0].scope, held)]
        if _is_held(scope, held) and (stored is None or stored.state is GateState.OPEN):
            return []
        moved = guard.step(stored or guard.first(name, scope), verdict, now)
        # quiet verdicts move gates too: a probe is judged on little
        return [] if moved is None else [self._with_samples(tally.whole_of(scope), *moved)]

    def _tell(self, touched: set[Key], now: float) -> list[RuleChanged]:
        """What rules without a gate begin to find, and what is over."""
        told = self.findings.without(self.rules, now)
        asked = touched | {(f.scope.key, f.rule) for f in self.findings.firing}
        for scope_key, name in sorted(asked):
            tally, last = self.tallies.get(name), self.findings.last(scope_key, name)
            if tally is None or tally.rule.action in GATING:
                continue
            scope = tally.scope(scope_key) or (last.scope if last else None)
            if scope is None:
                continue
            event = step_finding(last, tally.verdict(scope, last, now), tally, now)
            if event is not None:
                if event.firing and event.evidence is not None:
                    event = replace(event, evidence=self.samples.with_evidence(event.evidence, scope, name))
                told.append(event)
        return told

    def _with_samples(self, whole: Scope, gate: Gate, event: GateChanged) -> tuple[Gate, GateChanged]:
        if event.evidence is None or event.evidence.samples or not event.evidence.numerator:
            return gate, event
        evidence = self.samples.with_evidence(event.evidence, gate.scope, gate.rule, whole)
        return replace(gate, evidence=evidence), replace(event, evidence=evidence)


def _is_held(scope: Scope, held: Sequence[Scope]) -> bool:
    return any(operator.is_part(scope, whole) for whole in held)
