"""What is remembered of feedback over days: soft bounces by address, counts by day, and reply texts that nobody knows.

Plain values, the event that tells of a provider's outage, and the port behind them.  `monitor.feedback` folds the log
into these; each batch is one transaction with its place in the log, so that a crash repeats nothing and skips nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from core.classify import BounceClass

if TYPE_CHECKING:
    from core.events import Event
    from core.state import Suppression
    from core.tokens import MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageChanged:
    """A place (`provider:gmail`, `site:mx.example`) began to call nearly everybody unknown, or ceased to.

    While it lasts nobody is suppressed for being unknown there; `lifted` such suppressions were taken back with this
    event.  `refused` of `answered` recipients were unknown in the window, `past_refused` of `past_answered` in the days
    before it.
    """

    at: float
    place: str
    began: bool
    refused: int
    answered: int
    past_refused: int
    past_answered: int
    lifted: int
    reason: str
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftRecord:
    """Failures of one kind at one address since its last success.

    `hits` counts days (UTC) with a failure, from the first to the last of them.  `delivered_*` is a success that a
    bounce mail may still take back (a host that takes all mail and refuses some later); `asked_at` is when DNS was last
    asked about the domain, 0 for never.  `evidence` is the newest reply.
    """

    address: str
    kind: BounceClass
    hits: int
    first_at: float
    last_at: float
    last_id: str
    evidence: str
    delivered_at: float = 0.0
    delivered_id: str = ""
    asked_at: float = 0.0


class Tally(StrEnum):
    """What is counted by day.  The comment says what the name is."""

    DELIVERED = "delivered"  # place
    UNKNOWN = "unknown"  # place: recipients called unknown
    CLASS = "class"  # provider|class of a refusal
    REPORT = "report"  # who reports: complaint:DOMAIN, bounce:PROVIDER
    UNMATCHED = "unmatched"  # provider: refusals that no rule knows
    UNVERIFIED = "unverified"  # kind of report


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyCluster:
    """Refusals that say the same, which no rule knows.  `shape` is the text with addresses, hosts and ids masked."""

    provider: str
    shape: str
    count: int
    first_at: float
    last_at: float
    sample: str


@dataclass(slots=True, kw_only=True)
class FeedbackChanges:
    """What one batch changes.  `lift` are addresses whose HARD_BOUNCE suppressions end, with who ended them."""

    days: dict[tuple[Tally, str, int], int] = field(default_factory=dict)
    records: dict[tuple[str, BounceClass], SoftRecord | None] = field(default_factory=dict)  # None: forgotten
    clusters: list[ReplyCluster] = field(default_factory=list)  # counts are added to what is stored
    suppress: list[tuple[Suppression, MessageId | None]] = field(default_factory=list)
    lift: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class FeedbackStore(Protocol):
    """Storage of the above."""

    async def cursor(self) -> int: ...

    async def records(self, addresses: Iterable[str]) -> list[SoftRecord]:
        """Records of these addresses (normal forms)."""
        ...

    async def due(self, kind: BounceClass, asked_before: float, limit: int = 200) -> list[SoftRecord]:
        """Records of a kind that DNS was not asked about since, oldest first."""
        ...

    async def days(self, tally: Tally, since_day: int, name: str = "") -> dict[tuple[str, int], int]:
        """(name, day) → count; of one name, or of all when it is ''."""
        ...

    async def clusters(self, since: float, limit: int = 100) -> list[ReplyCluster]:
        """Those seen since then, most first."""
        ...

    async def commit(self, before: int, after: int, changes: FeedbackChanges, now: float) -> None:
        """One transaction: cursor `before` → `after` and everything that changed.

        Raises StorageConflict when the cursor is no longer `before`."""
        ...

    async def forget(self, *, records_before: float, delivered_before: float, day_before: int) -> None:
        """Drop records whose last failure or confirmed success lies before, counts and clusters of older days."""
        ...
