"""core.ports.Queue on a database: each call one transaction (routing a domain: one for each portion of its rows).

Contract: an accepted recipient is in exactly one place, a row of the queue or a terminal event of the log.  Cost does
not grow with the length of the queue: claims and `groups` read the front of an index, `extend` and `depth` figures of
groups, `unrouted` each domain once.  A lease belongs to a node *and* to this object's life: `recover` takes back what
an earlier life of the node held, never what this one holds, so it may be called again at any time.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection

from core.events import Event
from core.lane import Provider, Site
from core.messages import Body, FrequencyCap, Leased, Node, QueueGroup, Submission
from core.notices import NoticeOrder
from core.state import Claim, Settlement
from core.tokens import MessageId
from storage.database import Database
from storage.frequency import addresses_over
from storage.pending import pending
from storage.queue.accept import (
    Wish,
    accept,
    any_unrouted_at_a_glance,
    loaded,
    put_off,
    route_portion,
    unrouted_domains,
)
from storage.queue.claim import claim_rows, is_sendable, is_sendable_at_a_glance
from storage.queue.groups import are_few, depth, due_groups, due_groups_at_a_glance, find_group, key_of
from storage.queue.settle import release_rows, settle_rows
from storage.queue.takeover import Takeover
from storage.queue.upkeep import (
    any_overdue,
    end_overdue,
    expire_rows,
    find_row,
    groups_with_expired,
    recover_rows,
    remove_remains,
)

_MANY = 100  # events that are made ready beside the loop


class SqlQueue:
    """core.ports.Queue."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._takeover = Takeover(db)
        self._life = secrets.token_hex(6)
        self._few = False  # the last look at the groups was a short one
        self._latest = 0.0  # the latest instant that a caller named: `unrouted` is asked without one

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
        many = len(events) > _MANY
        load = await self._db.aside(partial(loaded, bodies, submissions, events)) if many else None
        wish = Wish(
            load=load or loaded(bodies, submissions, events), remember=idempotency, cap=cap, notices=notices
        )  # fmt: skip
        of_many = cap is not None and len(cap.addresses) > 1  # it locks the counts of many
        if many or of_many or self._db.is_inline:
            await self._db.transact(lambda connection: accept(connection, [wish]), alone=of_many)
        else:
            await self._takeover.hand_over(wish)

    async def over_frequency(self, cap: FrequencyCap) -> frozenset[str]:
        return await self._db.read(lambda connection: addresses_over(connection, cap))

    async def unrouted(self, limit: int = 500) -> list[str]:
        if self._db.glance is not None and not any_unrouted_at_a_glance(self._db.glance):
            return []
        return await self._db.read(lambda connection: unrouted_domains(connection, limit, self._latest))

    async def route(self, domain: str, provider: Provider, site: Site, *, stream: str = "") -> None:
        while await self._db.transact(lambda connection: route_portion(connection, domain, provider, site, stream)):
            pass

    async def fail_domain(self, domain: str, retry_at: float) -> None:
        await self._db.transact(lambda connection: put_off(connection, domain, retry_at))

    async def groups(self, now: float) -> list[QueueGroup]:
        self._told(now)
        if self._db.glance is not None and self._few:
            groups = due_groups_at_a_glance(self._db.glance, now)
        else:
            groups = await self._db.read(lambda connection: due_groups(connection, now))
        self._few = are_few(groups)
        return groups

    async def claim(self, claim: Claim) -> list[Leased]:
        self._told(claim.now)
        return await self._db.transact(
            lambda connection: claim_rows(connection, claim, self._life), alone=True, first=claim.group.priority == 0
        )

    async def still_sendable(self, lease: Leased, now: float) -> bool:
        if self._db.glance is not None:
            return is_sendable_at_a_glance(self._db.glance, lease, now)
        return await self._db.read(lambda connection: is_sendable(connection, lease, now))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        if settlements:
            await self._db.transact(lambda connection: settle_rows(connection, settlements))

    async def release(self, leases: Sequence[Leased], *, retry_at: float = 0.0) -> None:
        if leases:
            await self._db.transact(lambda connection: release_rows(connection, leases, retry_at))

    async def extend(self, group: QueueGroup, seconds: float) -> int:
        def wait(connection: Connection) -> int:
            found = find_group(connection, key_of(group))
            if found is None or seconds <= 0:
                return 0
            pending(connection).wait(found.id, seconds)
            return found.queued

        return await self._db.transact(wait)

    async def expire(self, now: float, limit: int = 500) -> int:
        self._told(now)
        groups = await self._db.read(lambda connection: groups_with_expired(connection, now))

        await self._db.transact(lambda connection: remove_remains(connection, now), alone=True)
        gone = await self.end_overdue(now, limit)
        if groups:
            gone += await self._db.transact(lambda connection: expire_rows(connection, groups, now, limit))
        return gone

    async def end_overdue(self, now: float, limit: int = 500) -> int:
        # a look first: a transaction that finds nothing would still be a commit
        if not await self._db.read(lambda connection: any_overdue(connection, now)):
            return 0
        return await self._db.transact(lambda connection: end_overdue(connection, now, limit), alone=True)

    async def recover(self, node: Node, now: float) -> int:
        self._told(now)
        return await self._db.transact(lambda connection: recover_rows(connection, node, self._life, now), alone=True)

    async def depth(self) -> dict[str, int]:
        return await self._db.read(depth)

    async def find(self, message_id: MessageId) -> Submission | None:
        return await self._db.read(lambda connection: find_row(connection, message_id))

    def _told(self, now: float) -> None:
        self._latest = max(self._latest, now)
