"""Engaged recipients first: of a campaign's recipients, who showed signs of life stands at the front.

While a lane warms up, its first mail of a day makes the impression.  The queue claims what was due first, so mail that
may go now stands `BAND` ahead of its time for each class of engagement, whatever call brought it: active readers go
before sleeping ones that came up to three hours earlier.  Only the order within a campaign's group moves (one index
either way); streams and priorities share the line as before.  Mail with a time of its own is never due before it: there
the classes are set apart by `STEP`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from config.model import Settings
from core.acceptor import Acceptor
from core.address import parse_address
from core.audience import Engagement, state_of
from core.events import Event
from core.lane import HOUR
from core.messages import Body, FrequencyCap, Submission
from core.notices import NoticeOrder
from core.ports import Clock
from service.audience import terms_of
from storage.stores import Stores

# who is new asked for mail a short while ago; of whom nothing is known, nothing speaks against
_RANK = {
    Engagement.ACTIVE: 0, Engagement.NEW: 1, Engagement.SLEEPING: 3, Engagement.AT_RISK: 4, Engagement.GONE: 5,
}  # fmt: skip
_UNKNOWN = 2
BAND = HOUR  # between two classes: calls of one campaign come over hours, not days
SPREAD = 5 * BAND  # the most that mail stands ahead of its time
STEP = 0.001  # seconds: enough to order, too little to delay


class EngagedFirst:
    """The queue's door with that order, in streams with `engaged_first`."""

    def __init__(self, inner: Acceptor, settings: Settings, stores: Stores, clock: Clock) -> None:
        self._inner = inner
        self._streams = frozenset(stream.name for stream in settings.streams if stream.engaged_first)
        self._terms = terms_of(settings)
        self._stores = stores
        self._clock = clock

    async def accept(
        self,
        bodies: Sequence[Body],
        submissions: Sequence[Submission],
        events: Sequence[Event],
        *,
        idempotency: tuple[str, str] | None = None,
        cap: FrequencyCap | None = None,
        notices: NoticeOrder | None = None,
    ) -> None:
        """See core.acceptor."""
        if submissions and submissions[0].stream in self._streams and submissions[0].campaign:
            submissions = await self._ordered(submissions)
        await self._inner.accept(bodies, submissions, events, idempotency=idempotency, cap=cap, notices=notices)

    async def over_frequency(self, cap: FrequencyCap) -> frozenset[str]:
        """See core.acceptor."""
        return await self._inner.over_frequency(cap)

    async def _ordered(self, submissions: Sequence[Submission]) -> list[Submission]:
        normal = {one.recipient: parse_address(one.recipient).normal for one in submissions}
        known = await self._stores.audience.readers(normal.values())
        now = self._clock.now()

        def rank(one: Submission) -> int:
            reader = known.get((normal[one.recipient], one.stream))
            return _UNKNOWN if reader is None else _RANK[state_of(reader, self._terms, now)]

        def placed(one: Submission) -> Submission:
            if one.not_before > now:
                return replace(one, not_before=one.not_before + STEP * rank(one))
            return replace(one, ahead=SPREAD - BAND * rank(one))

        return [placed(one) for one in submissions]


def door_of(stores: Stores, settings: Settings, clock: Clock) -> Acceptor:
    """The queue's door as the settings want it."""
    if not any(stream.engaged_first for stream in settings.streams):
        return stores.queue
    return EngagedFirst(stores.queue, settings, stores, clock)
