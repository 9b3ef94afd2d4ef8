"""The one event vocabulary: everything that happened and every decision, as a closed union.

The log is append-only.  Folding it from the beginning reproduces every counter; `penstock explain` reads
nothing else.  All instants (`at`, `until`, …) are seconds since the epoch, UTC.  A message's terminal
events are `Delivered`, `Bounced` and `Dropped`: each accepted recipient gets exactly one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from core.classify import BounceClass
from core.feedback import OutageChanged as OutageChanged
from core.findings import RuleChanged as RuleChanged
from core.gating import GateChanged as GateChanged
from core.lane import Attribution, Lane, Traffic
from core.placement import PlacementStarted as PlacementStarted
from core.placement import PlacementTested as PlacementTested
from core.placement import SeedBlind as SeedBlind
from core.placement import SeedMoved as SeedMoved
from core.placement import SeedPlaced as SeedPlaced
from core.placement import SeedSighted as SeedSighted
from core.reaction import PairRested as PairRested
from core.reaction import ReplyRuleActed as ReplyRuleActed
from core.reaction import ReplyRuleEnded as ReplyRuleEnded
from core.recipient import Clicked as Clicked
from core.recipient import Opened as Opened
from core.recipient import OptInConfirmed as OptInConfirmed
from core.recipient import OptInRequested as OptInRequested
from core.recipient import Replied as Replied
from core.reply import Reply
from core.tls import TlsFacts
from core.tokens import MessageId

# sorted, it would be a statement a word
# isort: off
from core.terms import (
    LIFTED_BY_WISH as LIFTED_BY_WISH, NO_COMPLAINTS as NO_COMPLAINTS,
    Door as Door, DropReason as DropReason, Evidence as Evidence, GateState as GateState, Placement as Placement,
    SourceTrouble as SourceTrouble, StepMove as StepMove, SuppressionReason as SuppressionReason,
)  # fmt: skip
# isort: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A recipient was taken over: from here on it is ours to end in a terminal event."""

    at: float
    message_id: MessageId
    recipient: str
    stream: str
    campaign: str
    sending_domain: str
    door: Door
    size: int  # bytes of the stored body
    metadata: dict[str, str] = field(default_factory=dict)  # the caller's own words, given back in webhooks
    list_source: str = ""  # how the address came to be on the caller's list
    by: str = ""  # who put it in, where the door knows a person


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeRefused:
    """A recipient was not taken over (suppressed or invalid); it never had a message id."""

    at: float
    recipient: str
    stream: str
    campaign: str
    door: Door
    reason: str  # 'suppressed:<reason>' or the public text of what was invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Mail waits by our own choice; written when the reason of a scope changes, not once a message."""

    at: float
    traffic: Traffic
    reason: str  # a value of core.decision.DeferReason
    until: float
    detail: str = ""  # which limit, which cap


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """A queued message whose next step nobody would have taken was made due again by the watchdog."""

    at: float
    message_id: MessageId
    recipient: str
    reason: str  # a value of core.progress.Stray
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Terminal: the remote host took responsibility (2xx after the final dot)."""

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution
    site: str
    remote: str  # host and address spoken to
    reply: Reply
    attempt: int
    tls: str  # protocol, e.g. 'TLSv1.3', or '' for plain text
    latency: float  # seconds from acceptance


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """An attempt failed for now; the message will be tried at `retry_at`."""

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution
    site: str
    remote: str
    reply: Reply
    bounce_class: BounceClass
    attempt: int
    retry_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounced:
    """Terminal: refused for good (or expired) in an SMTP session of ours."""

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution
    site: str
    remote: str
    reply: Reply
    bounce_class: BounceClass
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Terminal: given up without sending."""

    at: float
    message_id: MessageId
    recipient: str
    stream: str
    campaign: str
    reason: DropReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BounceReceived:
    """A bounce mail answered a delivered message, proven by a token (an unproven one is ReportUnverified)."""

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution
    reply: Reply
    bounce_class: BounceClass
    terminal: bool  # False for 'delayed' and other non-final reports


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplaintReceived:
    """A feedback report (RFC 5965) about a message, proven by a token."""

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution
    feedback_type: str  # abuse, fraud, virus, other, not-spam, opt-out …
    reporter: str
    sent_at: float = 0.0  # when the message was delivered
    reported_at: float = 0.0  # the report's own date, 0 when it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    """The recipient opted out, by one click (RFC 8058), by the page or by mail."""

    at: float
    message_id: MessageId
    recipient: str
    attribution: Attribution
    method: Literal["one_click", "page", "mail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportUnverified:
    """A bounce, complaint or other report that proved nothing: stored, counted, without effect."""

    at: float
    kind: Literal["bounce", "complaint", "dmarc", "other"]
    problem: str
    sender: str
    to: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionAdded:
    """From now on `address` (normal form) gets no mail of `stream` ('' for every stream)."""

    at: float
    address: str
    stream: str
    reason: SuppressionReason
    message_id: MessageId | None
    evidence: str
    expires_at: float = 0.0  # 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionRemoved:
    """`address` may be mailed again."""

    at: float
    address: str
    stream: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcReportStored:
    """An aggregate report was stored: `counted` messages in `records` rows; `refused` could not be read."""

    at: float
    reporter: str
    domain: str
    report_id: str
    begin: float
    end: float
    records: int
    counted: int
    aligned: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingChanged:
    """A blocklist began to list an address or a domain of ours, or ceased to.

    `subject` is the address or domain asked about, `name` the source or sending domain that it belongs to; `codes`
    are the return codes ('127.0.0.2'), `text` is what the table and the zone say about them.
    """

    at: float
    kind: Literal["source", "sending_domain"]
    name: str
    subject: str
    zone: str
    listed: bool
    codes: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChanged:
    """A watched DNS record is not what it was: one value a line, sorted; '' is "no such record"."""

    at: float
    name: str
    type: str  # TXT, MX or PTR
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRested:
    """An egress source was taken out until `until`; then it is tried again, for longer if that fails too."""

    at: float
    source: str
    trouble: SourceTrouble
    until: float
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReturned:
    """A source that was taken out got an answer again."""

    at: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsNegotiated:
    """One connection that TLS was wanted for, with what came of it: what TLS reports (RFC 8460) count.

    `domain` is the recipient domain for which it was opened; later messages of other domains may share it.
    """

    at: float
    domain: str
    host: str
    ip: str
    facts: TlsFacts
    detail: str
    source_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChanged:
    """A lane's warm-up step after a sending day, or by a person's word.

    `by` is 'plan' for the machine; `until` the end of a person's hold (epoch seconds, 0: until resumed)."""

    at: float
    lane: Lane
    plan: str
    move: StepMove
    step: int
    cap_before: int
    cap_after: int
    day: int  # day_of(): the day for which cap_after holds
    reason: str
    by: str = "plan"
    until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChanged:
    """An alert began to fire or was resolved."""

    at: float
    fingerprint: str
    name: str
    firing: bool
    severity: str
    summary: str
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDelivered:
    """A notifier took (or refused) a notification."""

    at: float
    fingerprint: str
    notifier: str
    ok: bool
    detail: str


Event: TypeAlias = (
    Accepted | IntakeRefused | Held | PutBack | Delivered | Deferred | Bounced | Dropped
    | BounceReceived | ComplaintReceived | Unsubscribed | ReportUnverified
    | SuppressionAdded | SuppressionRemoved | SeedPlaced | SeedMoved | SeedBlind | SeedSighted
    | PlacementStarted | PlacementTested | DmarcReportStored
    | ListingChanged | RecordChanged | SourceRested | SourceReturned | TlsNegotiated
    | Opened | Clicked | Replied | OptInRequested | OptInConfirmed
    | GateChanged | RuleChanged | StepChanged | AlertChanged | AlertDelivered | OutageChanged
    | ReplyRuleActed | ReplyRuleEnded | PairRested
)  # fmt: skip

TERMINAL = (Delivered, Bounced, Dropped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """An event with its place in the log.  `seq` rises in commit order, with gaps allowed."""

    seq: int
    event: Event
