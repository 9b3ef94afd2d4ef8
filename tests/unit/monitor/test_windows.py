"""The label of a fixed-window rule tells how often it errs."""

from __future__ import annotations

import math

import pytest

from monitor.windows import false_alarm_chance, false_alarms_a_year
from tests.unit.monitor.world import rule


def test_the_chance_is_the_binomial_tail() -> None:
    window = rule(evidence="window", threshold=0.02, minimum_total=300, minimum_bad=1)
    exact = 1 - sum(math.comb(300, k) * 0.01**k * 0.99 ** (300 - k) for k in range(7))
    assert false_alarm_chance(window) == pytest.approx(exact, rel=1e-6)
    assert false_alarms_a_year(window) == pytest.approx(exact * 365, rel=1e-6)


def test_more_messages_err_less_and_a_rule_that_cannot_act_never_does() -> None:
    small, large = (rule(evidence="window", threshold=0.001, minimum_total=n) for n in (1000, 20_000))
    assert false_alarm_chance(small) > 5 * false_alarm_chance(large) > 0
    assert false_alarm_chance(rule(evidence="window", minimum_bad=99, minimum_total=50)) == 0
