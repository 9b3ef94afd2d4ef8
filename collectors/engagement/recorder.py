"""Takes notes of opens and clicks, judges them a moment later, and writes them in batches.

Contract: `note` never waits and never fails: beyond MAX_WAITING the oldest note is dropped and counted, because a page
must answer whatever the database does.  Notes rest for SETTLE_SECONDS before they are judged, so that a scanner's run
through all links of a mail is seen as one.  What a crash takes with it (a few seconds) is an open or a click that was
not counted, never one too many: `Engagements.record` keeps each kind once a message.
A message that is not delivered yet is asked about again for WAIT_SECONDS: an open can be faster than our own commit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.engagement.judge import BURST_SECONDS, Visit, bursts, judge
from config.machines import Machines
from core.errors import PenstockError
from core.events import Accepted, Clicked, Delivered, Event, Opened
from core.lane import Attribution
from core.ports import Clock, Engagements, EventLog
from core.recipient import Actor
from core.tokens import MessageId

logger = logging.getLogger("penstock.engagement")
MAX_WAITING = 50_000
BATCH = 1000
LOOK_SECONDS = 0.5
SETTLE_SECONDS = 1.5
WAIT_SECONDS = 30.0
MAX_KNOWN = 20_000  # messages whose facts are remembered
MAX_SEEN = 100_000  # fetches that led to an event already
MAX_RECENT = 2000
MAX_AGENT = 500
_LASTING = ("agent:", "network:", "no-agent", "proxy:", "reader", "unknown-agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mail:
    """What an event needs to know of a message."""

    recipient: str
    attribution: Attribution
    delivered_at: float


class Recorder:
    """See the module.  `ticks` gives real seconds."""

    def __init__(
        self,
        *,
        log: EventLog,
        engagements: Engagements,
        clock: Clock,
        machines: Machines,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._engagements = engagements
        self._clock = clock
        self._machines = machines
        self._ticks = ticks
        self._waiting: deque[Visit] = deque()
        self._recent: deque[Visit] = deque(maxlen=MAX_RECENT)  # clicks that were judged a moment ago
        self._mails: OrderedDict[str, _Mail] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self.dropped = 0
        self.recorded = 0

    def note(self, message_id: MessageId, *, target: str = "", head: bool, agent: str, ip: str) -> None:
        """A fetch of the pixel, or of the link to `target`."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(
            Visit(
                message_id=message_id, target=target, at=self._clock.now(), tick=self._ticks(), head=head,
                agent=agent[:MAX_AGENT], ip=ip,
            )
        )  # fmt: skip

    @property
    def waiting(self) -> int:
        """Notes that are not judged yet."""
        return len(self._waiting)

    async def run(self) -> None:
        """Write for ever."""
        failing = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.step()
                failing = False
            except PenstockError as error:  # the notes stay; it is told once until it works again
                if not failing:
                    logger.warning("opens and clicks cannot be written: %s", error)
                failing = True

    async def step(self, *, settled: bool = False) -> int:
        """Judge and write what has rested (`settled`: everything).  How many events were new."""
        now = self._ticks()
        ripe: list[Visit] = []
        while self._waiting and len(ripe) < BATCH:
            if not settled and now - self._waiting[0].tick < SETTLE_SECONDS:
                break
            ripe.append(self._waiting.popleft())
        if not ripe:
            return 0
        # the links that a scanner has just followed, or has just begun to follow, belong to the same run
        while self._recent and now - self._recent[0].tick > SETTLE_SECONDS + 2 * BURST_SECONDS:
            self._recent.popleft()
        ids = {visit.message_id for visit in ripe}
        beside = [visit for visit in (*self._recent, *self._waiting) if visit.message_id in ids]
        try:
            judged, early = await self._judged(ripe, beside)
            new = await self._engagements.record([event for _, event in judged])
        except PenstockError:
            self._waiting.extendleft(reversed(ripe))
            raise
        self._waiting.extend(visit for visit in early if now - visit.tick < WAIT_SECONDS and not settled)
        self._recent.extend(visit for visit in ripe if visit.target)
        for visit, event in judged:
            self._remember(visit, event.reason)
        self.recorded += new
        return new

    async def _judged(
        self, ripe: Sequence[Visit], beside: Sequence[Visit]
    ) -> tuple[list[tuple[Visit, Opened | Clicked]], list[Visit]]:
        by_message: dict[str, list[Visit]] = {}
        for visit in (*ripe, *beside):
            by_message.setdefault(visit.message_id, []).append(visit)
        settled = set(map(id, ripe))
        judged: list[tuple[Visit, Opened | Clicked]] = []
        early: list[Visit] = []
        for message_id, visits in by_message.items():
            visits.sort(key=lambda visit: visit.tick)
            in_burst = bursts(visits)
            mail: _Mail | None = None
            for index, visit in enumerate(visits):
                if id(visit) not in settled or self._known(visit):
                    continue
                mail = mail or await self._mail(message_id)
                if mail is None:
                    early.append(visit)
                    continue
                actor, reason = judge(visit, mail.delivered_at, index in in_burst, self._machines)
                judged.append((visit, _event(visit, mail, actor, reason)))
        return judged, early

    async def _mail(self, message_id: str) -> _Mail | None:
        known = self._mails.get(message_id)
        if known is not None:
            self._mails.move_to_end(message_id)
            return known
        found = _facts([logged.event for logged in await self._log.of_message(MessageId(message_id))])
        if found is not None:
            self._mails[message_id] = found
            while len(self._mails) > MAX_KNOWN:
                self._mails.popitem(last=False)
        return found

    def _known(self, visit: Visit) -> bool:
        """The same fetch by the same program was judged before, and would be judged alike."""
        return not visit.head and (visit.message_id, visit.target, visit.agent) in self._seen

    def _remember(self, visit: Visit, reason: str) -> None:
        if visit.head or not reason.startswith(_LASTING):
            return  # what was told by the moment may be told otherwise the next time
        self._seen[visit.message_id, visit.target, visit.agent] = None
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)


def _event(visit: Visit, mail: _Mail, actor: Actor, reason: str) -> Opened | Clicked:
    message_id = MessageId(visit.message_id)
    if visit.target:
        return Clicked(
            at=visit.at, message_id=message_id, recipient=mail.recipient, attribution=mail.attribution, actor=actor,
            reason=reason, target=visit.target, first=False,
        )  # fmt: skip
    return Opened(
        at=visit.at, message_id=message_id, recipient=mail.recipient, attribution=mail.attribution, actor=actor,
        reason=reason,
    )  # fmt: skip


def _facts(events: Sequence[Event]) -> _Mail | None:
    delivered = next((event for event in events if isinstance(event, Delivered)), None)
    if delivered is None or not any(isinstance(event, Accepted) for event in events):
        return None
    return _Mail(recipient=delivered.recipient, attribution=delivered.attribution, delivered_at=delivered.at)
