"""Reports of receivers about mail in our name: DMARC aggregate, TLS (RFC 8460) and failure reports, and their ports.

Contract: what a report says counts only when its origin is proven (`Provenance.counts`); other reports are kept apart
and move no figure and no alarm.  A report is known again by authenticated reporter, policy domain, id and period, then
by its content.  Days are UTC days since the epoch; a report's day is the one in which its period's middle lies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from core.lane import DAY
from core.state import DmarcRecord, DmarcReport


class Trust(StrEnum):
    """How the origin of a report is known."""

    ALIGNED = "aligned"  # the report mail passes DMARC for the reporter's own domain
    VOUCHED = "vouched"  # an operator handed it in
    UNALIGNED = "unaligned"  # anybody may have written it


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Who sent a report.  `domain` is the authenticated domain, '' without one; `why` is for people."""

    trust: Trust
    domain: str = ""
    why: str = ""

    @property
    def counts(self) -> bool:
        return self.trust is not Trust.UNALIGNED


class Stored(StrEnum):
    """What became of a report handed to storage."""

    NEW = "new"
    REPEATED = "repeated"  # the same content came before
    CONFLICT = "conflict"  # the same key with other content: the first one stands
    PROVEN = "proven"  # it was kept apart before; now its origin is proven


class SourceKind(StrEnum):
    """Whose the address is that mail in our name came from.  Later ones yield to earlier ones."""

    OURS = "ours"
    SERVICE = "service"  # a known sending service
    FORWARDER = "forwarder"  # hands on mail of ours: our signature survives, SPF does not
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceName:
    """What an address is called and why."""

    ip: str
    kind: SourceKind = SourceKind.UNKNOWN
    name: str = ""
    evidence: str = ""
    ptr: str = ""


class Dim(StrEnum):
    """What counts of aggregate reports can be split by and narrowed to."""

    DAY = "day"
    POLICY_DOMAIN = "policy_domain"
    REPORTER = "reporter"
    SOURCE = "source_ip"
    FROM = "header_from"
    ENVELOPE = "envelope_from"
    DKIM_DOMAIN = "dkim_domain"
    SELECTOR = "dkim_selector"
    DKIM_RESULT = "dkim_result"
    SPF_DOMAIN = "spf_domain"
    SPF_RESULT = "spf_result"
    DISPOSITION = "disposition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Messages of one group; `key` in the order of the dimensions asked for (days as text)."""

    key: tuple[str, ...]
    messages: int
    aligned: int
    dkim: int
    spf: int
    quarantined: int
    rejected: int
    first_day: int
    last_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportHead:
    """An aggregate report without its rows."""

    number: int
    reporter: str
    org: str
    email: str
    domain: str
    report_id: str
    begin: float
    end: float
    received_at: float
    provenance: Provenance
    policy: str
    records: int
    messages: int
    aligned: int
    refused: int
    refused_messages: int

    @property
    def day(self) -> int:
        return middle_day(self.begin, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentKey:
    """What our own deliveries are counted under for reconciliation.  `hour`: whole hours since the epoch."""

    hour: int
    source: str
    sending_domain: str
    provider: str
    stream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCount:
    """`delivered`: taken by the receiver; `refused`: refused after it had seen the message, so it may report it."""

    key: SentKey
    delivered: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsCount:
    """Own attempts at TLS with one host on one day; `failure` '' where nothing failed (RFC 8460 section 4.3)."""

    day: int
    domain: str
    host: str
    failure: str
    sessions: int
    policy: str = ""  # core.tls.PolicyType
    host_ip: str = ""  # of a failure; so are the two below
    source_ip: str = ""
    reason: str = ""


class TlsReportState(StrEnum):
    """What became of one report of ours to one address."""

    SENT = "sent"
    UNWANTED = "unwanted"  # the domain publishes no address
    RETRY = "retry"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTlsReport:
    """A report of ours about a UTC day, to one address of the domain's record ('' when it has none)."""

    day: int
    domain: str
    address: str
    state: TlsReportState
    tries: int
    at: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRow:
    """Sessions of a TLS report: the successes of a policy (`result` ''), or one kind of failure."""

    policy_domain: str
    policy_type: str
    result: str
    sessions: int
    sending_ip: str = ""
    receiving_host: str = ""
    receiving_ip: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsReport:
    """A TLS report (RFC 8460).  Lossless: what could not be read stands in `refused`."""

    organization: str
    contact: str
    report_id: str
    begin: float
    end: float
    rows: tuple[TlsRow, ...]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTls:
    """A stored TLS report."""

    number: int
    report: TlsReport
    provenance: Provenance
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReport:
    """One message that failed (RFC 6591, RFC 9991).  Redacted unless the owner wants otherwise: `recipient` and
    `mail_from` keep their domain, `subject` is '', and no body is ever kept."""

    reporter: str
    arrived_at: float
    domain: str
    source_ip: str
    failure: str  # dkim, spf, dmarc …
    delivery: str
    mail_from: str
    recipient: str
    subject: str
    header_from: str
    dkim_domain: str
    dkim_selector: str
    message_id: str
    redacted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFailure:
    """A stored failure report."""

    number: int
    report: FailureReport
    provenance: Provenance
    received_at: float


Naming: TypeAlias = Callable[[Sequence[DmarcRecord]], Sequence[SourceName]]  # whose the addresses of records are


def no_names(_records: Sequence[DmarcRecord]) -> Sequence[SourceName]:
    """Names nothing."""
    return ()


def middle_day(begin: float, end: float) -> int:
    """The UTC day in which the middle of a period lies."""
    return int((begin + end) / 2 // DAY)


class AggregateReports(Protocol):
    """DMARC aggregate reports, whole and by row.  Figures are over reports that count, unless told otherwise."""

    async def store(self, report: DmarcReport, provenance: Provenance, now: float, naming: Naming = no_names) -> Stored:
        """Store it once.  `naming` is called with portions of the records, in another thread, for a report that counts;
        of two names for an address the stronger one stays."""
        ...

    async def refuse_leftovers(self, before: float, now: float) -> list[str]:
        """Take out reports whose storing was cut off and rests since `before`; each is told by ReportUnverified."""
        ...

    async def heads(self, limit: int = 50, *, before: int = 0, counting: bool | None = None) -> list[ReportHead]:
        """Newest first; `counting` narrows to reports that count, or that do not."""
        ...

    async def count(self) -> int:
        """How many reports count."""
        ...

    async def whole(self, number: int) -> tuple[ReportHead, DmarcReport] | None: ...

    async def tally(
        self,
        by: Sequence[Dim],
        *,
        since_day: int = 0,
        until_day: int = 1_000_000,
        where: Sequence[tuple[Dim, str]] = (),
        limit: int = 1000,
    ) -> list[Tally]:
        """Sums over days since_day … until_day, most messages first."""
        ...

    async def names(self, ips: Sequence[str]) -> dict[str, SourceName]: ...
    async def put_names(self, names: Sequence[SourceName], now: float) -> None:
        """Names found by a look-up; they replace what is there."""
        ...

    async def unasked(self, since_day: int, limit: int) -> list[SourceName]:
        """Addresses whose PTR nobody asked for yet, most messages first."""
        ...


class SentBook(Protocol):
    """Own deliveries by hour and own TLS sessions by day, folded from the log with a cursor of its own."""

    async def cursor(self) -> int: ...
    async def add(self, before: int, after: int, sent: Sequence[SentCount], tls: Sequence[TlsCount]) -> None:
        """One transaction.  Raises StorageConflict when the cursor is no longer `before`."""
        ...

    async def sent(self, since_hour: int, until_hour: int) -> list[SentCount]: ...
    async def tls(self, since_day: int, until_day: int) -> list[TlsCount]: ...


class OtherReports(Protocol):
    """TLS and failure reports."""

    async def store_tls(self, report: TlsReport, provenance: Provenance, now: float) -> Stored: ...
    async def tls(self, limit: int = 100, *, since: float = 0.0) -> list[StoredTls]: ...
    async def store_failure(self, report: FailureReport, provenance: Provenance, digest: str, now: float) -> Stored: ...
    async def failures(self, limit: int = 100) -> list[StoredFailure]: ...
    async def forget_failures(self, before: float) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A mail or file in which a report was refused; `peer` and `sender` are the connection's, of a mail."""

    at: float
    is_mail: bool
    sender: str  # of a mail its envelope's, of a file who handed it in
    name: str
    problem: str
    peer: str = ""
    number: int = 0
    size: int = 0


class RefusedReports(Protocol):
    """Originals of refused reports, bounded in number, bytes and age."""

    async def keep(self, one: Original, content: bytes, *, dull: bool) -> None:
        """`dull`: no report at all, which is the first to give way."""
        ...

    async def kept(self) -> list[Original]:
        """Newest first."""
        ...

    async def content(self, number: int) -> bytes | None: ...
    async def drop(self, number: int) -> None: ...
    async def forget(self, now: float) -> None: ...


class TlsSessions(Protocol):
    """Own TLS sessions in the detail of RFC 8460, and what was reported of them."""

    async def open(self, since_day: int, until_day: int) -> list[tuple[int, str]]:
        """(day, domain) of which nothing was reported, or not with success yet."""
        ...

    async def of(self, day: int, domain: str, limit: int) -> list[TlsCount]: ...
    async def note(self, reports: Sequence[SentTlsReport]) -> None: ...
    async def noted(self, day: int, domain: str) -> list[SentTlsReport]: ...
    async def recent(self, limit: int) -> list[SentTlsReport]: ...
    async def forget(self, before_day: int) -> None: ...
