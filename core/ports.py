"""Ports: what the houses need from the outside, as protocols.  Adapters are built in `service/app.py` only.

All are asynchronous; the storage adapters run one transaction per call.  A method that appends events
does so in the same transaction as its state change.  `StorageConflict` means a race was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from core.acceptor import Acceptor
from core.decision import Decision
from core.events import Event, GateState, Logged
from core.lane import Provider, SendingDomain, Site, Source, Traffic
from core.messages import Body, BodyId, Leased, Node, QueueGroup, Submission
from core.recipient_ports import Consents as Consents
from core.recipient_ports import Engagements as Engagements
from core.recipient_ports import Frequencies as Frequencies
from core.state import (
    Alert,
    AttemptResult,
    Claim,
    CounterKey,
    Envelope,
    FoundMail,
    Gate,
    MxHost,
    Observation,
    Point,
    Settlement,
    Snapshot,
    StepState,
    Suppression,
)
from core.tls import FREE_PASSAGE, Passage, TlsaAnswer, TlsSession
from core.tokens import MessageId


class Clock(Protocol):
    """See core.clock."""

    rate: float

    def now(self) -> float: ...
    def real(self, seconds: float) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class Admission(Protocol):
    """The gate's answer to the sender (warmup.admission).  Pure."""

    def decide(self, traffic: Traffic, fresh: int, retries: int, snapshot: Snapshot, now: float) -> Decision:
        """May up to `fresh` first attempts and `retries` further ones of this traffic start now?

        Admit.messages is at least 1; Defer.until lies after `now`."""
        ...


# --- DNS -----------------------------------------------------------------------------------------
class NameMissing(Exception):
    """NXDOMAIN: proof, this time, that the name does not exist."""


class NullMx(Exception):
    """The domain says that it takes no mail (RFC 7505)."""


class ResolverFailed(Exception):
    """SERVFAIL, time-out, refused: nothing is known; ask again later."""


class Resolver(Protocol):
    """DNS.  Names in A-labels without final dot.  Raises NameMissing or ResolverFailed."""

    async def mx(self, domain: str) -> list[MxHost]:
        """Sorted by preference; the implicit MX (the domain itself, preference 0) when only A/AAAA exist.

        Raises NullMx as well."""
        ...

    async def addresses(self, host: str) -> list[str]:
        """IPv4 first, then IPv6.  Empty when the name exists without addresses."""
        ...

    async def txt(self, name: str) -> list[str]:
        """Each record's strings joined.  Empty when the name has no TXT."""
        ...

    async def ptr(self, ip: str) -> list[str]:
        """Names of an address; empty when it has none."""
        ...


class TlsaSource(Protocol):
    """TLSA records for DANE (RFC 7672); only a resolver that validates DNSSEC can give authentic ones."""

    async def tlsa(self, host: str, port: int) -> TlsaAnswer:
        """Not asked for, hence not authentic and empty, where the host's own addresses are not authentic.

        A missing name is an empty answer.  Raises ResolverFailed: then nothing is known, and a proof may exist."""
        ...


class PolicyFetcher(Protocol):
    """The MTA-STS policy file of a domain (RFC 8461 section 3.3)."""

    async def fetch(self, domain: str) -> str:
        """Its text, over verified HTTPS, bounded in size and time.  Raises core.tls.StsProblem."""
        ...


class SessionBook(Protocol):
    """Takes notes of connections for TLS reports."""

    def note(self, session: TlsSession) -> None:
        """Never blocks and never raises; may drop when full."""
        ...


# --- storage -------------------------------------------------------------------------------------
class EventLog(Protocol):
    async def append(self, events: Sequence[Event]) -> None: ...

    async def read(self, after: int, limit: int = 2000) -> list[Logged]:
        """Events with seq > after, in commit order; never skips one that commits later with a lower seq."""
        ...

    async def head(self) -> int:
        """The greatest seq, 0 when empty."""
        ...

    async def of_message(self, message_id: MessageId) -> list[Logged]: ...

    async def recent(self, kinds: Sequence[str], limit: int, *, before: int = 0) -> list[Logged]:
        """Newest first; `kinds` are class names of events; `before` > 0 pages back."""
        ...

    async def of_pause(self, pause_id: str) -> list[Logged]: ...

    async def changed(self, timeout: float) -> None:
        """Return when something was appended by this process, or after `timeout` real seconds."""
        ...


class Queue(Acceptor, Protocol):
    """The whole queue: what comes in, is claimed, ends."""

    async def unrouted(self, limit: int = 500) -> list[str]:
        """Recipient domains of queued mail that nobody has routed yet."""
        ...

    async def route(self, domain: str, provider: Provider, site: Site, *, stream: str = "") -> None:
        """Where this domain's unrouted mail goes; with `stream` only that stream's."""
        ...

    async def fail_domain(self, domain: str, retry_at: float) -> None:
        """Ask for this domain's route again at `retry_at`."""
        ...

    async def groups(self, now: float) -> list[QueueGroup]:
        """Due, routed and unleased mail, by priority, oldest first."""
        ...

    async def claim(self, claim: Claim) -> list[Leased]:
        """Lease rows and reserve their allowances in one transaction.

        Suppressed recipients are not returned: they end as Dropped(SUPPRESSED) in the same transaction.
        """
        ...

    async def still_sendable(self, lease: Leased, now: float) -> bool:
        """True unless the lease was lost or the recipient was suppressed since the claim."""
        ...

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write outcomes.  A lease that was lost meanwhile is ignored when another outcome is already stored."""
        ...

    async def release(self, leases: Sequence[Leased], *, retry_at: float = 0.0) -> None:
        """Give back unsent rows: no attempt is counted, the age is extended by the wait, allowances stay reserved."""
        ...

    async def extend(self, group: QueueGroup, seconds: float) -> int:
        """Add a wait of our own choosing to `expires_at` of the group's queued rows.  How many."""
        ...

    async def expire(self, now: float, limit: int = 500) -> int:
        """End unleased rows past their `expires_at` as Bounced(EXPIRED), with their last reply.  How many."""
        ...

    async def end_overdue(self, now: float, limit: int = 500) -> int:
        """The same for unleased rows past their `deadline` alone; one look where there is none."""

    async def recover(self, node: Node, now: float) -> int:
        """Return rows leased by an earlier life of `node`, and every expired lease.  How many."""

    async def depth(self) -> dict[str, int]:
        """Queued rows by provider ('' is unrouted)."""
        ...

    async def find(self, message_id: MessageId) -> Submission | None:
        """The row while it is still queued."""
        ...


class Idempotency(Protocol):
    """Answers that were given under a caller's key; written by Queue.accept."""

    async def get(self, key: str) -> str | None: ...


class Spool(Protocol):
    async def body(self, body_id: BodyId) -> Body: ...


class Suppressions(Protocol):
    async def add(
        self,
        entries: Sequence[Suppression],
        message_id: MessageId | None = None,
        events: Sequence[Event] = (),
    ) -> int:
        """Add, with one SuppressionAdded event for each new entry and `events` besides.  How many were new.

        An entry that is known keeps its first evidence, unless the new one lasts longer, or is a person's word where
        the known one lifts itself: then it counts as new."""
        ...

    async def remove(self, address: str, stream: str, by: str, now: float) -> bool: ...

    async def check(self, addresses: Iterable[str], stream: str, *, also: Sequence[str] = ()) -> dict[str, Suppression]:
        """What forbids mail of `stream` to these addresses; `also` names further scopes (core.recipient)."""
        ...

    async def of_address(self, address: str) -> list[Suppression]:
        """Every entry of one address."""
        ...

    async def page(self, after: str = "", limit: int = 100) -> list[Suppression]: ...
    async def count(self) -> int: ...

    async def by_reason(self) -> dict[str, int]:
        """Entries by reason."""
        ...


class Controls(Protocol):
    async def gates(self) -> list[Gate]: ...

    async def put(self, gate: Gate, event: Event, expected: GateState | None) -> None:
        """Store one gate with its GateChanged event; `expected` is the state it must still have (None: no row).

        Raises StorageConflict otherwise."""
        ...


class Counters(Protocol):
    async def load(self, since_cohort: int) -> dict[CounterKey, int]: ...
    async def cursor(self, name: str) -> int: ...

    async def commit(
        self,
        name: str,
        before: int,
        after: int,
        deltas: dict[CounterKey, int],
        gates: Sequence[tuple[Gate, Event]],
        events: Sequence[Event] = (),
    ) -> None:
        """One transaction: counters += deltas, gates and their events stored, `events` appended, cursor `before` →
        `after`.

        Raises StorageConflict when the cursor is no longer `before`."""
        ...


class Allowances(Protocol):
    async def used(self, keys: Iterable[str], day: int) -> dict[str, int]: ...

    async def reserve(self, key: str, day: int, cap: int, n: int) -> int:
        """Take up to n units, never above cap: one conditional UPDATE.  How many were granted."""
        ...

    async def steps(self) -> list[StepState]: ...

    async def put_step(self, state: StepState, event: Event, *, before: StepState | None = None) -> None:
        """Store both.  Raises StorageConflict when `before` is given and the stored state is another by now."""


class Leases(Protocol):
    """Named leases of whole tasks: at most one process runs each."""

    async def acquire(self, name: str, node: Node, now: float, until: float) -> bool: ...
    async def release(self, name: str, node: Node) -> None: ...


class Meta(Protocol):
    """Small named values of the service itself (the sandbox's clock, alert states)."""

    async def get(self, name: str) -> str | None: ...
    async def put(self, name: str, value: str) -> None: ...


class Observations(Protocol):
    """Figures of postmaster feeds; one for each feed, subject, metric and day."""

    async def put(self, observations: Sequence[Observation]) -> None:
        """Store; a later figure for the same day replaces the earlier one."""
        ...

    async def page(
        self, *, feed: str = "", subject: str = "", metric: str = "", since_day: int = 0, limit: int = 500
    ) -> list[Observation]:
        """Newest day first; '' is any."""
        ...


# --- the network ---------------------------------------------------------------------------------
class Connection(Protocol):
    """One SMTP connection to one host of a site."""

    async def send(self, envelope: Envelope) -> AttemptResult:
        """Never raises for what the remote does: a lost connection is a Reply with code 0.  Ends by itself within two
        thirds of a lease."""
        ...

    async def close(self) -> None: ...


class Transport(Protocol):
    async def connect(
        self,
        source: Source,
        hosts: Sequence[str],
        sending_domain: SendingDomain,
        *,
        passage: Passage = FREE_PASSAGE,
    ) -> Connection | AttemptResult:
        """A greeted connection from the source's address to the first host that takes one, or why not."""
        ...


class MailboxSource(Protocol):
    """Looks into one seed mailbox.  Never marks, moves or answers anything.

    Raises Unavailable; LoginRefused when its login is dead."""

    @property
    def mailbox(self) -> str: ...
    @property
    def provider(self) -> Provider: ...

    def new_mail(self) -> AsyncIterator[FoundMail]:
        """Mail that this source has not yielded yet in this life of the process."""
        ...

    async def wait(self, seconds: float, roused: asyncio.Event) -> None:
        """Until there may be new mail, a blind mailbox may be tried again, `roused`, or `seconds` (real) are over."""
        ...


class AlertSink(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def refreshes(self) -> bool:
        """True when the receiver forgets an alert that is not posted again (Alertmanager); False when each
        notification reaches a person, who wants it once."""
        ...

    async def notify(self, alerts: Sequence[Alert]) -> None:
        """Deliver.  Raises Unavailable when the receiver did not take them."""
        ...


class MetricsSink(Protocol):
    def write(self, points: Sequence[Point]) -> None:
        """Queue points; drops the oldest when full; never blocks and never raises."""
        ...
