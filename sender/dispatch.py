"""The loop that sends: looks at what is due, asks admission, and keeps connections at work.

Contract: nothing goes out that admission did not admit for its lane at that moment; caps hold through the claim
itself.  A kind of mail goes by any source that admits it (weights decide among several), so a warm source carries
what a cold one may not yet.  Waits of our own choosing cost no age.  `run` ends on cancellation: messages in flight
are finished for STOP_SECONDS, claimed rows go back, outcomes are written.  The loop sleeps until the next instant
that it knows of, or `wake()`; scheduled mail and work left by other processes it finds every `poll_seconds`.

Parts: `board` whose turn it is, `crew` how many connections, `line` one of them, `settler` outcomes, `holds` waits,
`trouble` what an error stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from config.model import Settings
from config.tables import OTHER_ROW, ProviderRow
from core.classify import Classifier
from core.decision import Admit, Decision, Defer, DeferReason
from core.lane import HOUR, Source
from core.messages import Node
from core.ports import Admission, Clock, EventLog, Queue, Spool, Transport
from core.rate_ports import Rates
from core.replyrules import RuleBook
from core.state import Snapshot
from sender.agenda import Agenda
from sender.board import Board, Pile, kind_of
from sender.compose import Composer
from sender.crew import MAX_LINES, Crew, relay_rows
from sender.holds import Holds
from sender.limiting.book import Bounds, Crowd, LimitBook
from sender.limiting.memory import MemoryRates
from sender.line import Line
from sender.pick import Pick
from sender.pools import Pools, is_ramping, overflows
from sender.replies.exchange import Replies
from sender.route import Router
from sender.routing import Routing
from sender.schedule import RetrySchedule, is_ahead, latest_ahead
from sender.settler import Settler
from sender.tools import Bodies, Spent, Tools, not_told

logger = logging.getLogger("penstock.sender")
STOP_SECONDS = 12.0  # real seconds for the messages in flight when the service stops
OVERDUE_SECONDS, OVERDUE = 5.0, 500  # real seconds between looks for mail past its deadline; how much a look ends
KEEPING_SECONDS = 900.0  # between rounds of paying, expiring and recovering
SHORTEST_GAP = 0.005  # real seconds between two looks; a look that takes long is followed by twice its time
CAME_GAP = 0.02  # the same when mail has come in meanwhile; a look that takes longer is followed by half its time
SHORTEST_WAIT = 0.05  # real seconds before admission is asked again about the same mail
DRY_SECONDS = 0.5  # real seconds that a kind is left alone after a claim that gave nothing
TRIAL_SHARE = 0.1  # of the looks at which a troubled source is drawn like any other
_PAUSE_EVERY = 200  # piles decided before others get a turn


@dataclass(slots=True)
class _Offer:
    """What became of asking the sources about one pile."""

    left: int  # rows that no line was set to work on
    promised: int = 0  # messages that were admitted, by all sources together
    admitted: bool = False
    short: bool = False  # a source carries less than the pile, for a reason that its overflow pool may make up for
    waits: list[tuple[float, Source, Defer]] = field(default_factory=list)


class Dispatcher:
    """See the module.  `snapshot()` costs nothing and is asked before every message.

    `share`: which of how many processes that send for this node; they divide the limits of connections."""

    def __init__(
        self,
        *,
        node: Node,
        settings: Settings,
        queue: Queue,
        spool: Spool,
        log: EventLog,
        clock: Clock,
        router: Router,
        transport: Transport,
        admission: Admission,
        composer: Composer,
        classifier: Classifier,
        schedule: RetrySchedule,
        providers: Sequence[ProviderRow],
        snapshot: Callable[[], Snapshot],
        rates: Rates | None = None,
        spent: Spent = not_told,
        poll_seconds: float = 1.0,
        share: tuple[int, int] = (0, 1),
        replies: Replies | None = None,
        rng: random.Random | None = None,
    ) -> None:
        rows = {row.name: row for row in providers} | relay_rows(settings.relays)
        self._limits = LimitBook(
            settings.limits, rows, rows.get(OTHER_ROW.name, OTHER_ROW), rates or MemoryRates(), clock, share
        )
        self._paced = bool(settings.limits)
        self._busy: dict[Line, tuple[Crowd, ...]] = {}
        self._replies = replies or Replies(RuleBook([]), None, node, share=share)
        self._board = Board(clock.real(64 * DRY_SECONDS))
        self._settler = Settler(queue, clock)
        self._pools = Pools(settings)
        self._tools = Tools(
            node=node, delivery=settings.delivery, queue=queue, transport=transport, router=router, composer=composer,
            classifier=classifier, schedule=schedule, clock=clock, snapshot=snapshot, bodies=Bodies(spool),
            board=self._board, holds=Holds(queue, log), settler=self._settler,
            rest=self._replies.rest, spent=spent, sources=self._replies.sources, limits=self._limits,
            reactor=self._replies.reactor, pools=self._pools,
        )  # fmt: skip
        self._queue = queue
        self._log = log
        self._clock = clock
        self._admission = admission
        self._snapshot = snapshot
        self._weights = {Source(row.name): row.weight for row in settings.sources}
        self._urgent = frozenset(settings.transactional)
        self._poll = poll_seconds
        self._rng = rng or random.Random()
        self._wake, self._came = asyncio.Event(), asyncio.Event()
        self._crew = Crew(self._tools, self, rows, self._urgent, share=share)
        self._agenda = Agenda()
        # the first instant at which some waiting mail is to be asked about again; found anew at each look, because an
        # admission that answers "in a minute" every time would otherwise fill the agenda with every second
        self._ask_at = math.inf
        self._keep_at = self._overdue_at = 0.0
        self._routing = Routing(queue, router, clock, done=self.wake, due=self.due)
        self.stopping = False

    def wake(self) -> None:
        """Something changed: look again now."""
        self._wake.set()

    def mail_came(self) -> None:
        """Mail came in: look again soon, even after a look that took long."""
        self._came.set()
        self._wake.set()

    def due(self, at: float) -> None:
        """Look again at this instant."""
        self._agenda.add(at, self._clock.now())

    async def run(self) -> None:
        """Send until cancelled.  An error of storage ends it after the same clean stop."""
        self.stopping = False
        async with asyncio.TaskGroup() as group:
            self._crew.start(group)
            writing = group.create_task(self._settler.run(), name="settler")
            try:
                await self._loop(group)
            finally:
                await self._stop(group)
                writing.cancel()

    async def _loop(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.now()
        await self._replies.start(now)
        if returned := await self._queue.recover(self._tools.node, now):
            logger.info("%d messages of an earlier life of this node are back in the queue", returned)
        # mail whose time ran out while the service was down gets one attempt before it is expired
        self._keep_at = now + self._keeping_interval()
        self.due(self._keep_at)
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            self._came.clear()
            self._agenda.arrived(self._clock.now())  # what this look is for shall not call for a second one
            began = loop.time()
            await self._turn(group)
            await self._breathe(loop.time() - began)
            await self._until_next()

    async def _breathe(self, took: float) -> None:
        """Leave the loop to the others after a look that took so many real seconds."""
        least = max(SHORTEST_GAP, min(2 * took, max(CAME_GAP, took / 2)))
        await asyncio.sleep(least)
        if 2 * took > least:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2 * took - least):
                    await self._came.wait()

    async def _until_next(self) -> None:
        now = self._clock.now()
        if self._agenda.arrived(now):
            return
        wait = min(self._poll, (min(self._agenda.next(), self._ask_at) - now) / self._clock.rate)
        if wait <= 0:
            return
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _turn(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.now()
        if not is_ahead(self._keep_at, now, self._keeping_interval()):
            await self._keep_house(now)
        # mail first: each of the other steps waits for the store, and a receipt would wait with them
        self._ask_at = self._tools.reactor.next(now)
        now = self._clock.now()
        gone = self._board.refresh(await self._queue.groups(now))
        self._tools.holds.gone(gone, now)
        for count, pile in enumerate(self._board.piles()):
            if count % _PAUSE_EVERY == _PAUSE_EVERY - 1:
                await asyncio.sleep(0)
            self._consider(pile, self._clock.now())
        await self._routing.start(group)
        if not is_ahead(self._overdue_at, now, self._clock.real(OVERDUE_SECONDS)):
            # a pause may hold it, but its caller does not want it any more and waits for word
            self._overdue_at = now + self._clock.real(OVERDUE_SECONDS)
            if await self._queue.end_overdue(now, OVERDUE) == OVERDUE:
                self._overdue_at = now  # of a whole campaign the rest follows at the next look
                self.wake()
        await self._replies.turn(self._clock)
        await self._tools.holds.tell()
        await self._tools.sources.tell(self._log)

    # --- whose turn, and by which source -----------------------------------------------------------------------------
    def _consider(self, pile: Pile, now: float) -> None:
        """Put one kind of mail to work, or note why it waits."""
        offer = _Offer(left=pile.rows)
        own, spare = self._pools.reaching(pile.group, now)
        if spare:  # a source in trouble is left to a few trials while others can carry its mail
            fit = [s for s in own if not self._tools.sources.troubled(s) or self._rng.random() < TRIAL_SHARE]
            offer.short = len(fit) < len(own) or not own
            own = tuple(fit)
        self._offer(pile, own, offer, now)
        pile.overflowing = bool(spare) and offer.short and offer.promised < pile.rows
        if pile.overflowing:
            self._offer(pile, spare, offer, now)
        if offer.waits:
            soonest = min(until for until, _, _ in offer.waits)
            self._ask_at = min(self._ask_at, max(soonest, now + self._clock.real(SHORTEST_WAIT)))
        if offer.waits and not offer.admitted:
            _, source, wait = min(offer.waits, key=lambda w: w[0])
            self._tools.holds.hold(pile.group, pile.traffic(source), wait, now)

    def _offer(self, pile: Pile, sources: Sequence[Source], offer: _Offer, now: float) -> None:
        """Ask for each of these sources, and set lines of those that may to work."""
        for source in self._drawn(sources, pile.group.site):
            if quiet := self._board.quiet_until(pile, source, now):
                self._ask_at = min(self._ask_at, quiet)
                offer.admitted = True
                continue
            out = self._tools.sources.until(source)
            rest = latest_ahead(now, self._tools.rest.until(source, pile.group.site), out)
            if rest:
                resting = Defer(until=rest, reason=DeferReason.CONNECTION_LIMIT, detail="rests after trouble")
                offer.waits.append((rest, source, resting))
                offer.short = offer.short or out > now
                continue
            decision, fresh, retries = self._decide(pile, source, now)
            if isinstance(decision, Defer):
                offer.waits.append((decision.until, source, decision))
                offer.short = offer.short or overflows(decision.reason)
                continue
            may = min(decision.messages, fresh + retries)
            offer.promised += may
            offer.short = offer.short or (may < pile.rows and is_ramping(decision))
            if offer.left > 0:
                works = self._crew.engage(source, pile, self._bounds(pile, source), min(offer.left, may), now)
                offer.left -= works
                if not works and self._crew.blocked is not None:
                    offer.waits.append((self._crew.blocked.until, source, self._crew.blocked))
                    continue
            if not offer.admitted:
                self._tools.holds.free(pile.group, pile.traffic(source), now)
            offer.admitted = True

    def _drawn(self, sources: Sequence[Source], site: str) -> list[Source]:
        """These sources, in an order drawn by weight (Efraimidis and Spirakis, 2006).

        One that had trouble and has not delivered since comes last, but for a few trials that find out whether it is
        over: a message that failed there shall not come back to it again and again while another source is free.
        """

        def place(source: Source) -> tuple[bool, float]:
            troubled = self._tools.sources.troubled(source) or self._tools.rest.troubled(source, site)
            last = troubled and self._rng.random() >= TRIAL_SHARE
            return last, -(self._rng.random() ** (1.0 / self._weights[source]))

        return sorted(sources, key=place)

    def _bounds(self, pile: Pile, source: Source) -> Bounds:
        return self._limits.of(pile.traffic(source), pile.group.site, self._pools.name(pile.group))

    def _decide(self, pile: Pile, source: Source, now: float) -> tuple[Decision, int, int]:
        """Admission's word within our limits, with the first and further attempts that it is about."""
        decision, fresh, retries = self._admitted(pile, source, now)
        if self._paced and isinstance(decision, Admit):
            bounds = self._bounds(pile, source)
            if bounds.messages:
                kind, priority = kind_of(pile.group), pile.group.priority
                room = self._limits.room(bounds, kind, priority, min(decision.messages, fresh + retries), now)
                decision = room if isinstance(room, Defer) else replace(decision, messages=room)
        return decision, fresh, retries

    def _admitted(self, pile: Pile, source: Source, now: float) -> tuple[Decision, int, int]:
        traffic, snapshot = pile.traffic(source), self._snapshot()
        if snapshot.is_narrow:
            gate = snapshot.closed(traffic, pile.group.site, self._pools.name(pile.group))
            if gate is not None and gate.scope.is_narrow:
                until = gate.until if gate.until > now else now + HOUR
                wait = Defer(until=until, reason=DeferReason.PAUSED, detail=f"{gate.pause_id}: {gate.reason}")
                return wait, pile.fresh, pile.retries
        fresh, reactor, site = pile.fresh, self._tools.reactor, pile.group.site
        decision = self._admission.decide(traffic, fresh, pile.retries, snapshot, now)
        if isinstance(decision, Defer) and fresh and pile.retries:
            # a warm-up cap holds first attempts only: what was begun may be finished
            again = self._admission.decide(traffic, 0, pile.retries, snapshot, now)
            if isinstance(again, Admit):
                decision, fresh = again, 0
        return reactor.bound(decision, traffic, site, now), fresh, pile.retries

    def pick(self, line: Line) -> Pick | None:
        """What this line may claim now; None when it has nothing to do."""
        now = self._clock.now()
        site = line.place[1]
        self._limits.leave(self._busy.pop(line, ()))
        if self._crew.open_at(line.source, site) > self._tools.rest.width(line.source, site, MAX_LINES):
            line.dismiss()
            return None
        for pile in self._board.at(line.place):
            if line.urgent_only and pile.group.stream not in self._urgent:
                continue
            if not self._pools.carries(line.source, pile) or self._board.quiet_until(pile, line.source, now):
                continue
            traffic = pile.traffic(line.source)
            if self._crew.open_at(line.source, site) > self._tools.reactor.connections(traffic, site, now):
                line.dismiss()
                return None
            decision, fresh, retries = self._decide(pile, line.source, now)
            if isinstance(decision, Admit):
                bounds = self._bounds(pile, line.source)
                if bounds.busy:
                    if (full := self._limits.crowded(bounds, now)) is not None:
                        self._ask_at = min(self._ask_at, full.until)
                        continue
                    self._busy[line] = bounds.busy
                    self._limits.enter(bounds.busy)
                return Pick(
                    pile=pile, traffic=traffic, pool=self._pools.name(pile.group), bounds=bounds,
                    messages=decision.messages, fresh=fresh,
                    retries=retries, allowances=decision.allowances, retry_allowances=decision.retry_allowances,
                )  # fmt: skip
            self._ask_at = min(self._ask_at, max(decision.until, now + self._clock.real(SHORTEST_WAIT)))
        if self._board.worked_off:
            self.wake()  # a look counts a long line only in part: there may be more behind it
        return None

    def is_urgent(self, pick: Pick) -> bool:
        """Whether it is transactional mail."""
        return pick.pile.group.stream in self._urgent

    def nothing_claimed(self, pick: Pick, source: Source) -> None:
        """A claim gave nothing."""
        now = self._clock.now()
        self.due(self._board.dry(pick.pile, source, now, self._clock.real(DRY_SECONDS)))

    def ended(self, line: Line, *, failed: bool) -> None:
        """A line has closed its connection."""
        self._limits.leave(self._busy.pop(line, ()))
        self._crew.ended(line, failed=failed)
        self.wake()

    # --- housekeeping, the end -------------------------------------------------------------------------------
    def _keeping_interval(self) -> float:
        return max(KEEPING_SECONDS, self._clock.real(2.0))

    async def _keep_house(self, now: float) -> None:
        self._keep_at = now + self._keeping_interval()
        self.due(self._keep_at)
        self._crew.cut_stuck()
        await self._tools.holds.pay(now)
        for _ in range(40):
            if await self._queue.expire(now) == 0:
                break
        # only leases that ran out: a name that no node has cannot match a row of ours that is being sent
        await self._queue.recover(Node("(expired leases)"), now)

    async def _stop(self, group: asyncio.TaskGroup) -> None:
        """Finish what is in flight, give the rest back, write what is known; all within STOP_SECONDS and a little."""
        self.stopping = True
        self._routing.cancel()
        await self._crew.finish(STOP_SECONDS)
        await asyncio.wait({group.create_task(self._settler.drained())}, timeout=3.0)
        try:
            await self._tools.holds.pay(self._clock.now())
            await self._replies.turn(self._clock, last=True)
        except Exception:
            logger.exception("waits could not be credited, or lessons not told")
