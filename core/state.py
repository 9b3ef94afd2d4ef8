"""Values that cross the ports: rows, wishes and findings.  Plain data; the ports that use them are in core.ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from core.causes import Cause
from core.events import Event, Evidence, GateState, SuppressionReason
from core.lane import Attribution, Lane, Scope, Traffic
from core.messages import Leased, Node, QueueGroup
from core.recipient import EVERY_OPTIONAL
from core.reply import Reply
from core.tls import NO_TLS, TlsFacts

_EVERYWHERE = ("", EVERY_OPTIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class MxHost:
    """One mail exchanger: RFC 5321 section 5.1."""

    preference: int
    host: str
    authentic: bool = False  # DNSSEC proves the whole MX set


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a lease ended.  `event` is Delivered, Deferred, Bounced or Dropped; a Deferred keeps the row.

    `suppress` adds the address in the same transaction.
    """

    lease: Leased
    event: Event
    suppress: SuppressionReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wish to lease rows of one group for one lane.

    At most `fresh` first attempts, each of which reserves one unit of every allowance (key, day, cap);
    fewer are granted when less is left.  At most `retries` further rows, which reserve `retry_allowances`.
    """

    group: QueueGroup
    lane: Lane
    node: Node
    fresh: int
    retries: int
    now: float
    lease_until: float
    allowances: tuple[tuple[str, int, int], ...] = ()
    retry_allowances: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One entry.  `address` in normal form; `stream` '' covers all streams."""

    address: str
    stream: str
    reason: SuppressionReason
    at: float
    evidence: str
    expires_at: float = 0.0  # epoch seconds; 0: never

    @property
    def is_lasting_word(self) -> bool:
        """True for a person's word without an end: neither the service nor time takes it back."""
        return not self.expires_at and not self.reason.lifts_itself


def has_left(entries: Iterable[Suppression], stream: str) -> bool:
    """Whether the wish to get no more of `stream` is on an address's list already.

    A bounce or a holiday is no such wish: it ends, and then the wish must stand."""
    return any(
        entry.is_lasting_word
        and (entry.stream == stream or (entry.reason is SuppressionReason.UNSUBSCRIBE and entry.stream in _EVERYWHERE))
        for entry in entries
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterKey:
    """What is counted: `metric` of one attribution.  Metrics are listed in monitor.counters."""

    attribution: Attribution
    metric: str


CANARY = "canary"  # rule of a gate that lets a slice of a campaign go first


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The stored state over one scope.

    Evidence is counted from cohort `epoch`, less what that cohort already held when the epoch began
    (`base_bad`, `base_total`), so that an episode never pays for the one before.
    """

    scope: Scope
    state: GateState
    pause_id: str
    rule: str
    since: float
    until: float
    reason: str
    by: str
    evidence: Evidence | None = None
    limit: int = 0
    epoch: int = 0
    base_bad: int = 0
    base_total: int = 0
    episodes: int = 0  # closings so far without a full recovery: makes the next pause longer
    # the cohort of the last move and what it held then: from here an operator's resume within that hour counts
    mark: int = 0
    mark_bad: int = 0
    mark_total: int = 0
    cause: Cause | None = None  # why, language-free; None for somebody's own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What the adaptive controller remembers of a lane (warmup.adaptive).

    `growth`: factor of the next clean day; `good`: most that was taken without trouble; `shut`: a block was met;
    `braked`: the day's cap before new mail was stopped for the day, 0 while it goes on; `ceiling`: the factor that the
    provider was seen to bear, 0 while none is known; `raised_at`: when the cap was last raised within its day, 0 for
    never.
    """

    growth: float = 0.0
    good: int = 0
    shut: bool = False
    braked: int = 0
    ceiling: float = 0.0
    raised_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """A lane's place in its warm-up plan.  `cap` holds for `day` (days since the epoch, by the plan's time zone).

    A person's hold: `held_by` ('' for none) until `held_until` (epoch seconds, 0: until resumed)."""

    lane: Lane
    plan: str
    step: int
    cap: int
    day: int
    started_day: int
    last_sent_day: int
    peak: int  # most first attempts in one of the last 7 sending days
    finished: bool
    reason: str
    held_by: str = ""
    held_until: float = 0.0
    held_reason: str = ""
    control: Control = Control()
    imported: str = ""  # digest of the history that it was warmed by elsewhere

    def is_held(self, now: float) -> bool:
        """True while a person's hold lasts."""
        return bool(self.held_by) and (not self.held_until or self.held_until > now)


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcRecord:
    """One row of an aggregate report (RFC 9990 section 3)."""

    source_ip: str
    count: int
    disposition: str
    dkim: str
    spf: str
    header_from: str
    envelope_from: str
    dkim_domain: str
    dkim_selector: str
    dkim_result: str
    spf_domain: str
    spf_result: str

    @property
    def aligned(self) -> bool:
        return self.dkim == "pass" or self.spf == "pass"

    @classmethod
    def of(cls, source_ip: str, count: int, rest: Sequence[str]) -> DmarcRecord:
        """From its parts: `rest` holds the fields from `disposition` on, in order."""
        disposition, dkim, spf, header_from, envelope_from, domain, selector, result, spf_domain, spf_result = rest
        return cls(
            source_ip=source_ip, count=count, disposition=disposition, dkim=dkim, spf=spf, header_from=header_from,
            envelope_from=envelope_from, dkim_domain=domain, dkim_selector=selector, dkim_result=result,
            spf_domain=spf_domain, spf_result=spf_result,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcReport:
    """A parsed aggregate report.  Lossless: counted in the file = counted + refused, always."""

    reporter: str
    email: str
    domain: str
    report_id: str
    begin: float
    end: float
    policy: str
    records: Sequence[DmarcRecord]  # of a parsed one: core.dmarc_records.DmarcRecords
    refused: tuple[str, ...] = ()  # a reason for each record that could not be read
    refused_messages: int = 0  # messages in the refused records, as far as their counts were legible
    notes: tuple[str, ...] = ()  # what was odd or mended on the way, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One figure of a postmaster feed about one UTC day (`day`: days since the epoch).

    `subject` is the domain or address that it is about.  Shares are 0–1.  `counted` is the denominator, 0 when the feed
    gives none; `interval` is the range that the true value lies in when only a range or a bare rate is known.
    `text` is the feed's own word (GREEN, NEEDS_WORK), '' for plain figures.
    """

    feed: str
    subject: str
    metric: str
    day: int
    value: float
    counted: int = 0
    interval: tuple[float, float] | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message to one recipient, signed.  `clean`: whoever made it vouches for CRLF line ends alone; `undotted`:
    and for no line that begins with a dot."""

    mail_from: str
    rcpt_to: str
    content: bytes
    smtputf8: bool = False
    clean: bool = False
    undotted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """What the remote host said.  `reply.stage` names the command.  `reusable`: the connection may go on.

    `source_fault`: our own address could not be used, so no host is to blame.  `wrong_family`: no host has an address
    of the source's family (IPv4, IPv6), so none was called.
    """

    reply: Reply
    remote: str
    tls: str
    reusable: bool
    facts: TlsFacts = NO_TLS
    source_fault: bool = False
    wrong_family: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMail:
    """One mail in a seed mailbox: its folder, whether that is junk, and its header block."""

    uid: int
    folder: str
    junk: bool
    headers: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition worth a person's attention.  Identity = labels (Alertmanager v2)."""

    labels: dict[str, str]  # alertname, severity, scope …
    annotations: dict[str, str]  # summary, description, figures, remedy
    starts_at: float
    ends_at: float  # 0 while firing
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement for a time-series database."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float]
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What admission looks at: gates, warm-up steps, what is used today, and how far the monitor lags."""

    gates: tuple[Gate, ...] = ()
    steps: dict[Lane, StepState] = field(default_factory=dict)
    used: dict[tuple[str, int], int] = field(default_factory=dict)  # (allowance key, day) → units
    monitor_lag: float = 0.0  # real seconds since the projector last reached the log's head

    def closed(self, traffic: Traffic, site: str = "", pool: str = "") -> Gate | None:
        """The gate that forbids this traffic altogether, None when none does; without `site` and `pool` those that
        name one are left out."""
        for gate in self.gates:
            if gate.state in (GateState.PAUSED, GateState.HARD_STOPPED) and gate.scope.covers(traffic, site, pool):
                return gate
        return None

    @property
    def is_narrow(self) -> bool:
        """True when some gate names a site or a pool."""
        return any(gate.scope.is_narrow for gate in self.gates)
