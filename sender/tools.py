"""What every line works with, and the memory of bodies.

Contract: plain collaborators without behaviour of their own; `Bodies` keeps those used last, bounded in bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from config.model import Delivery
from core.classify import Classifier
from core.messages import Body, BodyId, Node
from core.ports import Clock, Queue, Spool, Transport
from core.state import Snapshot
from sender.board import Board
from sender.compose import Composer
from sender.evenly import Evenly
from sender.holds import Holds
from sender.limiting.book import LimitBook
from sender.pools import Pools
from sender.replies.reactor import Reactor
from sender.route import Router
from sender.schedule import LaneRest, RetrySchedule
from sender.settler import Settler
from sender.sources import Sources

MAX_BODY_BYTES = 32_000_000


class Bodies:
    """Bodies from the spool, cached: a campaign's recipients share one."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._known: OrderedDict[BodyId, Body] = OrderedDict()
        self._bytes = 0

    async def get(self, body_id: BodyId) -> Body:
        """The body."""
        known = self._known.get(body_id)
        if known is not None:
            self._known.move_to_end(body_id)
            return known
        body = await self._spool.body(body_id)
        if body_id not in self._known:  # another line may have been faster
            self._known[body_id] = body
            self._bytes += len(body.content)
        while self._bytes > MAX_BODY_BYTES and len(self._known) > 1:
            self._bytes -= len(self._known.popitem(last=False)[1].content)
        return body


class Spent(Protocol):
    """Hears how much of which allowances was just reserved, so that the next decision knows before storage is read."""

    def __call__(self, allowances: Sequence[tuple[str, int, int]], units: int) -> None: ...


def not_told(allowances: Sequence[tuple[str, int, int]], units: int) -> None:
    """Nobody listens: decisions go by what storage says, and a claim that finds nothing left waits a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """See the module."""

    node: Node
    delivery: Delivery
    queue: Queue
    transport: Transport
    router: Router
    composer: Composer
    classifier: Classifier
    schedule: RetrySchedule
    clock: Clock
    snapshot: Callable[[], Snapshot]
    bodies: Bodies
    board: Board
    holds: Holds
    settler: Settler
    rest: LaneRest
    sources: Sources
    evenly: Evenly = field(default_factory=Evenly)
    limits: LimitBook
    reactor: Reactor
    pools: Pools
    spent: Spent = not_told
