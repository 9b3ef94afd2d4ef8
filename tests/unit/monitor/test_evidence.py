"""Evidence: the published figures, brute-force integration, and the promises about false alarms and speed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evidence import (
    DelayEnvelope,
    exposure_of,
    log_beta_above,
    log_detector,
    log_e_delayed,
    log_e_rate,
    log_e_rate_bound,
    log_gamma_above,
)


def integral(log_f: Callable[[float], float], low: float, high: float, parts: int = 20_000) -> float:
    """log of Simpson's rule in substituted coordinates that crowd towards `low`, where these integrands live."""
    top = -math.inf
    logs: list[float] = []
    for i in range(parts + 1):
        u = i / parts
        x = low + (high - low) * u**3
        weight = 1.0 if i in (0, parts) else (4.0 if i % 2 else 2.0)
        jacobian = 3 * (high - low) * u**2
        value = log_f(x) + math.log(jacobian * weight) if jacobian > 0 and low < x < high else -math.inf
        logs.append(value)
        top = max(top, value)
    return top + math.log(math.fsum(math.exp(v - top) for v in logs) / (3 * parts))


@pytest.mark.parametrize(("bad", "total", "e_value"), [(3, 200, 39), (5, 1000, 25), (8, 2000, 62)])
def test_e_values_at_a_tenth_of_a_percent_are_the_published_ones(bad: int, total: int, e_value: int) -> None:
    assert round(math.exp(log_e_rate(bad, total, 0.001))) == e_value


@pytest.mark.parametrize("p0", [0.001, 0.02, 0.3])
@pytest.mark.parametrize(("bad", "total"), [(0, 0), (0, 50), (3, 200), (5, 5), (40, 1000), (12, 30_000)])
def test_the_e_value_is_the_mixture_integral(bad: int, total: int, p0: float) -> None:
    b = 1 / (4 * p0)

    def prior(t: float) -> float:
        return -0.5 * math.log(t) + (b - 1) * math.log1p(-t)

    def joint(t: float) -> float:
        return prior(t) + bad * math.log(t / p0) + (total - bad) * (math.log1p(-t) - math.log1p(-p0))

    expected = integral(joint, p0, 1.0) - integral(prior, p0, 1.0)
    assert log_e_rate(bad, total, p0) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("p0", [0.001, 0.02])
@pytest.mark.parametrize(("bad", "exposure"), [(0, 0.0), (0, 800.0), (3, 200.0), (9, 1000.5), (40, 20_000.0)])
def test_the_delayed_e_value_is_the_poisson_mixture_integral(bad: int, exposure: float, p0: float) -> None:
    b = 1 / (4 * p0)

    def prior(rate: float) -> float:
        return -0.5 * math.log(rate) - b * rate

    def joint(rate: float) -> float:
        return prior(rate) + bad * math.log(rate / p0) - exposure * (rate - p0)

    high = p0 + 80 * max(p0, (bad + 1) / (b + exposure))
    expected = integral(joint, p0, high) - integral(prior, p0, p0 * 400)
    assert log_e_delayed(bad, exposure, p0) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("a", "b", "x"), [(0.5, 250, 0.001), (3.5, 447, 0.001), (60.5, 10_000, 0.02), (2, 3, 0.9)])
def test_the_incomplete_beta_integral_matches_brute_force(a: float, b: float, x: float) -> None:
    expected = integral(lambda t: (a - 1) * math.log(t) + (b - 1) * math.log1p(-t), x, 1.0)
    assert log_beta_above(a, b, x) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("s", "x"), [(1.0, 3.0), (0.5, 0.25), (3.0, 0.5), (30.0, 25.0), (30.0, 60.0), (5.0, 0.0)])
def test_the_incomplete_gamma_integral_is_exact_where_a_closed_form_exists(s: float, x: float) -> None:
    if s == 0.5:
        expected = math.log(math.sqrt(math.pi) * math.erfc(math.sqrt(x)))
    else:  # whole s: Γ(s) e^-x Σ x^k/k!
        expected = math.lgamma(s) - x + math.log(math.fsum(x**k / math.factorial(k) for k in range(int(s))))
    assert log_gamma_above(s, x) == pytest.approx(expected, abs=1e-12)


def test_counts_of_a_hundred_million_messages_are_no_trouble() -> None:
    assert log_e_rate(100_000, 10**8, 0.001) < 0 < log_e_rate(105_000, 10**8, 0.001)


@given(st.integers(0, 300), st.integers(0, 100_000), st.sampled_from([0.001, 0.02]))
def test_a_rate_at_or_below_the_threshold_is_never_evidence(bad: int, total: int, p0: float) -> None:
    if bad <= p0 * total:
        assert log_e_rate(bad, total, p0) <= 1e-9


@given(st.integers(0, 50), st.integers(1, 5000), st.sampled_from([0.001, 0.02]))
def test_one_more_bad_event_is_more_evidence_and_one_more_good_message_less(bad: int, good: int, p0: float) -> None:
    here = log_e_rate(bad, bad + good, p0)
    assert log_e_rate(bad + 1, bad + good + 1, p0) > here
    assert log_e_rate(bad, bad + good + 1, p0) <= here + 1e-9


def test_reports_that_outrun_the_mail_count_as_if_all_of_it_were_bad() -> None:
    assert log_e_rate(5, 2, 0.02) == log_e_rate(5, 5, 0.02)


@pytest.mark.parametrize(("bad", "total", "p0"), [(-1, 5, 0.1), (1, -5, 0.1), (1, 5, 0.0), (1, 5, 1.0)])
def test_nonsense_is_refused(bad: int, total: int, p0: float) -> None:
    with pytest.raises(ValueError, match="against"):
        log_e_rate(bad, total, p0)


def messages_to_alarm(p0: float, rate: float, rng: random.Random, most: int = 10**9) -> int:
    """First message at which E ≥ 100; E rises at bad events only, so only those are looked at."""
    total = bad = 0
    while total < most:
        total += 1 + int(math.log(1 - rng.random()) / math.log1p(-rate))
        bad += 1
        if total < most and log_e_rate(bad, total, p0) >= math.log(100):
            return total
    return most


@pytest.mark.parametrize(
    ("p0", "rate", "published"),
    [(0.001, 0.003, 3670), (0.001, 0.005, 1260), (0.001, 0.01, 419), (0.02, 0.06, 182), (0.02, 0.1, 61)],
)
def test_the_median_messages_to_alarm_are_the_published_ones(p0: float, rate: float, published: int) -> None:
    rng = random.Random(20261125)
    found = sorted(messages_to_alarm(p0, rate, rng) for _ in range(401))
    assert found[200] == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize("p0", [0.001, 0.02])
def test_streams_at_the_very_threshold_alarm_within_the_budget(p0: float) -> None:
    rng = random.Random(7)
    runs, most = 400, int(200 / p0)
    alarms = sum(messages_to_alarm(p0, p0, rng, most) < most for _ in range(runs))
    assert alarms / runs <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / runs)


def test_the_detector_is_the_sum_over_start_days() -> None:
    assert log_detector([]) == -math.inf
    assert math.exp(log_detector([0.0, math.log(2.0), math.log(3.0)])) == pytest.approx(6.0)


def test_good_months_earn_no_credit_with_the_detector() -> None:
    """After 60 good days a change from 0.05 to 0.3 % at 20,000 a day: under half a day; one e-value needs many."""
    good, bad = [(10, 20_000)] * 60, (6, 2_000)  # a tenth of a day at 0.3 %
    days = [*good[-29:]]
    tenths = plain_tenths = 0
    for tenth in range(1, 300):
        today = (bad[0] * tenth, bad[1] * tenth)
        sums = [today]
        for day in reversed(days):
            sums.append((sums[-1][0] + day[0], sums[-1][1] + day[1]))
        if not tenths and log_detector([log_e_rate(b, n, 0.001) for b, n in sums]) >= math.log(365):
            tenths = tenth
        whole = (sum(d[0] for d in good) + today[0], sum(d[1] for d in good) + today[1])
        if not plain_tenths and log_e_rate(*whole, 0.001) >= math.log(100):
            plain_tenths = tenth
    assert 1 <= tenths <= 5
    assert plain_tenths > 100


def test_an_envelope_rises_and_never_understates() -> None:
    envelope = DelayEnvelope(((1.0, 0.2), (24.0, 0.8)))
    assert [envelope.share(age) for age in (0.0, 0.9, 1.0, 23.0, 24.0, 500.0)] == [0.2, 0.2, 0.2, 0.8, 0.8, 1.0]
    assert DelayEnvelope().share(0.0) == 1.0
    with pytest.raises(ValueError, match="rise"):
        DelayEnvelope(((5.0, 0.5), (1.0, 0.9)))


def test_exposure_weighs_young_mail_less() -> None:
    envelope = DelayEnvelope(((2.0, 0.1), (48.0, 0.5)))
    assert exposure_of([(100, 1000), (80, 1000), (10, 1000)], 101.0, envelope) == pytest.approx(100 + 500 + 1000)
    assert exposure_of([(100, 7), (101, 3)], 101.0) == 10


def test_knowing_the_delay_of_complaints_halves_the_time_to_see_them() -> None:
    """Complaints at 0.3 % against 0.1 %, mean delay 24 h, 20,000 a day: expected counts, hour by hour."""
    share = [1 - math.exp(-age / 24) for age in range(400)]
    envelope = DelayEnvelope(tuple((float(age), max(1e-9, share[age])) for age in range(1, 399)))
    hours = {}
    for name, known in (("known", envelope), ("unknown", DelayEnvelope())):
        for now in range(1, 200):
            sent = [(cohort, 833) for cohort in range(now)]
            come = math.floor(sum(833 * 0.003 * share[now - cohort] for cohort in range(now)))
            if log_e_delayed(come, exposure_of(sent, float(now), known), 0.001) >= math.log(100):
                hours[name] = now
                break
    assert hours["known"] <= 0.6 * hours["unknown"]
    assert hours["known"] <= 24


@given(st.integers(0, 3000), st.integers(0, 60_000), st.floats(1e-4, 0.9))
def test_the_cheap_bound_is_never_below_the_evidence(bad: int, good: int, p0: float) -> None:
    assert log_e_rate_bound(bad, bad + good, p0) >= log_e_rate(bad, bad + good, p0) - 1e-6


def test_the_cheap_bound_is_near_enough_to_spare_work() -> None:
    """40 of 30,000 against 0.1 %: the evidence is weak, and the bound says so too."""
    assert log_e_rate(40, 30_000, 0.001) < log_e_rate_bound(40, 30_000, 0.001) < math.log(20)
