"""The monitor of a fast simulation: the service's rules and guard over one lane, asked only where they could speak.

Contract: a rule is asked when something bad came and some span of days could hold evidence, by a bound that
no e-value passes (monitor.evidence.log_e_rate_bound): below it the answer is known.
Each look for campaigns, every six hours for standing rules while they are calm.  A closed gate is asked when mail or
reports came for it, or when its time is up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from config.rules import GATING
from config.tables import Rule
from core.events import GateChanged, GateState, RuleChanged
from core.lane import HOUR, Attribution, Campaign, Lane, Stream, Traffic, cohort_of, day_of
from core.metrics import Metric
from core.state import CounterKey, Gate
from monitor import guard
from monitor.delays import HORIZON, LEAST, LOOK_BACK, Lateness, fit
from monitor.evidence import log_e_rate_bound
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
        # metric → the signals that it is bad for, and those whose mail it counts as
        self._marks: dict[str, tuple[tuple[tuple[str, int, int], ...], tuple[RuleTally, ...]]] = {}
        self._index = {t.rule.name: index for index, t in enumerate(self._tallies)}
        self._standing = {t.rule.signal for t in self._tallies if t.standing}
        self._by_signal: dict[str, list[tuple[int, RuleTally]]] = {
            name: [(index, t) for index, t in enumerate(self._tallies) if t.rule.signal == name]
            for name in self._signals
        }
        self._least = [_least_evidence(t.rule) for t in self._tallies]
        self._waiting: dict[tuple[int, int, str], int] = {}
        # signal → campaign day → [bad, total]
        self._cells: dict[str, dict[int, list[int]]] = {name: {} for name in self._signals}
        self._hot: set[tuple[str, int]] = set()
        self._gates: dict[tuple[str, str], Gate] = {}
        self._day = 0
        self._asked = 0.0
        self._news = 0  # counts so far
        self._judged: dict[tuple[int, str], int] = {}  # a closed gate → the counts at its last look
        self._lane = lane_of(provider)
        self._findings = Findings()
        self._reports: list[Lateness] = []  # cohorts rise, but for those that are late
        self._fitted_at = 0.0
        self.shut: tuple[Gate, ...] = ()
        self.said: list[GateChanged | RuleChanged] = []

    def add(self, counts: Mapping[str, int], campaign: int, cohort: int) -> None:
        """Count."""
        waiting, cells = self._waiting, self._cells
        for metric, n in counts.items():
            if not n:
                continue
            key = (campaign, cohort, metric)
            waiting[key] = waiting.get(key, 0) + n
            for name, bad, total in self._marks_of(metric)[0]:
                cell = cells[name].get(campaign)
                if cell is None:
                    cell = cells[name][campaign] = [0, 0]
                cell[1] += total * n
                if bad:
                    cell[0] += n
                    self._hot.add((name, campaign))
        self._news += 1

    def _marks_of(self, metric: str) -> tuple[tuple[tuple[str, int, int], ...], tuple[RuleTally, ...]]:
        """(signals that count it, tallies that do)."""
        found = self._marks.get(metric)
        if found is None:
            marks = tuple(
                (name, int(metric in signal.bad), int(metric in signal.total))
                for name, signal in self._signals.items()
                if metric in signal.bad or metric in signal.total
            )
            names = {name for name, _, _ in marks}
            tallies = tuple(t for t in self._tallies if t.rule.signal in names or metric == Metric.ATTEMPTED)
            found = self._marks[metric] = marks, tallies
        return found

    def reported(self, cohort: int, at: float) -> None:
        """A complaint came: from these the provider's delay is fitted, as the service does."""
        self._reports.append(Lateness(provider=str(self._lane.provider), cohort=cohort, at=at))

    def look(self, now: float) -> list[GateChanged]:
        """Move the gates.  Good mail alone raises no evidence, and a rate below every threshold none either."""
        standing = now >= self._asked + STANDING
        self._asked = now if standing else self._asked
        if not self._hot and not self.shut and not self._findings.firing:
            return []
        asked: set[tuple[int, str]] = set()
        weighed: set[int] = set()  # standing rules: one look at their days is enough, whichever campaign was hot
        for name, campaign in self._hot:
            traffic = self._traffic(campaign)
            for index, tally in self._by_signal[name]:
                if tally.standing:
                    if not standing or index in weighed:
                        continue
                    weighed.add(index)
                scope = tally.scope_of(traffic)
                if scope is not None and self._could_tell(index, scope.key, campaign):
                    asked.add((index, scope.key))
        if standing:
            self._hot.clear()
        else:  # what a campaign's rule was asked about is answered until something else comes
            self._hot = {(name, campaign) for name, campaign in self._hot if name in self._standing}
        for gate in self.shut:
            place = (self._index[gate.rule], gate.scope.key)
            closed = gate.state is GateState.PAUSED and 0 < now < gate.until
            if not closed or self._judged.get(place) != self._news:
                asked.add(place)
                self._judged[place] = self._news
        for told in self._findings.firing:
            index = self._index[told.rule]
            if now - told.at >= self._tallies[index].rule.recovery_hours * HOUR:
                asked.add((index, told.scope.key))
            else:  # it cannot be over yet, and is told already
                asked.discard((index, told.scope.key))
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

    def _could_tell(self, index: int, scope: str, campaign: int) -> bool:
        rule, least = self._tallies[index].rule, self._least[index]
        if self._tallies[index].envelopes and SIGNALS[rule.signal].feedback:
            least = 0.0  # late reports weigh more than their share of the mail: no bound is known
        if (scope, rule.name) in self._gates:
            least = 0.0  # it counts from a new epoch, which may lie within a day: asked as soon as the rate is above
        cells = self._cells[rule.signal]
        if "campaign" in rule.by:
            bad, total = cells[campaign]
            return bad >= rule.minimum_bad and bad > rule.threshold * total and _most(bad, total, rule) >= least
        bad = total = 0
        weight = 0.0  # the detector adds up the start days of which the rate is above the threshold
        last = max(cells)
        for day in range(last, max(0, last - rule.window_days - 1), -1):
            if (cell := cells.get(day)) is not None:
                bad, total = bad + cell[0], total + cell[1]
                if bad > rule.threshold * total:
                    weight += _most(bad, total, rule)
                    if weight >= least and bad >= rule.minimum_bad:
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
            for tally in self._marks_of(metric)[1]:
                tally.add(key, n)
        self._waiting.clear()

    def _traffic(self, campaign: int) -> Traffic:
        return traffic_of(self._lane, campaign)


def _least_evidence(rule: Rule) -> float:
    """The evidence below which a rule surely says nothing."""
    if rule.evidence == "window":
        return 0.0
    return min(rule.warn_at, 1 / rule.false_alarm_chance if "campaign" in rule.by else rule.false_alarm_days)


def _most(bad: int, total: int, rule: Rule) -> float:
    """No e-value of these counts is larger."""
    return math.exp(min(700.0, log_e_rate_bound(bad, total, rule.threshold)))
