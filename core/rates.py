"""Intervals of observed rates.

A rate is shown with its 95 % Wilson score interval, which behaves for few events and for none.  It is a figure for
people: decisions use sequential evidence (`monitor.evidence`), because an interval looked at again and again lies.
"""

from __future__ import annotations

import math

_Z = 1.959964  # two-sided 95 %


def wilson(bad: int, total: int) -> tuple[float, float] | None:
    """(low, high) of the rate bad/total, within 0–1; None when nothing was counted.

    `bad` may exceed `total` while late events outrun what they belong to; it is then taken as `total`.
    """
    if total <= 0:
        return None
    p = min(1.0, max(0, bad) / total)
    spread = 1 + _Z * _Z / total
    centre = (p + _Z * _Z / (2 * total)) / spread
    half = _Z * math.sqrt(p * (1 - p) / total + _Z * _Z / (4 * total * total)) / spread
    # at the ends the formula's exact bound is 0 or 1; rounding must not turn it into -1e-17
    return (0.0 if p == 0 else max(0.0, centre - half), 1.0 if p == 1 else min(1.0, centre + half))
