"""When a deferred message is tried again, and when its time is up.  Pure.

Contract: waits grow geometrically from `first_retry_minutes` up to `max_retry_hours`, with 10 % jitter so
that a provider's outage does not end in a burst.  Greylisting (RFC 6647) is answered fast.  A message is
never put off past its `expires_at`; at that moment it ends as an expired bounce.
"""

from __future__ import annotations

import random

from config.model import Delivery
from core.classify import BounceClass, Group

GREYLIST_SECONDS = 300.0  # RFC 6647 section 4.5: retry after minutes, not hours


class RetrySchedule:
    """Retry waits in domain seconds.  `rng` makes the jitter repeatable under simulation."""

    def __init__(self, delivery: Delivery, rng: random.Random | None = None) -> None:
        self._first = delivery.first_retry_minutes * 60
        self._growth = delivery.retry_growth
        self._longest = delivery.max_retry_hours * 3600
        self._rng = rng or random.Random()

    def wait(self, attempts: int, bounce_class: BounceClass) -> float:
        """Seconds until the next attempt, after `attempts` (≥ 1) that ended in a deferral."""
        if bounce_class is BounceClass.GREYLISTED and attempts <= 3:
            base = min(GREYLIST_SECONDS, self._first)
        else:
            # the exponent is capped: 2.0**1100 would overflow on a message that is years old
            base = min(self._longest, self._first * self._growth ** min(max(0, attempts - 1), 64))
        return base * self._rng.uniform(0.9, 1.1)


# A lane that a provider slows or blocks rests; each further such reply doubles the rest.
_REST_SECONDS = {Group.RATE: 600.0, Group.REPUTATION: 1800.0, Group.INFRASTRUCTURE: 60.0}
_LONGEST_REST = 3600.0


class LaneRest:
    """Rest of (source, site) pairs after rate, reputation or connection trouble.

    A Gmail 4.7.28 asks for at least ten minutes of silence and then one connection: `width` says how many
    connections may open now; it grows by one with each success.  Times in domain seconds.
    """

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}
        self._strikes: dict[tuple[str, str], int] = {}
        self._width: dict[tuple[str, str], int] = {}

    def trouble(self, source: str, site: str, group: Group, now: float) -> None:
        """Note a deferral by `group`; groups without a rest are ignored, and so is trouble while resting."""
        base = _REST_SECONDS.get(group)
        key = (source, site)
        if base is None or now < self._until.get(key, 0.0):
            return
        strikes = self._strikes.get(key, 0)
        self._until[key] = now + min(_LONGEST_REST, base * 2 ** min(strikes, 10))
        self._strikes[key] = strikes + 1
        self._width[key] = 1

    def success(self, source: str, site: str) -> None:
        """Note a delivery: the strikes are forgotten and one more connection may open."""
        key = (source, site)
        if key in self._width:
            self._strikes.pop(key, None)
            self._width[key] += 1
            if self._width[key] > 100:
                del self._width[key]

    def until(self, source: str, site: str) -> float:
        """When the pair may be used again; 0 when it may be used now or always could."""
        return self._until.get((source, site), 0.0)

    def width(self, source: str, site: str, limit: int) -> int:
        """How many connections may be open, at most `limit`."""
        return min(limit, self._width.get((source, site), limit))
