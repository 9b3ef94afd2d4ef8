"""Every shipped rule over weeks of virtual time: healthy mail is left alone, bad mail meets the rule's own action.

The real tallies, guard and findings are asked every hour about drawn mail; time is a number that the test moves.
"""

from __future__ import annotations

from random import Random

import pytest

from config.load import load_rules
from config.rules import GATING, Rule
from core.events import GateChanged, GateState, RuleChanged
from core.lane import DAY, HOUR, Attribution, cohort_of
from core.metrics import Metric
from core.state import CounterKey, Gate
from monitor import findings, guard
from monitor.rules import RuleTally
from monitor.signals import SIGNALS
from service.simulate import SETTINGS
from tests.unit.monitor.world import NOON, traffic

RULES = [rule for rule in load_rules(SETTINGS) if rule.signal in SIGNALS]
START = NOON - NOON % DAY
AN_HOUR = 400


class Stream:
    """One scope's mail under one rule, hour by hour."""

    def __init__(self, rule: Rule, seed: int = 1) -> None:
        self.rule = rule
        self.tally = RuleTally(rule)
        self.rng = Random(f"{rule.name} {seed}")
        self.gate: Gate | None = None
        self.last: RuleChanged | None = None
        self.moves: list[GateChanged | RuleChanged] = []
        self.now = START

    def hours(self, count: int, rate: float, an_hour: int = AN_HOUR) -> None:
        """So much mail at this true rate."""
        signal = SIGNALS[self.rule.signal]
        for _ in range(count):
            bad = sum(self.rng.random() < rate for _ in range(an_hour))
            under = Attribution(traffic=traffic(campaign="june"), cohort=cohort_of(self.now))
            if signal.bad[0] is Metric.SEED_SPAM:  # its denominator counts it too
                self._add(under, Metric.SEED_INBOX, an_hour - bad)
            else:
                self._add(under, signal.total[0], an_hour)
            self._add(under, signal.bad[0], bad)
            self.now += HOUR
            self._judge()

    def _add(self, under: Attribution, metric: Metric, n: int) -> None:
        if n:
            self.tally.add(CounterKey(attribution=under, metric=metric), n)

    def _judge(self) -> None:
        scope = self.tally.scopes()[0]
        at = self.now - 1
        if self.rule.action in GATING:
            gate = self.gate or guard.first(self.rule.name, scope)
            moved = guard.step(gate, self.tally.verdict(scope, self.gate, at), at)
            if moved is not None:
                self.gate = moved[0]
                self.moves.append(moved[1])
        else:
            told = findings.step(self.last, self.tally.verdict(scope, self.last, at), self.tally, at)
            if told is not None:
                self.last = told
                self.moves.append(told)
        if self.now % DAY == 0:
            self.tally.forget(at)


def listed(rule: Rule) -> Rule:
    """Rules by list source see mail that names one; the mail of this test does not."""
    return rule.model_copy(update={"by": ["provider" if name == "list_source" else name for name in rule.by]})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_three_healthy_weeks_move_nothing(rule: Rule) -> None:
    stream = Stream(listed(rule))
    stream.hours(21 * 24, rule.threshold / 2)
    assert stream.moves == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_bad_mail_after_a_good_week_meets_the_rules_own_action_within_a_day(rule: Rule) -> None:
    stream = Stream(listed(rule))
    # a campaign has no good past: its evidence begins with it
    stream.hours(0 if rule.by_campaign else 7 * 24, rule.threshold / 2)
    stream.hours(24, min(0.95, 4 * rule.threshold))
    assert stream.moves, "nothing happened"
    event = stream.moves[-1]
    assert event.evidence is not None
    assert event.evidence.numerator > rule.threshold * event.evidence.denominator
    assert rule.name in event.reason
    if isinstance(event, RuleChanged):
        assert (event.firing, event.action) == (True, rule.action)
    elif rule.action == "slow":
        assert event.after is GateState.SLOWED
    else:
        assert any(isinstance(m, GateChanged) and m.after is GateState.PAUSED for m in stream.moves)


@pytest.mark.parametrize(
    "rule", [r for r in RULES if r.action not in GATING and not r.by_campaign], ids=lambda rule: rule.name
)
def test_a_finding_ends_when_mail_is_good_again_and_comes_back_with_the_trouble(rule: Rule) -> None:
    stream = Stream(listed(rule))
    stream.hours(24, min(0.95, 4 * rule.threshold))
    stream.hours(int(rule.recovery_hours) + 48, rule.threshold / 4)
    assert [m.firing for m in stream.moves if isinstance(m, RuleChanged)] == [True, False]
    stream.hours(24, min(0.95, 4 * rule.threshold))
    assert [m.firing for m in stream.moves if isinstance(m, RuleChanged)] == [True, False, True]


@pytest.mark.parametrize("rule", [r for r in RULES if r.action == "pause"], ids=lambda rule: rule.name)
def test_a_pause_probes_and_opens_again_once_mail_is_good(rule: Rule) -> None:
    stream = Stream(listed(rule.model_copy(update={"hard_limit": 1.0})))
    stream.hours(24, min(0.95, 4 * rule.threshold))
    stream.hours(14 * 24, rule.threshold / 10)
    states = [m.after for m in stream.moves if isinstance(m, GateChanged)]
    assert GateState.PROBING in states
    assert states[-1] is GateState.OPEN
