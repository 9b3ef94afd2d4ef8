"""How often a fixed-window rule errs: the label beside it in config check, the API and the dashboard.  Pure.

Contract: `false_alarm_chance` is the chance that a *healthy* scope, whose true rate is half the threshold and which has
just `minimum_total` messages in each window, is above the threshold in one window; `false_alarms_a_year` counts windows
that do not overlap.  More mail means fewer false alarms, more scopes mean more, and looking all the time in place of
once a window about doubles them: these figures flatter the rule.
"""

from __future__ import annotations

import math

from config.rules import Rule
from monitor.evidence import log_beta_above

HEALTHY = 0.5  # of the threshold


def false_alarm_chance(rule: Rule) -> float:
    """In one window."""
    n = rule.minimum_total
    limit = rule.threshold * rule.minimum_effect
    least = max(rule.minimum_bad, math.floor(n * limit + 1e-9) + 1)
    return _above(least, n, rule.threshold * HEALTHY)


def false_alarms_a_year(rule: Rule) -> float:
    """Expected windows with a false alarm of one scope in 365 days."""
    return false_alarm_chance(rule) * 365 * 24 / rule.window_hours


def _above(least: int, n: int, p: float) -> float:
    """P(Bin(n, p) >= least)."""
    if least <= 0:
        return 1.0
    if least > n:
        return 0.0
    a, b = float(least), float(n - least + 1)
    whole = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    # P(Bin >= k) = I_p(k, n-k+1)
    return max(0.0, 1.0 - math.exp(min(0.0, log_beta_above(a, b, p) - whole)))
