"""One connection at work: claims a few messages, sends them one after another, and says what it learned.

Contract: every row that a line claims leaves it in one of two ways: with a settlement, or given back.  The first claim
of a new connection is a single row: a host that cannot be reached costs one attempt and one unit of allowance, not a
batch.  Right before each message it is asked again whether it may go: the gate, the lease, the suppression list, the
rest of the pair.  No step can wait for ever: a message is bounded by its lease, a connection by the transport's limits.
A line that ends in an error of ours takes no other line with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from core.classify import BounceClass, Diagnosis
from core.errors import InvalidInput, PenstockError
from core.lane import Source, Traffic
from core.messages import Leased
from core.ports import Connection
from core.reply import Stage
from core.state import AttemptResult, Claim, Envelope, Settlement
from core.tls import FREE_PASSAGE, PolicyType, StsMode
from sender.board import Pile, Place
from sender.limiting.grants import Grants, NotNow
from sender.outcome import attribution, bounce, drop, no_reply, settle
from sender.pick import Pick
from sender.route import Route, Unroutable
from sender.schedule import is_ahead
from sender.tools import Tools
from sender.trouble import Outcome, Stops, Verdict, diagnose, judge

logger = logging.getLogger("penstock.sender")
BATCH = 20  # rows claimed at once on an open connection
MAX_BATCH = 100  # where much waits and the host is fast: a claim costs a commit
BATCH_SECONDS = 1.0  # real seconds that a larger batch may take, by the pace of the one before
NARROW_BATCH = 4  # while the pair recovers from trouble
LEASE_SHARE = 0.7  # a message is begun only while so much of its lease is left
TRANSPORT_SHARE = 0.68  # of a lease: the transport takes 2/3 at most, by itself


class Foreman(Protocol):
    """The dispatcher, as a line sees it."""

    @property
    def stopping(self) -> bool: ...
    def pick(self, line: Line) -> Pick | None: ...
    def is_urgent(self, pick: Pick) -> bool: ...
    def nothing_claimed(self, pick: Pick, source: Source) -> None: ...
    def due(self, at: float) -> None: ...
    def wake(self) -> None: ...
    def ended(self, line: Line, *, failed: bool) -> None: ...


class Line:
    """See the module.  `urgent_only`: it stands on the connection that is kept for transactional mail."""

    def __init__(
        self, tools: Tools, foreman: Foreman, source: Source, pile: Pile, *, per_connection: int, urgent_only: bool
    ) -> None:
        self._tools = tools
        self._foreman = foreman
        self._per_connection = per_connection
        self._connection: Connection | None = None
        self._site_open = ""
        self._passage = FREE_PASSAGE
        self._sent = 0
        self._pace = BATCH_SECONDS / BATCH  # real seconds a message
        self._gives_way = False
        self._grants = Grants(tools.limits, tools.clock)
        self._call = asyncio.Event()
        self.source = source
        self.place: Place = (pile.group.sending_domain, pile.group.site)
        self.provider = pile.group.provider
        self.urgent_only = urgent_only
        self.parked = False
        self.dismissed = False
        self.moved_at = tools.clock.now()  # when it last took a step

    def call(self) -> None:
        """There may be work."""
        self._call.set()

    def give_way(self) -> None:
        """Something more urgent waits for this place: give back what is claimed and look again."""
        self._gives_way = True
        self._tools.settler.hurry()

    def dismiss(self) -> None:
        """Finish the message in hand, give the others back, hang up."""
        self.dismissed = True
        self._call.set()

    async def run(self) -> None:
        """Work until there is nothing to do for a while."""
        failed = False
        try:
            while not self._over() and not self._resting():
                pick = self._foreman.pick(self)
                if pick is not None:
                    await self._serve(pick)
                elif not await self._park():
                    break
        except PenstockError as error:  # of storage: who asks next is told the same, at length
            failed = True
            logger.error("a line of source %s to %s ends: %s", self.source, self.place[1], error)
        except Exception:
            failed = True
            logger.exception("a line of source %s to %s failed", self.source, self.place[1])
        finally:
            try:
                await self._hang_up()
            except Exception:
                logger.exception("a connection of source %s to %s could not be closed", self.source, self.place[1])
            finally:
                self._foreman.ended(self, failed=failed)

    async def _park(self) -> bool:
        """Keep the connection open for a moment.  False when nothing came."""
        idle = self._tools.delivery.idle_seconds
        if self._connection is None or idle <= 0 or self._over():
            return False
        self._call.clear()
        self.parked = True
        try:
            async with asyncio.timeout(idle):
                await self._call.wait()
        except TimeoutError:
            return False
        finally:
            self.parked = False
        return not self._over()

    async def _serve(self, pick: Pick) -> None:
        tools = self._tools
        await tools.settler.room()
        self._gives_way = False
        if self._connection is not None and not self._foreman.is_urgent(pick):
            await tools.settler.beat()
            if self._gives_way or self._over():
                return
        now = self.moved_at = tools.clock.now()
        grants = self._grants
        grants.bounds = pick.bounds
        if self._connection is None and not await grants.opening():
            self.dismissed = True
            return
        fresh, retries = self._shares(pick, pick.messages)
        granted = await grants.messages(pick.pile.group, fresh + retries, now)
        if granted < fresh + retries:
            fresh, retries = self._shares(pick, granted)
        if fresh + retries == 0:
            return
        leases = await tools.queue.claim(Claim(
            group=pick.pile.group, lane=pick.traffic.lane, node=tools.node, fresh=fresh, retries=retries, now=now,
            lease_until=now + tools.clock.real(tools.delivery.lease_seconds), allowances=pick.allowances,
            retry_allowances=pick.retry_allowances,
        ))  # fmt: skip
        tools.board.took(pick.pile, self.source, fresh, retries, len(leases))
        tools.reactor.spent(pick.traffic, self.place[1], len(leases), now)
        tools.spent(pick.allowances, sum(lease.attempts == 0 for lease in leases))
        tools.spent(pick.retry_allowances, sum(lease.attempts > 0 for lease in leases))
        begun = 0
        try:
            if not leases:
                self._foreman.nothing_claimed(pick, self.source)
                return
            if len(leases) < fresh + retries:
                self._foreman.wake()  # some were suppressed, or others took them: look again
            began = time.monotonic()
            begun = await self._work_off(leases, pick)
            self._pace = max(1e-6, (time.monotonic() - began) / len(leases))
        finally:
            await grants.give_back(pick.bounds, granted - begun)

    async def _work_off(self, leases: Sequence[Leased], pick: Pick) -> int:
        """Send them, or give them back.  How many were begun."""
        tools, begun = self._tools, 0
        urgent = self._foreman.is_urgent(pick)
        for index, lease in enumerate(leases):
            if not urgent:
                await tools.evenly.turn()
            if self._must_stop(pick, lease) or (index and self._gives_way and not urgent):
                await tools.settler.give_back(leases[index:])
                self._foreman.wake()
                break
            try:
                settlement = await self._attempted(lease, pick)
            except NotNow:
                await tools.settler.give_back(leases[index:])
                self.dismissed = True
                self._foreman.wake()
                break
            except PenstockError:
                await tools.settler.give_back(leases[index:])
                raise
            if settlement is None:
                await tools.settler.give_back([lease])
                self._foreman.wake()
            else:
                begun += 1
                tools.settler.put(settlement)
                retry_at = getattr(settlement.event, "retry_at", None)
                if isinstance(retry_at, float):
                    self._foreman.due(retry_at)
            await tools.settler.room()
        return begun

    def _shares(self, pick: Pick, most: int) -> tuple[int, int]:
        """(first attempts, further attempts) to claim: neither kind starves the other."""
        room = 1
        if self._connection is not None:
            recovering = self._tools.rest.width(self.source, self.place[1], 2) < 2
            # a tenth of what waits, so that other lines of the place find work, and no more than is done in a moment
            fair = min(MAX_BATCH, self._tools.board.rows_at(self.place) // 10, int(BATCH_SECONDS / self._pace))
            room = min(NARROW_BATCH if recovering else max(BATCH, fair), max(1, self._longest(pick) - self._sent))
        room = min(room, most)
        retries = min(pick.retries, max(room - pick.fresh, (room + 1) // 2))
        return min(pick.fresh, room - retries), retries

    def _longest(self, pick: Pick) -> int:
        """Messages that one connection may carry, when it carries such mail."""
        tools, allowed = self._tools, min(self._per_connection, pick.bounds.per_connection or self._per_connection)
        return tools.reactor.per_connection(pick.traffic, self.place[1], tools.clock.now(), allowed)

    def _over(self) -> bool:
        return self.dismissed or self._foreman.stopping

    def _resting(self) -> bool:
        tools = self._tools
        now = tools.clock.now()
        return is_ahead(tools.rest.until(self.source, self.place[1]), now) or is_ahead(
            tools.sources.until(self.source), now
        )

    def _must_stop(self, pick: Pick, lease: Leased) -> bool:
        tools = self._tools
        now = self.moved_at = tools.clock.now()
        left = lease.lease_until - now
        return (
            self._over()
            or tools.snapshot().closed(pick.traffic, self.place[1], pick.pool) is not None
            or self._resting()
            or self._grants.are_stale(now)
            or tools.reactor.stopped(pick.traffic, self.place[1], now)
            or left < tools.clock.real(tools.delivery.lease_seconds) * LEASE_SHARE
        )

    async def _attempted(self, lease: Leased, pick: Pick) -> Settlement | None:
        """The settlement of one message; None: give it back."""
        tools = self._tools
        began = tools.clock.now()
        wanted_until = lease.submission.deadline or math.inf  # no wait of ours puts it off
        deadline = min(lease.submission.expires_at + tools.holds.owed(pick.pile.group, began), wanted_until)
        try:
            return await self._attempt(lease, pick, began, deadline)
        except (PenstockError, NotNow):
            raise  # storage cannot answer: no message can go
        except Exception as error:
            # an error of ours with this message: it must neither stop the others nor come back at once for ever
            logger.exception("message %s: the attempt failed", lease.submission.message_id)
            await self._hang_up()
            result = no_reply(f"internal error ({type(error).__name__})")
            failed = Verdict(outcome=Outcome.DEFERRED, stops=Stops.NOTHING)
            diagnosis = Diagnosis(bounce_class=BounceClass.REMOTE_ERROR, rule="internal")
            return self._settled(lease, pick, result, diagnosis, failed, began, deadline)

    async def _attempt(self, lease: Leased, pick: Pick, began: float, deadline: float) -> Settlement | None:
        tools = self._tools
        traffic = pick.traffic
        if deadline <= began:
            late = no_reply("the message's time was up before this attempt")
            where = attribution(lease, traffic, began)
            return bounce(lease, where, self.place[1], late, BounceClass.EXPIRED, now=began)
        domain = lease.submission.recipient.rpartition("@")[2]
        route = await tools.router.route(domain, began, lease.submission.stream)
        if isinstance(route, Unroutable):
            return self._unroutable(lease, pick, route, began, deadline)
        try:
            body = await tools.bodies.get(lease.submission.body_id)
            envelope = tools.composer.compose(lease, body, began)
        except InvalidInput as error:
            return drop(lease, str(error), tools.clock.now())
        if body.kind == "report":
            # RFC 8460 section 3: a report of failures must not fail for the same reason
            route = replace(route, passage=replace(route.passage, sts=StsMode.NONE, sts_hosts=(), authentic=False))
        result = await self._carry(lease, pick, envelope, route)
        if result is None or (result.wrong_family and tools.pools.bar(self.source, pick.pile.group, began)):
            self.dismissed = self.dismissed or result is not None  # another source of this mail may reach the host
            return None
        diagnosis = diagnose(result.reply, traffic.lane.provider, tools.classifier)
        verdict = judge(result.reply, diagnosis)
        if result.facts.policy is PolicyType.STS and result.reply.stage is Stage.STARTTLS:
            # the policy of one recipient domain failed: others at the site have nothing to do with it
            verdict = Verdict(outcome=verdict.outcome, stops=Stops.NOTHING)
        self._learn(pick.traffic, result, diagnosis, verdict)
        # a domain whose hosts changed since its mail was queued is served by a connection of its own
        if not result.reusable or self._sent >= self._longest(pick) or self._site_open != self.place[1]:
            await self._hang_up()
        return self._settled(lease, pick, result, diagnosis, verdict, began, deadline)

    async def _carry(self, lease: Leased, pick: Pick, envelope: Envelope, route: Route) -> AttemptResult | None:
        """Connect if need be and send; None when the message may not be sent any more."""
        refusal = await self._connect(route)
        if refusal is not None:
            return refusal
        used = self._sent
        result = await self._deliver(lease, pick, envelope)
        if result is None or not (used and result.reply.code == 0 and result.reply.stage is Stage.CONNECT):
            return result
        await self._hang_up()  # the host had closed the idle connection: nothing was tried yet
        return await self._connect(route) or await self._deliver(lease, pick, envelope)

    def _unroutable(self, lease: Leased, pick: Pick, route: Unroutable, began: float, deadline: float) -> Settlement:
        verdict = Verdict(outcome=Outcome.BOUNCED if route.permanent else Outcome.DEFERRED, stops=Stops.NOTHING)
        result = AttemptResult(reply=route.reply, remote="", tls="", reusable=True)
        diagnosis = Diagnosis(bounce_class=route.bounce_class, rule="dns")
        return self._settled(lease, pick, result, diagnosis, verdict, began, deadline)

    def _settled(
        self,
        lease: Leased,
        pick: Pick,
        result: AttemptResult,
        diagnosis: Diagnosis,
        verdict: Verdict,
        began: float,
        deadline: float,
    ) -> Settlement:
        return settle(
            lease, pick.traffic, self.place[1], result, diagnosis, verdict, self._tools.schedule,
            began=began, now=self._tools.clock.now(), deadline=deadline,
        )  # fmt: skip

    async def _connect(self, route: Route) -> AttemptResult | None:
        """None when a connection to the route's hosts is open, else why there is none."""
        if self._connection is not None and self._site_open == route.site and self._passage.covers(route.passage):
            return None
        await self._hang_up()
        tools = self._tools
        await self._grants.use_opening()
        try:
            async with asyncio.timeout(tools.delivery.lease_seconds / 2):
                found = await tools.transport.connect(
                    self.source, route.hosts, self.place[0], passage=route.passage
                )  # fmt: skip
        except TimeoutError:
            found = no_reply("the connection was not open in time", stage=Stage.CONNECT)
        if isinstance(found, AttemptResult):
            return found
        self._connection, self._site_open, self._passage, self._sent = found, route.site, route.passage, 0
        return None

    async def _deliver(self, lease: Leased, pick: Pick, envelope: Envelope) -> AttemptResult | None:
        """One message over the open connection; None when it may not be sent any more."""
        tools = self._tools
        if not await tools.queue.still_sendable(lease, tools.clock.now()):
            return None
        # no await between this look and the first byte
        if tools.snapshot().closed(pick.traffic, self.place[1], pick.pool) is not None:
            return None
        assert self._connection is not None
        self._sent += 1
        left = (lease.lease_until - tools.clock.now()) / tools.clock.rate
        if left > tools.delivery.lease_seconds * TRANSPORT_SHARE:
            return await self._connection.send(envelope)
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await self._connection.send(envelope)
        except TimeoutError:
            return no_reply("the transaction outlived its lease", stage=Stage.DATA)

    def _learn(self, traffic: Traffic, result: AttemptResult, diagnosis: Diagnosis, verdict: Verdict) -> None:
        tools = self._tools
        now, site, said = tools.clock.now(), self.place[1], str(result.reply)
        whose = site if site.startswith("relay:") else self.provider
        if tools.sources.learn(self.source, whose, result, diagnosis.group, now):
            logger.warning("source %s is taken out for a while: %s", self.source, result.reply)
        tools.reactor.learn(traffic, site, result.reply, diagnosis, now, whose=whose)
        if verdict.outcome is Outcome.DELIVERED:
            tools.rest.success(self.source, site)
        elif verdict.stops is Stops.SITE:
            tools.rest.trouble(self.source, site, diagnosis.group, now, provider=whose, sample=said)
        elif verdict.stops is Stops.SITE_IF_REPEATED:
            tools.rest.repeated(self.source, site, diagnosis.group, now, provider=whose, sample=said)
        elif verdict.stops is Stops.CROWD:
            tools.rest.crowded(self.source, site, now, provider=whose, sample=said)
        self._foreman.due(tools.rest.until(self.source, site))

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        self._sent = 0
        if connection is not None:
            await connection.close()
