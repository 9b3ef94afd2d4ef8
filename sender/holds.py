"""Waits of our own choosing: told once, and never at the message's expense.

Contract: `hold` notes that a kind of mail waits by an admission's word; a Held event is written when the reason is
new for this traffic, or came back after mail had flowed, not once a message and not each look.  The time waited is
owed to the messages' age: `owed` says how much is not yet written to their `expires_at`, and `pay` writes it in
batches, because one UPDATE may touch a million rows.  Pay before expiring anything.  A crash loses at most one batch
of credit.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeAlias

from core.decision import Defer, DeferReason
from core.events import Event, Held
from core.lane import Traffic
from core.messages import QueueGroup
from core.ports import EventLog, Queue
from sender.board import Kind, kind_of

_MAX_TOLD = 20_000
# These come and go many times a day by design; the others are news whenever they come back.
_AGAIN_AFTER = dict.fromkeys(
    (DeferReason.PACED, DeferReason.SLOWED, DeferReason.LIMITED, DeferReason.CONNECTION_LIMIT), 3600.0
)
_AGAIN_SECONDS = 60.0
_Told: TypeAlias = dict[DeferReason, float]


@dataclass(slots=True)
class _Wait:
    """One kind's wait: since when (-1 while it flows) and what is owed from before."""

    group: QueueGroup
    since: float = -1.0
    owed: float = 0.0

    def total(self, now: float) -> float:
        return self.owed + (max(0.0, now - self.since) if self.since >= 0 else 0.0)


@dataclass(slots=True)
class _Story:
    """What was told of one traffic."""

    told: _Told = field(default_factory=dict)
    flowed_at: float = -1.0


class Holds:
    """See the module."""

    def __init__(self, queue: Queue, log: EventLog) -> None:
        self._queue = queue
        self._log = log
        self._waits: dict[Kind, _Wait] = {}
        self._stories: OrderedDict[tuple[str, ...], _Story] = OrderedDict()
        self._unwritten: list[Event] = []

    def hold(self, group: QueueGroup, traffic: Traffic, wait: Defer, now: float) -> None:
        """Mail of this group may not go now; `traffic` is that of the source which may go first."""
        # a rest that a provider imposed is no choice of ours: it is told, but the age runs on
        if wait.reason is not DeferReason.CONNECTION_LIMIT:
            record = self._waits.setdefault(kind_of(group), _Wait(group))
            record.group = group
            record.since = record.since if record.since >= 0 else now
        else:
            self._stop(kind_of(group), now)
        story = self._story(traffic)
        told = story.told.get(wait.reason)
        again = (
            told is not None and story.flowed_at > told and now - told >= _AGAIN_AFTER.get(wait.reason, _AGAIN_SECONDS)
        )
        if told is None or again:
            story.told[wait.reason] = now
            self._unwritten.append(
                Held(at=now, traffic=traffic, reason=str(wait.reason), until=wait.until, detail=wait.detail)
            )

    def free(self, group: QueueGroup, traffic: Traffic, now: float) -> None:
        """Mail of this group may go."""
        self._stop(kind_of(group), now)
        story = self._stories.get(_key(traffic))
        if story is not None:
            story.flowed_at = now

    def gone(self, kinds: list[Kind], now: float) -> None:
        """These kinds are due no more."""
        for kind in kinds:
            self._stop(kind, now)

    def owed(self, group: QueueGroup, now: float) -> float:
        """Seconds to add to the group's `expires_at` that storage does not know of yet."""
        record = self._waits.get(kind_of(group))
        return record.total(now) if record else 0.0

    async def tell(self) -> None:
        """Write the Held events that are due."""
        if self._unwritten:
            events, self._unwritten = self._unwritten, []
            try:
                await self._log.append(events)
            except BaseException:
                self._unwritten = events + self._unwritten
                raise

    async def pay(self, now: float) -> None:
        """Write what is owed."""
        for kind, record in list(self._waits.items()):
            seconds = record.total(now)
            record.owed = 0.0
            if record.since < 0:
                self._waits.pop(kind, None)
            else:
                record.since = now
            if seconds >= 1.0:
                try:
                    await self._queue.extend(record.group, seconds)
                except BaseException:
                    # the record may have been dropped, or begun anew, during the call
                    self._waits.setdefault(kind, record).owed += seconds
                    raise

    def _stop(self, kind: Kind, now: float) -> None:
        record = self._waits.get(kind)
        if record is not None and record.since >= 0:
            record.owed = record.total(now)
            record.since = -1.0

    def _story(self, traffic: Traffic) -> _Story:
        key = _key(traffic)
        story = self._stories.setdefault(key, _Story())
        self._stories.move_to_end(key)
        if len(self._stories) > _MAX_TOLD:
            self._stories.popitem(last=False)
        return story


def _key(traffic: Traffic) -> tuple[str, ...]:
    return (traffic.lane.sending_domain, traffic.lane.provider, traffic.stream, traffic.campaign)
