"""When a deferred message is tried again, when its time is up, and what rests meanwhile.  Pure.

Contract: waits follow the table of retry schedules by class and provider (`config/data/retries.toml`), in general
growing from `first_retry_minutes` up to `max_retry_hours`, with 10 % jitter so that a provider's outage does not end in
a burst.  A message is never put off past its `expires_at`; at that moment it ends as an expired bounce.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from config.model import Delivery
from config.reaction_tables import RetryRow
from core.classify import BounceClass, Group
from core.reaction import PairRested, Rest
from sender.concurrency import INITIAL, Feedback, first_window

LAST_CHANCE_SECONDS = 1.0  # the last attempt comes so long before the end of a message's time


class RetrySchedule:
    """Retry waits in domain seconds.  `rng` makes the jitter repeatable under simulation.

    `rows` (config.reaction_tables.RetryRow) say what deferrals of a class or provider wait; the first that fits counts,
    and what none fits waits by `delivery`."""

    def __init__(self, delivery: Delivery, rng: random.Random | None = None, rows: Sequence[RetryRow] = ()) -> None:
        self._general = RetryRow(
            name="general", minutes=[delivery.first_retry_minutes], growth=delivery.retry_growth,
            max_hours=min(48.0, delivery.max_retry_hours),
        )  # fmt: skip
        self._rows = tuple(rows)
        self._known: dict[tuple[BounceClass, str], RetryRow] = {}
        self._rng = rng or random.Random()

    def row(self, bounce_class: BounceClass, provider: str = "") -> RetryRow:
        """The row that such a deferral waits by."""
        family = "other" if provider.startswith(("other:", "relay:")) or not provider else provider
        found = self._known.get((bounce_class, family))
        if found is None:
            found = self._known[bounce_class, family] = next(
                (
                    row
                    for row in self._rows
                    if (not row.classes or bounce_class in row.classes)
                    and (not row.providers or family in row.providers)
                ),
                self._general,
            )
        return found

    def wait(self, attempts: int, bounce_class: BounceClass, provider: str = "") -> float:
        """Seconds until the next attempt, after `attempts` (≥ 1) that ended in a deferral."""
        row = self.row(bounce_class, provider)
        given = len(row.minutes)
        if attempts <= given:
            minutes = row.minutes[max(0, attempts - 1)]
        else:
            # the exponent is capped: 2.0**1100 would overflow on a message that is years old
            minutes = row.minutes[-1] * row.growth ** min(attempts - given, 64)
        return min(row.max_hours * 3600, minutes * 60) * self._rng.uniform(0.9, 1.1)

    def retry_at(
        self,
        attempts: int,
        bounce_class: BounceClass,
        now: float,
        expires_at: float,
        *,
        provider: str = "",
        first_at: float = 0.0,
    ) -> float | None:
        """The instant of the next attempt, the last one just before the end; None when the time is up.

        The end is `expires_at`, or so long after the first attempt (`first_at`) as the row gives such a deferral."""
        given = self.row(bounce_class, provider).give_up_hours
        if given is not None and first_at:
            expires_at = min(expires_at, first_at + given * 3600)
        last = expires_at - LAST_CHANCE_SECONDS
        if last <= now:
            return None
        return min(now + self.wait(attempts, bounce_class, provider), last)


# A pair that a provider slows or blocks rests; each further such reply doubles the rest.
_REST_SECONDS = {Group.RATE: 600.0, Group.REPUTATION: 1800.0, Group.AUTHENTICATION: 1800.0, Group.INFRASTRUCTURE: 60.0}
_LONGEST_REST = 3600.0
_CROWDED_SECONDS = 60.0
CLOCK_SLACK = 60.0  # seconds


def is_ahead(until: float, now: float, longest: float = _LONGEST_REST) -> bool:
    """Whether `now` lies before `until`.  Further ahead than any rest is long it is no rest: the clock was set back."""
    return now < until <= now + longest + CLOCK_SLACK


def latest_ahead(now: float, *ends: float) -> float:
    """The latest of these ends that `now` lies before; 0 when there is none."""
    return max(end if is_ahead(end, now) else 0.0 for end in ends)


CALM = 20  # deliveries since the last such reply that make the next one an exception (5 %)
_WIDE = 100  # connections from which on a pair is back at its provider's limit
_MAX_PAIRS = 50_000


@dataclass(slots=True)
class _Pair:
    until: float = 0.0
    strikes: int = 0
    width: int = INITIAL
    calm: int = 0
    troubled: float = 0.0  # when the last trouble that counted came
    feedback: Feedback = field(default_factory=Feedback)


class LaneRest:
    """Rest of (source, site) pairs after rate, reputation or connection trouble.

    A Gmail 4.7.28 asks for at least ten minutes of silence and then one connection: `width` says how many
    connections may open now; it moves by `sender.concurrency`.  A connection that fails where mail was delivered stops
    nothing by itself: a round of them does.  Times in domain seconds.  Processes share what they
    know (`take_lessons`, `hear`) and divide the width: `share` is (which, of how many).
    """

    def __init__(self, share: tuple[int, int] = (0, 1)) -> None:
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()
        self._share = share
        self._fresh: dict[tuple[str, str], PairRested | None] = {}  # what others do not know yet

    def trouble(
        self, source: str, site: str, group: Group, now: float, *, provider: str = "", sample: str = ""
    ) -> None:
        """Note a refusal by `group` that stops the pair; trouble while resting is ignored: it was under way."""
        base = _REST_SECONDS.get(group, _REST_SECONDS[Group.INFRASTRUCTURE])
        pair = self._pair(source, site)
        if is_ahead(pair.until, now):
            return
        if group is Group.INFRASTRUCTURE and pair.calm:
            window = pair.feedback.failure(pair.width)
            pair.width = window or 1
            if window:
                return
        seconds = min(_LONGEST_REST, base * 2 ** min(pair.strikes, 10))
        pair.strikes += 1
        self._rest((source, site), pair, now, seconds, provider, str(group), sample)

    def repeated(
        self, source: str, site: str, group: Group, now: float, *, provider: str = "", sample: str = ""
    ) -> None:
        """Note a refusal that counts only when it is no exception: fewer than 20 deliveries since the last one.

        What may lie with the host (INFRASTRUCTURE) stops the pair after a round of them without a delivery between:
        one recipient whom it puts off for days shall not keep the mail of all the others."""
        pair = self._pair(source, site)
        if group is Group.INFRASTRUCTURE:
            window = pair.feedback.failure(max(pair.width, INITIAL))
            if not window and not is_ahead(pair.until, now):
                pair.calm = 0
                self.trouble(source, site, group, now, provider=provider, sample=sample)
            elif window:
                pair.width = min(pair.width, window)
            return
        if pair.calm < CALM:
            self.trouble(source, site, group, now, provider=provider, sample=sample)
        pair.calm = 0

    def crowded(self, source: str, site: str, now: float, *, provider: str = "", sample: str = "") -> None:
        """Note that the site had too many of our connections: a short silence, then one by one."""
        pair = self._pair(source, site)
        if now + _CROWDED_SECONDS > pair.until or not is_ahead(pair.until, now):
            self._rest((source, site), pair, now, _CROWDED_SECONDS, provider, "too many connections", sample)
        pair.width = 1

    def success(self, source: str, site: str) -> None:
        """Note a delivery: the strikes are forgotten and one more connection may open."""
        pair = self._pair(source, site)
        pair.calm = min(pair.calm + 1, CALM)
        pair.feedback.lost = pair.feedback.failed = 0.0
        if pair.width < _WIDE or pair.strikes:
            before, pair.strikes = (pair.width, pair.strikes), 0
            pair.width = min(pair.feedback.success(pair.width), _WIDE)
            if (pair.width, 0) != before:
                self._fresh.setdefault((source, site), None)

    def until(self, source: str, site: str) -> float:
        """When the pair may be used again; 0 when it always could, the past when it may be used now."""
        found = self._pairs.get((source, site))
        return found.until if found else 0.0

    def troubled(self, source: str, site: str) -> bool:
        """True from trouble until the next delivery."""
        found = self._pairs.get((source, site))
        return found is not None and found.strikes > 0

    def width(self, source: str, site: str, limit: int) -> int:
        """How many connections this process may have open, at most `limit`."""
        found = self._pairs.get((source, site))
        if found is None:
            return min(limit, first_window(self._share[1]))
        if found.width >= _WIDE:
            return limit
        if not found.troubled:
            return min(limit, found.width)  # its own: others begin with theirs
        index, of = self._share
        return min(limit, found.width // of + (index < found.width % of))

    def hear(self, rest: Rest) -> None:
        """What another process learned, or an earlier life of this one."""
        pair = self._pair(rest.source, rest.site)
        if rest.troubled > pair.troubled:
            pair.troubled, pair.until, pair.strikes = rest.troubled, rest.until, rest.strikes
            pair.width, pair.calm = rest.width, 0
            self._fresh.pop((rest.source, rest.site), None)
        elif rest.troubled == pair.troubled:
            pair.width = max(pair.width, rest.width)
            pair.strikes = min(pair.strikes, rest.strikes)

    def take_lessons(self) -> list[tuple[Rest, PairRested | None]]:
        """What others do not know yet; it counts as told."""
        fresh, self._fresh = self._fresh, {}
        found = []
        for (source, site), event in fresh.items():
            pair = self._pairs.get((source, site))
            if pair is not None and pair.troubled:
                rest = Rest(
                    source=source, site=site, troubled=pair.troubled, until=pair.until, strikes=pair.strikes,
                    width=pair.width,
                )  # fmt: skip
                found.append((rest, event))
        return found

    def give_back(self, lessons: Iterable[tuple[Rest, PairRested | None]]) -> None:
        """These could not be told."""
        for rest, event in lessons:
            if rest.site:
                self._fresh.setdefault((rest.source, rest.site), event)

    def _rest(
        self, place: tuple[str, str], pair: _Pair, now: float, seconds: float, provider: str, reason: str, sample: str
    ) -> None:
        pair.until = now + seconds
        pair.troubled = now
        pair.width, pair.calm, pair.feedback = 1, 0, Feedback()
        self._fresh[place] = PairRested(
            at=now, source=place[0], provider=provider, site=place[1], until=pair.until, strikes=pair.strikes,
            reason=reason, sample=sample[:300],
        )  # fmt: skip

    def _pair(self, source: str, site: str) -> _Pair:
        key = (source, site)
        pair = self._pairs.get(key)
        if pair is None:
            pair = self._pairs[key] = _Pair(width=first_window(self._share[1]))
        self._pairs.move_to_end(key)
        if len(self._pairs) > _MAX_PAIRS:
            self._pairs.popitem(last=False)
        return pair
