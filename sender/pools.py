"""Which sources may carry a kind of mail: its pool's, and those of the pool that it overflows into.

Contract: pure.  The pool is the one that the message names, else its stream's, else its sending domain's; mail without
any may go by every source.  A pool that the settings do not know any more counts as not named.  `overflows` says
whether a source's wait is one that another pool may make up for: the warm-up of a ramping lane, nothing else.  What a
gate, a limit of ours or a provider's own word holds back is not to be carried around it.

A site whose hosts have no address of a source's family (IPv4, IPv6) is left to the others for BARRED_SECONDS; where
none is left all of them try again, so that such mail has an end.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence

from config.model import Settings
from core.decision import Admit, DeferReason
from core.lane import NO_POOL, Pool, Source
from core.messages import QueueGroup
from sender.board import Pile

BARRED_SECONDS = 3600.0  # hosts get addresses now and then
_MAX_BARRED = 50_000
_OVERFLOWS = frozenset({DeferReason.ALLOWANCE_SPENT, DeferReason.PACED, DeferReason.OUTSIDE_HOURS})


def overflows(reason: DeferReason) -> bool:
    """Whether mail that waits for this may go by the overflow pool meanwhile."""
    return reason in _OVERFLOWS


def is_ramping(decision: Admit) -> bool:
    """Whether a warm-up cap bounds what was admitted."""
    return any(key.startswith("lane") for key, _, _ in decision.allowances)


class Pools:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        self._all = tuple(Source(row.name) for row in settings.sources)
        self._pools = {Pool(pool.name): tuple(map(Source, pool.sources)) for pool in settings.pools}
        self._spare = {Pool(pool.name): Pool(pool.overflow) for pool in settings.pools}
        self._of_stream = {row.name: Pool(row.pool) for row in settings.streams if row.pool}
        self._of_domain = {row.name.lower(): Pool(row.pool) for row in settings.sending_domains if row.pool}
        self._family = {
            Source(row.name): ipaddress.ip_address(row.bind).version if row.bind else 0 for row in settings.sources
        }
        self._barred: OrderedDict[tuple[int, str], float] = OrderedDict()

    def name(self, group: QueueGroup) -> Pool:
        """The pool of this mail; NO_POOL for any source."""
        if not self._pools:
            return NO_POOL
        if group.pool in self._pools:
            return group.pool
        return self._of_stream.get(group.stream) or self._of_domain.get(group.sending_domain) or NO_POOL

    def own(self, group: QueueGroup) -> tuple[Source, ...]:
        """The sources that this mail is meant for."""
        return self._pools.get(self.name(group), self._all)

    def spare(self, group: QueueGroup) -> tuple[Source, ...]:
        """The sources that may take over, without its own."""
        own = self.name(group)
        other = self._spare.get(own, NO_POOL)
        return tuple(s for s in self._pools.get(other, ()) if s not in self._pools[own])

    def bar(self, source: Source, group: QueueGroup, now: float) -> bool:
        """Note that a source's family leads to no host of this site.  True when another source may have the mail."""
        self._barred[self._family[source], group.site] = now + BARRED_SECONDS
        if len(self._barred) > _MAX_BARRED:
            self._barred.popitem(last=False)
        return any(self._leads(other, group.site, now) for other in (*self.own(group), *self.spare(group)))

    def reaching(self, group: QueueGroup, now: float) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
        """`own` and `spare`, without those whose family leads nowhere."""
        own, spare = self.own(group), self.spare(group)
        if not self._barred:
            return own, spare
        fit, rest = self._fit(own, group.site, now), self._fit(spare, group.site, now)
        return (fit, rest) if fit or rest else (own, spare)

    def _fit(self, sources: Sequence[Source], site: str, now: float) -> tuple[Source, ...]:
        return tuple(source for source in sources if self._leads(source, site, now))

    def _leads(self, source: Source, site: str, now: float) -> bool:
        until = self._barred.get((self._family[source], site), 0.0)
        return not now < until <= now + BARRED_SECONDS

    def carries(self, source: Source, pile: Pile) -> bool:
        """Whether this source may take mail of the pile now."""
        if not self._pools or source in self.own(pile.group):
            return True
        return pile.overflowing and source in self.spare(pile.group)
