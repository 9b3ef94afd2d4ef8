"""How strongly figures speak against "the rate is at most p0": e-values that hold at every look.

Contract: every function returns the *logarithm* of an e-value.  If the true rate is at most p0, the chance that E ever
reaches 1/α is at most α, however often one looks (Ville's inequality).  Pure; standard library only; good to 1e-7 in
the logarithm up to 10^8 messages.  Raises ValueError for counts below 0 or p0 outside 0 … 1.

- `log_e_rate`: `bad` events in `total` messages, mixture over rates above p0 with a Beta(½, 1/(4·p0)) prior.
- `log_e_rate_bound`: what it cannot exceed, for who asks often and expects nothing.
- `log_e_delayed`: the same for events that come late: Poisson with `exposure` messages, see `exposure_of`.
- `log_detector`: Shiryaev–Roberts sum over start days: an alarm at R ≥ c comes, in a healthy stream, after c days or
  more in the mean, however long the stream was good before.

Sources: Howard et al. 2021; Waudby-Smith and Ramdas, arXiv 2010.09686; Shin, Ramdas and Rinaldo (e-detectors).
Continued fractions: modified Lentz method (DLMF 8.17.22 and 8.9.2).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_A = 0.5  # prior's first shape; the second is 1/(4·p0), which puts the prior's mean at about 2·p0
_TINY = 1e-300
_PRECISION = 1e-14
_MOST_TERMS = 100_000


def log_e_rate(bad: int, total: int, p0: float) -> float:
    """log E for `bad` of `total` against "rate ≤ p0".  A `bad` above `total` (late reports) lifts `total` to it."""
    _check(bad, total, p0)
    total = max(total, bad)
    if total == 0:
        return 0.0
    b = 1 / (4 * p0)
    return (
        log_beta_above(_A + bad, b + total - bad, p0)
        - _log_prior(p0)
        - bad * math.log(p0)
        - (total - bad) * math.log1p(-p0)
    )


def log_e_rate_bound(bad: int, total: int, p0: float) -> float:
    """Never below log_e_rate, at a tenth of its cost: the prior's density is largest at p0, and the likelihood's whole
    integral is a beta function; nor is a mixture ever above the observed rate's own likelihood ratio."""
    if bad > p0 * total and bad < total:
        rate = bad / total
        ratio = bad * math.log(rate / p0) + (total - bad) * math.log((1 - rate) / (1 - p0))
        density = (_A - 1) * math.log(p0) + (1 / (4 * p0) - 1) * math.log1p(-p0) - _log_prior(p0)
        whole = math.lgamma(bad + 1) + math.lgamma(total - bad + 1) - math.lgamma(total + 2)
        spread = density + whole - bad * math.log(p0) - (total - bad) * math.log1p(-p0)
        return min(ratio, spread) if 4 * p0 <= 1 else ratio  # a flatter prior would rise
    return 0.0 if bad <= p0 * total else math.inf


@lru_cache(maxsize=64)
def _log_prior(p0: float) -> float:
    return log_beta_above(_A, 1 / (4 * p0), p0)


def log_e_delayed(bad: int, exposure: float, p0: float) -> float:
    """log E for `bad` events under `exposure` (messages weighted by how much of their events could have come)."""
    _check(bad, exposure, p0)
    b = 1 / (4 * p0)
    return (
        _A * math.log(b)
        - log_gamma_above(_A, b * p0)
        + log_gamma_above(_A + bad, (b + exposure) * p0)
        - (_A + bad) * math.log(b + exposure)
        - bad * math.log(p0)
        + exposure * p0
    )


def log_detector(log_e_since: Iterable[float]) -> float:
    """log R of the Shiryaev–Roberts detector: log Σ E over start days; -inf without any."""
    terms = list(log_e_since)
    top = max(terms, default=-math.inf)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(term - top) for term in terms))


@dataclass(frozen=True, slots=True)
class DelayEnvelope:
    """F: an *upper* bound of the share of reports that came within an age (hours).

    `points` are (age, share), rising in both; between two of them the later share holds, beyond the last it is 1.
    Too large a share only costs time; too small a one would break the false-alarm budget.
    """

    points: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        ages, shares = [p[0] for p in self.points], [p[1] for p in self.points]
        if ages != sorted(ages) or shares != sorted(shares) or any(not 0 < s <= 1 for s in shares):
            raise ValueError("an envelope's points rise in age and share; shares lie in 0 < s ≤ 1")

    @property
    def end(self) -> float:
        """The age in hours from which the share is 1."""
        return self.points[-1][0] if self.points else 0.0

    def share(self, age_hours: float) -> float:
        """F(age): 1 for an envelope without points, which is always safe."""
        index = bisect_right(self.points, (age_hours,))
        return self.points[index][1] if index < len(self.points) else 1.0


AT_ONCE = DelayEnvelope()


def exposure_of(sent: Iterable[tuple[int, int]], now_hours: float, envelope: DelayEnvelope = AT_ONCE) -> float:
    """Σ n·F(age) over (cohort, n).  An hour counts as sent at its beginning: the safe side."""
    return math.fsum(n * envelope.share(now_hours - cohort) for cohort, n in sent if n > 0)


def log_beta_above(a: float, b: float, x: float) -> float:
    """log ∫ t^(a-1)·(1-t)^(b-1) dt over x … 1; a, b > 0, 0 < x < 1."""
    edge = a * math.log(x) + b * math.log1p(-x)
    if x >= (a + 1) / (a + b + 2):  # the integral is the tail: its own fraction converges fast
        return edge - math.log(b) + math.log(_beta_fraction(b, a, 1 - x))
    whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    below = edge - whole - math.log(a) + math.log(_beta_fraction(a, b, x))
    return whole + math.log1p(-math.exp(min(below, -_PRECISION)))


def log_gamma_above(s: float, x: float) -> float:
    """log Γ(s, x), the upper incomplete gamma function; s > 0, x ≥ 0."""
    if x <= 0:
        return math.lgamma(s)
    edge = s * math.log(x) - x
    if x >= s + 1:
        return edge + math.log(_gamma_fraction(s, x))
    below = edge + math.log(_gamma_series(s, x)) - math.lgamma(s)
    return math.lgamma(s) + math.log1p(-math.exp(min(below, -_PRECISION)))


def _beta_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd):
            d = 1 + term * d
            c = 1 + term / c
            d = 1 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            change = c * d
            value *= change
        if abs(change - 1) < _PRECISION:
            return value
    raise ArithmeticError(f"the incomplete beta fraction did not settle for a={a}, b={b}, x={x}")


def _gamma_fraction(s: float, x: float) -> float:
    b = x + 1 - s
    c = 1 / _TINY
    d = 1 / (b if abs(b) > _TINY else _TINY)
    value = d
    for i in range(1, _MOST_TERMS):
        term = -i * (i - s)
        b += 2
        d = term * d + b
        d = 1 / (d if abs(d) > _TINY else _TINY)
        c = b + term / c
        c = c if abs(c) > _TINY else _TINY
        change = c * d
        value *= change
        if abs(change - 1) < _PRECISION:
            return value
    raise ArithmeticError(f"the incomplete gamma fraction did not settle for s={s}, x={x}")


def _gamma_series(s: float, x: float) -> float:
    term = value = 1 / s
    for i in range(1, _MOST_TERMS):
        term *= x / (s + i)
        value += term
        if term < value * _PRECISION:
            return value
    raise ArithmeticError(f"the incomplete gamma series did not settle for s={s}, x={x}")


def _check(bad: float, total: float, p0: float) -> None:
    if bad < 0 or total < 0 or not 0 < p0 < 1:
        raise ValueError(f"no counts or no rate: {bad} of {total} against {p0}")
