"""Fitted reporting delays lie above the true ones, and make late complaints count sooner."""

from __future__ import annotations

import math
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from core.lane import HOUR
from core.metrics import Metric
from core.state import CounterKey
from monitor.delays import AGES, HORIZON, LEAST, Lateness, fit, median_hours, upper_share
from monitor.rules import Level, RuleTally
from tests.unit.monitor.world import NOON, rule, under

NOW = NOON


def reports(count: int, mean_hours: float, *, seed: int = 1, provider: str = "yahoo") -> list[Lateness]:
    rng, first = Random(seed), int(NOW // HOUR) - 1400
    found = []
    for _ in range(count):
        cohort = first + rng.randrange(1100)
        at = (cohort + rng.random() + rng.expovariate(1 / mean_hours)) * HOUR
        found.append(Lateness(provider=provider, cohort=cohort, at=at))
    return found


def test_the_envelope_lies_above_the_true_delays_at_every_age() -> None:
    short = 0
    for seed in range(60):
        envelope = fit(reports(300, 24.0, seed=seed), NOW)["yahoo"]
        # the age of a report counts from its cohort's beginning, at most an hour before it was sent
        short += any(envelope.share(age) < 1 - math.exp(-max(0.0, age - 1) / 24) for age in range(1, HORIZON))
    assert short <= 8  # 5 % are allowed; more than 8 of 60 would come once in a hundred times


def test_many_reports_give_an_envelope_near_the_truth() -> None:
    envelope = fit(reports(5000, 24.0), NOW)["yahoo"]
    assert 12 <= median_hours(envelope) <= 20
    assert envelope.share(24) < 0.7


def test_few_reports_give_none_and_young_ones_do_not_count() -> None:
    assert fit(reports(LEAST - 1, 24.0), NOW) == {}
    young = [Lateness(provider="yahoo", cohort=int(NOW // HOUR) - 5, at=NOW) for _ in range(500)]
    assert fit(young, NOW) == {}


def test_a_provider_that_reports_at_once_is_judged_at_once() -> None:
    envelope = fit(reports(200, 0.001), NOW)["yahoo"]
    assert envelope.share(2) == 1.0


@given(st.integers(0, 400), st.integers(1, 400))
def test_the_bound_is_above_the_share_and_holds_its_chance(hits: int, total: int) -> None:
    hits = min(hits, total)
    bound = upper_share(hits, total, 0.01)
    assert hits / total <= bound <= 1.0
    if hits < total and hits < 60:  # so few hits or fewer must be rare at the bound
        below = sum(math.comb(total, k) * bound**k * (1 - bound) ** (total - k) for k in range(hits + 1))
        assert below <= 0.0101


def test_a_rule_over_all_providers_weighs_each_by_its_own_delay() -> None:
    late = rule(name="c", signal="complaint_rate", by=["stream"], threshold=0.001)
    plain, aware = RuleTally(late), RuleTally(late, envelopes=fit(reports(2000, 48.0), NOW))
    cohort = int(NOW // HOUR) - 3
    for tally in (plain, aware):
        tally.add(CounterKey(attribution=under(cohort * HOUR), metric=Metric.DELIVERED), 4000)
        tally.add(CounterKey(attribution=under(cohort * HOUR), metric=Metric.COMPLAINED), 7)
    (scope,) = plain.scopes()
    before, after = (tally.verdict(scope, None, NOW) for tally in (plain, aware))
    assert before.level is Level.QUIET
    assert after.level is Level.ALARM
    assert (after.counted_bad, after.counted_total) == (7, 4000)


def test_ages_rise() -> None:
    assert list(AGES) == sorted(set(AGES))
    assert AGES[-1] < HORIZON
