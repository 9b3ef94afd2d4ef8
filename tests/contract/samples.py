"""Mail, lanes and wishes for the contract tests."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from core.classify import BounceClass
from core.events import Accepted, Bounced, Deferred, Delivered, Door, SuppressionReason
from core.lane import (
    NO_SITE,
    UNROUTED,
    Attribution,
    Campaign,
    Lane,
    Provider,
    SendingDomain,
    Site,
    Source,
    Stream,
    Traffic,
    cohort_of,
)
from core.messages import Body, BodyId, Leased, Node, QueueGroup, Submission
from core.reply import Reply
from core.state import Claim, Settlement, Suppression
from core.tokens import MessageId, new_message_id
from storage.stores import Stores

NOW = 1_800_000_000.0
GMAIL, GMAIL_SITE = Provider("gmail"), Site("mx.gmail.test")
LANE = Lane(source=Source("out1"), sending_domain=SendingDomain("brand.test"), provider=GMAIL)
NODE = Node("node1")
_numbers = itertools.count(1)


def submission(
    recipient: str = "", *, routed: bool = True, stream: str = "bulk", priority: int = 5, at: float = NOW,
    not_before: float = 0.0, lives: float = 86400.0, body_id: str = "body", campaign: str = "",
) -> Submission:  # fmt: skip
    """One recipient; a new address when none is named."""
    return Submission(
        message_id=new_message_id(at), recipient=recipient or f"user{next(_numbers)}@gmail.test",
        stream=Stream(stream), sending_domain=LANE.sending_domain, body_id=BodyId(body_id), accepted_at=at,
        not_before=not_before or at, expires_at=at + lives, priority=priority, campaign=Campaign(campaign),
        provider=GMAIL if routed else UNROUTED, site=GMAIL_SITE if routed else NO_SITE, variables={"name": "Ann"},
    )  # fmt: skip


def accepted(s: Submission) -> Accepted:
    """Its event."""
    return Accepted(
        at=s.accepted_at, message_id=s.message_id, recipient=s.recipient, stream=s.stream, campaign=s.campaign,
        sending_domain=s.sending_domain, door=Door.HTTP, size=4,
    )  # fmt: skip


async def take_in(stores: Stores, submissions: Sequence[Submission], *, key: str = "") -> list[Submission]:
    """Accept submissions with their bodies."""
    bodies = [Body(body_id=b, kind="mime", content=b"text") for b in sorted({s.body_id for s in submissions})]
    remember = (key, f"answer to {key}") if key else None
    await stores.queue.accept(bodies, submissions, [accepted(s) for s in submissions], idempotency=remember)
    return list(submissions)


def group_of(s: Submission) -> QueueGroup:
    """The group of a routed submission."""
    return QueueGroup(
        sending_domain=s.sending_domain, provider=s.provider, site=s.site, stream=s.stream, campaign=s.campaign,
        priority=s.priority, fresh=0, retries=0, oldest=0.0,
    )  # fmt: skip


def wish(
    s: Submission, *, fresh: int = 10, retries: int = 10, now: float = NOW, node: Node = NODE, lane: Lane = LANE,
    allowances: tuple[tuple[str, int, int], ...] = (), retry_allowances: tuple[tuple[str, int, int], ...] = (),
    holds: float = 300.0,
) -> Claim:  # fmt: skip
    """A claim of the submission's group."""
    return Claim(
        group=group_of(s), lane=lane, node=node, fresh=fresh, retries=retries, now=now, lease_until=now + holds,
        allowances=allowances, retry_allowances=retry_allowances,
    )  # fmt: skip


def attribution(lease: Leased) -> Attribution:
    """What a lease's outcome is counted under."""
    s = lease.submission
    lane = Lane(source=Source(lease.source), sending_domain=s.sending_domain, provider=s.provider)
    return Attribution(
        traffic=Traffic(lane=lane, stream=s.stream, campaign=s.campaign), cohort=cohort_of(lease.first_sent_at)
    )


def delivered(lease: Leased, at: float = NOW + 1) -> Settlement:
    s = lease.submission
    event = Delivered(
        at=at, message_id=s.message_id, recipient=s.recipient, attribution=attribution(lease), site=s.site,
        remote="mx.gmail.test", reply=Reply(code=250, text="ok"), attempt=lease.attempts + 1, tls="TLSv1.3",
        latency=1.0,
    )  # fmt: skip
    return Settlement(lease=lease, event=event)


def deferred(lease: Leased, at: float = NOW + 1, retry_in: float = 600.0) -> Settlement:
    s = lease.submission
    event = Deferred(
        at=at, message_id=s.message_id, recipient=s.recipient, attribution=attribution(lease), site=s.site,
        remote="mx.gmail.test", reply=Reply(code=450, text="later", status="4.2.0"),
        bounce_class=BounceClass.GREYLISTED, attempt=lease.attempts + 1, retry_at=at + retry_in,
    )  # fmt: skip
    return Settlement(lease=lease, event=event)


def bounced(lease: Leased, at: float = NOW + 1) -> Settlement:
    s = lease.submission
    event = Bounced(
        at=at, message_id=s.message_id, recipient=s.recipient, attribution=attribution(lease), site=s.site,
        remote="mx.gmail.test", reply=Reply(code=550, text="no such user", status="5.1.1"),
        bounce_class=BounceClass.UNKNOWN_USER, attempt=lease.attempts + 1,
    )  # fmt: skip
    return Settlement(lease=lease, event=event, suppress=SuppressionReason.HARD_BOUNCE)


def suppression(address: str, *, stream: str = "", at: float = NOW) -> Suppression:
    return Suppression(
        address=address, stream=stream, reason=SuppressionReason.UNSUBSCRIBE, at=at, evidence="one click"
    )


def mailed_by(lease: Leased, node: str) -> Leased:
    """The same row as another node would hold it."""
    return replace(lease, node=Node(node))


async def kinds_of(stores: Stores, message_id: MessageId) -> list[str]:
    """Class names of a message's events, in order."""
    return [type(logged.event).__name__ for logged in await stores.log.of_message(message_id)]
