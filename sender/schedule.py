"""When a deferred message is tried again, when its time is up, and what rests meanwhile.  Pure.

Contract: waits grow geometrically from `first_retry_minutes` up to `max_retry_hours`, with 10 % jitter so
that a provider's outage does not end in a burst.  Greylisting (RFC 6647) is answered fast.  A message is
never put off past its `expires_at`; at that moment it ends as an expired bounce.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass

from config.model import Delivery
from core.classify import BounceClass, Group

LAST_CHANCE_SECONDS = 1.0  # the last attempt comes so long before the end of a message's time
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

    def retry_at(self, attempts: int, bounce_class: BounceClass, now: float, expires_at: float) -> float | None:
        """The instant of the next attempt, the last one just before `expires_at`; None when the time is up."""
        last = expires_at - LAST_CHANCE_SECONDS
        if last <= now:
            return None
        return min(now + self.wait(attempts, bounce_class), last)


# A pair that a provider slows or blocks rests; each further such reply doubles the rest.
_REST_SECONDS = {Group.RATE: 600.0, Group.REPUTATION: 1800.0, Group.AUTHENTICATION: 1800.0, Group.INFRASTRUCTURE: 60.0}
_LONGEST_REST = 3600.0
_CROWDED_SECONDS = 60.0
_CALM = 20  # deliveries since the last such reply that make the next one an exception (5 %)
_WIDE = 100  # connections from which on a pair is back at its provider's limit
_MAX_PAIRS = 50_000


@dataclass(slots=True)
class _Pair:
    until: float = 0.0
    strikes: int = 0
    width: int = _WIDE
    calm: int = 0


class LaneRest:
    """Rest of (source, site) pairs after rate, reputation or connection trouble.

    A Gmail 4.7.28 asks for at least ten minutes of silence and then one connection: `width` says how many
    connections may open now; it grows by one with each success.  Times in domain seconds.
    """

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()

    def trouble(self, source: str, site: str, group: Group, now: float) -> None:
        """Note a refusal by `group` that stops the pair; trouble while resting is ignored: it was under way."""
        base = _REST_SECONDS.get(group, _REST_SECONDS[Group.INFRASTRUCTURE])
        pair = self._pair(source, site)
        if now < pair.until:
            return
        pair.until = now + min(_LONGEST_REST, base * 2 ** min(pair.strikes, 10))
        pair.strikes += 1
        pair.width = 1
        pair.calm = 0

    def repeated(self, source: str, site: str, group: Group, now: float) -> None:
        """Note a refusal that counts only when it is no exception: fewer than 20 deliveries since the last one."""
        pair = self._pair(source, site)
        if pair.calm < _CALM:
            self.trouble(source, site, group, now)
        pair.calm = 0

    def crowded(self, source: str, site: str, now: float) -> None:
        """Note that the site had too many of our connections: a short silence, then one by one."""
        pair = self._pair(source, site)
        pair.until = max(pair.until, now + _CROWDED_SECONDS)
        pair.width = 1

    def success(self, source: str, site: str) -> None:
        """Note a delivery: the strikes are forgotten and one more connection may open."""
        pair = self._pair(source, site)
        pair.strikes = 0
        pair.calm = min(pair.calm + 1, _CALM)
        pair.width = min(pair.width + 1, _WIDE)

    def until(self, source: str, site: str) -> float:
        """When the pair may be used again; 0 when it always could, the past when it may be used now."""
        found = self._pairs.get((source, site))
        return found.until if found else 0.0

    def troubled(self, source: str, site: str) -> bool:
        """True from trouble until the next delivery."""
        found = self._pairs.get((source, site))
        return found is not None and found.strikes > 0

    def width(self, source: str, site: str, limit: int) -> int:
        """How many connections may be open, at most `limit`."""
        found = self._pairs.get((source, site))
        return limit if found is None or found.width >= _WIDE else min(limit, found.width)

    def _pair(self, source: str, site: str) -> _Pair:
        key = (source, site)
        pair = self._pairs.setdefault(key, _Pair())
        self._pairs.move_to_end(key)
        if len(self._pairs) > _MAX_PAIRS:
            self._pairs.popitem(last=False)
        return pair
