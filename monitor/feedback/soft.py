"""When failures that come and go suppress an address: by count and span, never at once.  Pure.

Contract: a full or inactive mailbox, or a domain that is called unknown, suppresses after failures on `count` days
(UTC) that span `days`, without a success in between.  One message that is tried twenty times in an hour is one
failure; a deferral counts as much as a refusal, for many hosts only ever defer.  A success lifts the count: at once
where the failures came in the session; where a host takes all mail and refuses some later, a success counts after
GRACE, unless a bounce mail about that very message takes it back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from config.model import Suppression as Policy
from core.classify import OVER_TIME, BounceClass
from core.feedback import SoftRecord
from core.lane import DAY, day_of

GRACE = DAY  # bounce mails come within minutes; the rare one that comes later costs one day of count
_TEXT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Failures on `count` days that span `days`."""

    count: int
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure of a kind in OVER_TIME.  `later`: told by a bounce mail after the host had taken the message."""

    at: float
    address: str
    kind: BounceClass
    message_id: str
    text: str
    later: bool


def limits(policy: Policy) -> dict[BounceClass, Limit]:
    """The limit of each kind."""
    return {
        BounceClass.MAILBOX_FULL: Limit(count=policy.full_count, days=policy.full_days),
        BounceClass.MAILBOX_INACTIVE: Limit(count=policy.inactive_count, days=policy.inactive_days),
        BounceClass.UNKNOWN_DOMAIN: Limit(count=policy.unknown_domain_count, days=policy.unknown_domain_days),
    }


def failed(record: SoftRecord | None, failure: Failure, *, forget_after: float) -> SoftRecord:
    """The record after one more failure; `forget_after` in seconds."""
    if failure.kind not in OVER_TIME:
        raise ValueError(f"{failure.kind} is not judged over time")
    if record is None or _stale(record, failure, forget_after):
        return SoftRecord(
            address=failure.address, kind=failure.kind, hits=1, first_at=failure.at, last_at=failure.at,
            last_id=failure.message_id, evidence=failure.text[:_TEXT],
        )  # fmt: skip
    taken_back = failure.later and record.delivered_id == failure.message_id
    new_day = day_of(failure.at) != day_of(record.last_at)
    return replace(
        record,
        hits=record.hits + new_day,
        first_at=min(record.first_at, failure.at),
        last_at=max(record.last_at, failure.at),
        last_id=failure.message_id,
        evidence=failure.text[:_TEXT],
        delivered_at=0.0 if taken_back else record.delivered_at,
        delivered_id="" if taken_back else record.delivered_id,
    )


def delivered(record: SoftRecord, message_id: str, at: float) -> SoftRecord:
    """The record after a host took a message: proof of life once no bounce mail takes it back."""
    if record.delivered_at and confirmed(record, at):
        return record
    return replace(record, delivered_at=at, delivered_id=message_id)


def confirmed(record: SoftRecord, now: float) -> bool:
    """True when a success has stood for GRACE: the record may be forgotten."""
    return bool(record.delivered_at) and now - record.delivered_at >= GRACE


def exhausted(record: SoftRecord, limit: Limit) -> bool:
    """True when the failures are many and long enough to suppress."""
    return record.hits >= limit.count and record.last_at - record.first_at >= limit.days * DAY


def evidence(record: SoftRecord) -> str:
    """For the suppression entry: what was counted, and the newest reply."""
    span = (record.last_at - record.first_at) / DAY
    return f"{record.kind} on {record.hits} days within {span:.1f} days without a success; newest: {record.evidence}"


def _stale(record: SoftRecord, failure: Failure, forget_after: float) -> bool:
    if failure.at - record.last_at > forget_after:
        return True
    if not record.delivered_at or (failure.later and record.delivered_id == failure.message_id):
        return False
    # a refusal in the session weighs as much as a success in one; a later bounce mail may be about an older message
    return not failure.later or confirmed(record, failure.at)
