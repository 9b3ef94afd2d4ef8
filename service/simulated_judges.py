"""The monitor of a fast simulation: the service's rules and guard over one lane, asked only where they could speak.

Contract: a rule is asked when something bad came and some span of days holds more of it than its threshold allows, for
below that no evidence can arise; each look for campaigns, every six hours for standing rules while they are calm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from config.rules import GATING
from config.tables import Rule
from core.events import GateChanged, GateState, RuleChanged
from core.lane import HOUR, Attribution, Campaign, Lane, Stream, Traffic, cohort_of, day_of
from core.state import CounterKey, Gate
from monitor import guard
from monitor.delays import HORIZON, LEAST, LOOK_BACK, Lateness, fit
from monitor.findings import Findings
from monitor.findings import step as step_finding
from monitor.rules import RuleTally
from monitor.signals import SIGNALS
from service.simulate import SETTINGS, STREAM, lane_of

STANDING = 6 * HOUR
FIT_EVERY = 24 * HOUR  # the service fits four times a day; a day old picture differs by little, and costs a quarter


@lru_cache(maxsize=4096)
def traffic_of(lane: Lane, campaign: int) -> Traffic:
    """The mail of one day."""
    return Traffic(lane=lane, stream=Stream(STREAM), campaign=Campaign(f"day-{campaign:03d}"))


class Judges:
    """The rules over this lane's mail; they are asked only where the counts could say something."""

    def __init__(self, rules: Sequence[Rule], silent: bool, provider: str) -> None:
        hidden = frozenset({provider}) if silent else frozenset()
        self._tallies = [
            RuleTally(rule, transactional=SETTINGS.transactional, no_feedback=hidden)
            for rule in rules
            if rule.action != "alert" and rule.signal in SIGNALS and not (silent and SIGNALS[rule.signal].feedback)
        ]  # fmt: skip
        self._signals = {t.rule.signal: SIGNALS[t.rule.signal] for t in self._tallies}
        self._waiting: dict[tuple[int, int, str], int] = {}
        # signal → campaign day → [bad, total]
        self._cells: dict[str, dict[int, list[int]]] = {name: {} for name in self._signals}
        self._hot: set[tuple[str, int]] = set()
        self._gates: dict[tuple[str, str], Gate] = {}
        self._day = 0
        self._asked = 0.0
        self._lane = lane_of(provider)
        self._findings = Findings()
        self._reports: list[Lateness] = []  # cohorts rise, but for those that are late
        self._fitted_at = 0.0
        self.shut: tuple[Gate, ...] = ()
        self.said: list[GateChanged | RuleChanged] = []

    def add(self, counts: Mapping[str, int], campaign: int, cohort: int) -> None:
        """Count."""
        for metric, n in counts.items():
            if n:
                key = (campaign, cohort, metric)
                self._waiting[key] = self._waiting.get(key, 0) + n
        for name, signal in self._signals.items():
            cell = self._cells[name].setdefault(campaign, [0, 0])
            cell[1] += sum(counts.get(metric, 0) for metric in signal.total)
            if bad := sum(counts.get(metric, 0) for metric in signal.bad):
                cell[0] += bad
                self._hot.add((name, campaign))

    def reported(self, cohort: int, at: float) -> None:
        """A complaint came: from these the provider's delay is fitted, as the service does."""
        self._reports.append(Lateness(provider=str(self._lane.provider), cohort=cohort, at=at))

    def look(self, now: float) -> list[GateChanged]:
        """Move the gates.  Good mail alone raises no evidence, and a rate below every threshold none either."""
        standing = now >= self._asked + STANDING
        self._asked = now if standing else self._asked
        asked: set[tuple[int, str]] = {
            (index, scope.key)
            for name, campaign in self._hot
            for index, tally in enumerate(self._tallies)
            if tally.rule.signal == name
            and (standing or not tally.standing)
            and self._could_tell(tally.rule, campaign)
            and (scope := tally.scope_of(self._traffic(campaign))) is not None
        }
        if standing:
            self._hot.clear()
        for index, tally in enumerate(self._tallies):
            asked |= {(index, gate.scope.key) for gate in self.shut if gate.rule == tally.rule.name}
            asked |= {(index, told.scope.key) for told in self._findings.firing if told.rule == tally.rule.name}
        if not asked:
            return []
        self._fit(now)
        self._flush(now)
        moved: list[GateChanged] = []
        for index, key in sorted(asked):
            tally = self._tallies[index]
            if tally.rule.action not in GATING:
                self._find(tally, key, now)
                continue
            stored = self._gates.get((key, tally.rule.name))
            scope = tally.scope(key) or (stored.scope if stored else None)
            if scope is None:
                continue
            step = guard.step(stored or guard.first(tally.rule.name, scope), tally.verdict(scope, stored, now), now)
            if step is not None:
                self._gates[key, tally.rule.name] = step[0]
                moved.append(step[1])
        self.said += moved
        if moved:
            self.shut = tuple(gate for gate in self._gates.values() if gate.state is not GateState.OPEN)
        return moved

    def _find(self, tally: RuleTally, key: str, now: float) -> None:
        """A rule without a gate: what it begins to find, and what is over."""
        last = self._findings.last(key, tally.rule.name)
        scope = tally.scope(key) or (last.scope if last else None)
        event = None if scope is None else step_finding(last, tally.verdict(scope, last, now), tally, now)
        if event is not None:
            self._findings.note(event)
            self.said.append(event)

    def _could_tell(self, rule: Rule, campaign: int) -> bool:
        cells = self._cells[rule.signal]
        if "campaign" in rule.by:
            bad, total = cells[campaign]
            return bad >= rule.minimum_bad and bad > rule.threshold * total
        bad = total = 0
        for day in range(max(cells), max(0, max(cells) - rule.window_days - 1), -1):
            if (cell := cells.get(day)) is not None:
                bad, total = bad + cell[0], total + cell[1]
                if bad >= rule.minimum_bad and bad > rule.threshold * total:
                    return True
        return False

    def _fit(self, now: float) -> None:
        if now < self._fitted_at + FIT_EVERY or len(self._reports) < LEAST:
            return
        self._fitted_at = now
        oldest = cohort_of(now) - HORIZON - LOOK_BACK
        self._reports = [report for report in self._reports if report.cohort >= oldest]
        envelopes = fit(self._reports, now)
        for tally in self._tallies:
            tally.envelopes = envelopes

    def _flush(self, now: float) -> None:
        if day_of(now) != self._day:
            self._day = day_of(now)
            for tally in self._tallies:
                tally.forget(now)
        for (campaign, cohort, metric), n in self._waiting.items():
            attribution = Attribution(traffic=self._traffic(campaign), cohort=cohort)
            key = CounterKey(attribution=attribution, metric=metric)
            for tally in self._tallies:
                tally.add(key, n)
        self._waiting.clear()

    def _traffic(self, campaign: int) -> Traffic:
        return traffic_of(self._lane, campaign)
