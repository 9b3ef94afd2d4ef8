"""Messages on their way: what intake stores, what the queue leases, what a session is told to send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NewType

from core.lane import (
    NO_CAMPAIGN,
    NO_POOL,
    NO_SITE,
    UNROUTED,
    Campaign,
    Pool,
    Provider,
    SendingDomain,
    Site,
    Stream,
)
from core.tokens import MessageId

BodyId = NewType("BodyId", str)
Node = NewType("Node", str)  # one sender process; the owner of a lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One recipient on the way into the queue, validated.

    `not_before`/`expires_at` in epoch seconds.  Waits of our own choosing put `expires_at` off, never `deadline` (0:
    none), after which the caller does not want the message sent.  `priority` 0 is first.
    """

    message_id: MessageId
    recipient: str  # an addr-spec as given, domain in A-labels
    stream: Stream
    sending_domain: SendingDomain
    body_id: BodyId
    accepted_at: float
    not_before: float
    expires_at: float
    priority: int
    campaign: Campaign = NO_CAMPAIGN
    provider: Provider = UNROUTED
    site: Site = NO_SITE
    variables: dict[str, str] = field(default_factory=dict)
    deadline: float = 0.0
    topic: str = ""  # of the stream, '' for none
    pool: Pool = NO_POOL
    list_source: str = ""  # how the address came to be on the caller's list
    ahead: float = 0.0  # seconds by which it stands before others of its group that are due at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyCap:
    """How much mail of a stream an address may get: on `day` (days since the epoch, UTC) and in any seven days around
    it.  0 is no cap.  `addresses` in normal form: each is to be counted once."""

    stream: str
    day: int
    per_day: int
    per_week: int
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A queue row in our hands until `lease_until`.

    `attempts` counts attempts that ended, `first_sent_at` is 0 until the first began: the cohort is taken
    from it.  `due_at` is when it was next to be tried.
    """

    submission: Submission
    node: Node
    source: str
    lease_until: float
    attempts: int
    first_sent_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueGroup:
    """Due mail of one kind for one site: what dispatch decides about at once.

    `fresh` rows wait for their first attempt (they need an allowance), `retries` do not.
    """

    sending_domain: SendingDomain
    provider: Provider
    site: Site
    stream: Stream
    campaign: Campaign
    priority: int
    fresh: int
    retries: int
    oldest: float
    pool: Pool = NO_POOL
    list_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A stored message body shared by its recipients: an RFC 5322 message, or a template's parts as JSON."""

    body_id: BodyId
    # 'mime', 'template', 'notice' (a whole message without a return path), 'report' (one that no TLS policy keeps back)
    kind: str
    content: bytes
