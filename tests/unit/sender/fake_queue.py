"""The event log and the queue in memory: what storage promises, without storage."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from core.classify import BounceClass
from core.errors import OverFrequency, StorageConflict
from core.events import (
    Bounced,
    Deferred,
    Dropped,
    DropReason,
    Event,
    Logged,
    SuppressionReason,
)
from core.lane import (
    NO_SITE,
    UNROUTED,
    Attribution,
    Campaign,
    Lane,
    Pool,
    Provider,
    Site,
    Stream,
    Traffic,
    cohort_of,
)
from core.lane import SendingDomain as Domain
from core.lane import Source as SourceName
from core.messages import Body, BodyId, FrequencyCap, Leased, Node, QueueGroup, Submission
from core.notices import NoticeOrder
from core.ports import Clock
from core.reply import Reply
from core.state import Claim, Settlement, Suppression
from core.tokens import MessageId

T = TypeVar("T")


class FakeLog:
    """An event log in a list."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def append(self, events: Sequence[Event]) -> None:
        self.events += events

    async def read(self, after: int, limit: int = 2000) -> list[Logged]:
        return [Logged(seq=i + 1, event=e) for i, e in enumerate(self.events)][after : after + limit]

    async def head(self) -> int:
        return len(self.events)

    async def of_message(self, message_id: MessageId) -> list[Logged]:
        return [row for row in await self.read(0) if getattr(row.event, "message_id", None) == message_id]

    async def recent(self, kinds: Sequence[str], limit: int, *, before: int = 0) -> list[Logged]:
        return [row for row in await self.read(0) if type(row.event).__name__ in kinds][-limit:]

    async def of_pause(self, pause_id: str) -> list[Logged]:
        return []

    async def changed(self, timeout: float) -> None:
        await asyncio.sleep(timeout)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass(slots=True)
class Row:
    submission: Submission
    due_at: float
    expires_at: float
    provider: Provider = UNROUTED
    site: Site = NO_SITE
    route_at: float = 0.0
    node: str = ""
    lease_until: float = 0.0
    attempts: int = 0
    first_sent_at: float = 0.0
    last: Reply = field(default_factory=lambda: Reply(code=0, text="expired"))


def normal(recipient: str) -> str:
    return recipient.lower()


class FakeQueue:
    """The queue, its suppression list, its allowances and its idempotency answers, in dictionaries."""

    def __init__(self, log: FakeLog, clock: Clock) -> None:
        self.log = log
        self.clock = clock
        self.rows: dict[MessageId, Row] = {}
        self.bodies: dict[BodyId, Body] = {}
        self.suppressed: set[str] = set()
        self.used: Counter[tuple[str, int]] = Counter()
        self.answers: dict[str, str] = {}
        self.extended: list[tuple[QueueGroup, float]] = []
        self.claims: list[tuple[Claim, int]] = []
        self.released = 0
        self.settle_sizes: list[int] = []
        self.failing = 0  # how many settles fail before one goes through
        self.looks = 0
        self.shares: Counter[tuple[str, int, str]] = Counter()
        self.rivals: set[str] = set()  # addresses that somebody else mails just before the next accept

    # intake
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
        if idempotency is not None and idempotency[0] in self.answers:
            raise StorageConflict("the key is known")
        if cap is not None:
            for address in self.rivals:
                self.shares[cap.stream, cap.day, address] += cap.per_day
            self.rivals = set()
            if over := await self.over_frequency(cap):
                raise OverFrequency(over)
            self.shares.update((cap.stream, cap.day, address) for address in cap.addresses)
        if idempotency is not None:
            self.answers[idempotency[0]] = idempotency[1]
        self.bodies.update({body.body_id: body for body in bodies})
        for s in submissions:
            self.rows[s.message_id] = Row(s, s.not_before, s.expires_at, s.provider, s.site)
        await self.log.append(events)

    async def over_frequency(self, cap: FrequencyCap) -> frozenset[str]:
        return frozenset(a for a in cap.addresses if self.shares[cap.stream, cap.day, a] >= cap.per_day)

    async def get(self, key: str) -> str | None:
        return self.answers.get(key)

    async def body(self, body_id: BodyId) -> Body:
        return self.bodies[body_id]

    async def check(self, addresses: Iterable[str], stream: str, *, also: Sequence[str] = ()) -> dict[str, Suppression]:
        return {
            a: Suppression(address=a, stream="", reason=SuppressionReason.MANUAL, at=0.0, evidence="")
            for a in addresses
            if a in self.suppressed
        }

    async def add(
        self, entries: Sequence[Suppression], message_id: MessageId | None = None, events: Sequence[Event] = ()
    ) -> int:
        self.suppressed |= {entry.address for entry in entries}
        return len(entries)

    async def remove(self, address: str, stream: str, by: str, now: float) -> bool:
        self.suppressed.discard(address)
        return True

    async def of_address(self, address: str) -> list[Suppression]:
        return list((await self.check([address], "")).values())

    async def page(self, after: str = "", limit: int = 100) -> list[Suppression]:
        return list((await self.check(self.suppressed, "")).values())

    async def count(self) -> int:
        return len(self.suppressed)

    async def by_reason(self) -> dict[str, int]:
        return {str(SuppressionReason.MANUAL): len(self.suppressed)}

    # routing
    async def unrouted(self, limit: int = 500) -> list[str]:
        now = self.clock.now()
        domains = {_domain(r): None for r in self.rows.values() if not r.site and r.route_at <= now}
        return list(domains)[:limit]

    async def route(self, domain: str, provider: Provider, site: Site, *, stream: str = "") -> None:
        for row in self.rows.values():
            if _domain(row) == domain and not row.site and stream in ("", row.submission.stream):
                row.provider, row.site = provider, site

    async def fail_domain(self, domain: str, retry_at: float) -> None:
        for row in self.rows.values():
            if _domain(row) == domain:
                row.route_at = retry_at

    # dispatch
    async def groups(self, now: float) -> list[QueueGroup]:
        self.looks += 1
        found: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows.values():
            if row.site and not row.node and row.due_at <= now:
                s = row.submission
                found.setdefault(
                    (s.sending_domain, row.provider, row.site, s.stream, s.campaign, s.pool, s.list_source), []
                ).append(row)
        groups = [
            QueueGroup(
                sending_domain=Domain(key[0]), provider=Provider(key[1]), site=Site(key[2]), stream=Stream(key[3]),
                campaign=Campaign(key[4]), priority=min(r.submission.priority for r in rows),
                fresh=sum(not r.attempts for r in rows), retries=sum(bool(r.attempts) for r in rows),
                oldest=min(r.due_at for r in rows), pool=Pool(key[5]), list_source=key[6],
            )
            for key, rows in found.items()
        ]  # fmt: skip
        return sorted(groups, key=lambda g: (g.priority, g.oldest))

    async def claim(self, claim: Claim) -> list[Leased]:
        wanted = sorted(
            (r for r in self._of(claim.group) if not r.node and r.due_at <= claim.now), key=lambda r: r.due_at
        )
        taken: list[Leased] = []
        fresh, retries = claim.fresh, claim.retries
        for row in wanted:
            again = bool(row.attempts)
            if (retries if again else fresh) <= 0:
                continue
            s = row.submission
            if normal(s.recipient) in self.suppressed:
                await self._end(row, Dropped(
                    at=claim.now, message_id=s.message_id, recipient=s.recipient, stream=s.stream, campaign=s.campaign,
                    reason=DropReason.SUPPRESSED, detail="",
                ))  # fmt: skip
                continue
            caps = claim.retry_allowances if again else claim.allowances
            if any(self.used[key, period] >= cap for key, period, cap in caps):
                continue
            for key, period, _ in caps:
                self.used[key, period] += 1
            if again:
                retries -= 1
            else:
                fresh -= 1
            row.node, row.lease_until = claim.node, claim.lease_until
            taken.append(self._leased(row, claim.lane))
        self.claims.append((claim, len(taken)))
        return taken

    async def still_sendable(self, lease: Leased, now: float) -> bool:
        row = self.rows.get(lease.submission.message_id)
        held = row is not None and row.node == lease.node and row.lease_until == lease.lease_until > now
        return held and normal(lease.submission.recipient) not in self.suppressed

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError("the disk is full")
        self.settle_sizes.append(len(settlements))
        for settlement in settlements:
            row = self.rows.get(settlement.lease.submission.message_id)
            if row is None:
                continue
            event = settlement.event
            if isinstance(event, Deferred):
                row.attempts += 1
                row.first_sent_at = row.first_sent_at or event.at
                row.due_at, row.node, row.last = event.retry_at, "", event.reply
                self.log.events.append(event)
            else:
                if settlement.suppress is not None:
                    self.suppressed.add(normal(row.submission.recipient))
                await self._end(row, event)

    async def release(self, leases: Sequence[Leased], *, retry_at: float = 0.0) -> None:
        now = self.clock.now()
        for lease in leases:
            row = self.rows.get(lease.submission.message_id)
            if row is not None and row.lease_until == lease.lease_until:
                self.released += 1
                row.node, row.lease_until = "", 0.0
                row.due_at = max(row.due_at, retry_at)
                row.expires_at += max(0.0, retry_at - now)

    async def extend(self, group: QueueGroup, seconds: float) -> int:
        self.extended.append((group, seconds))
        rows = self._of(group)
        for row in rows:
            row.expires_at += seconds
        return len(rows)

    async def expire(self, now: float, limit: int = 500) -> int:
        return await self._end_late([r for r in self.rows.values() if not r.node and r.expires_at <= now][:limit], now)

    async def end_overdue(self, now: float, limit: int = 500) -> int:
        late = [r for r in self.rows.values() if not r.node and 0 < r.submission.deadline <= now][:limit]
        return await self._end_late(late, now)

    async def _end_late(self, late: list[Row], now: float) -> int:
        for row in late:
            s = row.submission
            lane = Lane(source=SourceName(""), sending_domain=s.sending_domain, provider=row.provider)
            traffic = Traffic(lane=lane, stream=s.stream, campaign=s.campaign)
            await self._end(row, Bounced(
                at=now, message_id=s.message_id, recipient=s.recipient, site=row.site, remote="", reply=row.last,
                attribution=Attribution(traffic=traffic, cohort=cohort_of(row.first_sent_at or now)),
                bounce_class=BounceClass.EXPIRED, attempt=row.attempts,
            ))  # fmt: skip
        return len(late)

    async def recover(self, node: Node, now: float) -> int:
        count = 0
        for row in self.rows.values():
            if row.node and (row.node == node or row.lease_until <= now):
                row.node, row.lease_until = "", 0.0
                count += 1
        return count

    async def depth(self) -> dict[str, int]:
        return dict(Counter(str(r.provider) for r in self.rows.values()))

    async def find(self, message_id: MessageId) -> Submission | None:
        row = self.rows.get(message_id)
        return row.submission if row else None

    @property
    def leased(self) -> int:
        return sum(bool(row.node) for row in self.rows.values())

    def _of(self, group: QueueGroup) -> list[Row]:
        wanted = (
            group.sending_domain,
            group.provider,
            group.site,
            group.stream,
            group.campaign,
            group.pool,
            group.list_source,
        )
        return [row for row in self.rows.values() if _kind(row) == wanted]

    def _leased(self, row: Row, lane: Lane) -> Leased:
        submission = replace(row.submission, expires_at=row.expires_at, provider=row.provider, site=row.site)
        return Leased(
            submission=submission, node=Node(row.node), source=lane.source, lease_until=row.lease_until,
            attempts=row.attempts, first_sent_at=row.first_sent_at,
        )  # fmt: skip

    async def _end(self, row: Row, event: Event) -> None:
        self.rows.pop(row.submission.message_id)
        await self.log.append([event])


def _domain(row: Row) -> str:
    return row.submission.recipient.rpartition("@")[2]


def _kind(row: Row) -> tuple[str, ...]:
    s = row.submission
    return (s.sending_domain, row.provider, row.site, s.stream, s.campaign, s.pool, s.list_source)
