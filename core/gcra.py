"""Rates as a leaky bucket without a timer: the Generic Cell Rate Algorithm (ITU-T I.371).  Pure.

Contract: a bucket is one number, the *theoretical arrival time* (`tat`, epoch seconds, 0 for a new one).  Whatever is
taken by these functions, any span of `w` seconds sees at most `burst + w * count / seconds` units.  A bucket never
forgets a debt early and never owes more than `burst` units, also when the rate was changed.  A debt that no clock
within SKEW of this one can have made is none: the clock was set back, and the bucket is as good as new.  (Held to what
it may owe at each instant anew, it would let nothing through until the clock is there again.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_SPANS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
SKEW = 60.0  # seconds by which clocks of nodes may differ
_ROUNDING = 1e-6  # seconds: about what epoch seconds in a double can tell apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`count` units in `seconds`, of which `burst` (≥ 1) may come at once."""

    count: float
    seconds: float
    burst: int

    @property
    def interval(self) -> float:
        """Seconds between two units at full rate."""
        return self.seconds / self.count

    def __str__(self) -> str:
        span = next((name for name, length in _SPANS.items() if length == self.seconds), f"{self.seconds:g} s")
        return f"{self.count:g}/{span}"


def parse_rate(text: str, *, burst: int = 0) -> Rate:
    """Read `600/minute` (second, minute, hour, day).  `burst` 0 is one second's worth.  Raises ValueError."""
    number, slash, span = text.replace(" ", "").partition("/")
    try:
        count = float(number)
    except ValueError:
        count = 0.0
    if not slash or span not in _SPANS or not math.isfinite(count) or not 0 < count <= 1e9:
        raise ValueError(f"{text!r} is no rate; write e.g. 600/minute, with one of {', '.join(_SPANS)}")
    return Rate(count=count, seconds=_SPANS[span], burst=burst or max(1, math.ceil(count / _SPANS[span])))


def available(rate: Rate, tat: float, now: float) -> int:
    """Units that may go at `now`: 0 to `burst`."""
    owed = (_settled(rate, tat, now) - now) / rate.interval
    return max(0, math.floor(rate.burst - owed + max(1e-9, _ROUNDING / rate.interval)))


def taken(rate: Rate, tat: float, now: float, units: int) -> float:
    """The bucket after `units` (at most what is available) went at `now`."""
    return _settled(rate, tat, now) + units * rate.interval


def given_back(rate: Rate, tat: float, units: int) -> float:
    """The bucket after `units` that were taken turned out not to be used."""
    return tat - units * rate.interval


def opens_at(rate: Rate, tat: float, now: float) -> float:
    """The first instant, not before `now`, at which a unit is available."""
    return max(now, _settled(rate, tat, now) - (rate.burst - 1) * rate.interval)


def _settled(rate: Rate, tat: float, now: float) -> float:
    most = now + rate.burst * rate.interval + 10 * _ROUNDING
    return now if tat > most + SKEW else min(max(tat, now), most)
