"""From a reply to the settlement of its lease: the event that ends or puts off one attempt.  Pure.

Contract: every attempt gives exactly one settlement.  Its cohort is the hour of the message's first attempt.  A
deferral never lies beyond the message's time: when that is up the message ends as an expired bounce that carries the
last reply.  Suppression goes with a final refusal whose class is about the recipient, and with nothing else.
"""

from __future__ import annotations

from core.classify import BounceClass, Diagnosis
from core.events import Bounced, Deferred, Delivered, Dropped, DropReason, SuppressionReason
from core.lane import Attribution, Traffic, cohort_of
from core.messages import Leased
from core.reply import Reply, Stage
from core.state import AttemptResult, Settlement
from sender.schedule import RetrySchedule
from sender.trouble import Outcome, Verdict


def attribution(lease: Leased, traffic: Traffic, began: float) -> Attribution:
    """Under what this message counts; `began` is the start of the attempt."""
    return Attribution(traffic=traffic, cohort=cohort_of(lease.first_sent_at or began))


def settle(
    lease: Leased,
    traffic: Traffic,
    site: str,
    result: AttemptResult,
    diagnosis: Diagnosis,
    verdict: Verdict,
    schedule: RetrySchedule,
    *,
    began: float,
    now: float,
    deadline: float,
) -> Settlement:
    """The settlement of an attempt that ended at `now`; `deadline` is when the message's time is up."""
    submission = lease.submission
    where = attribution(lease, traffic, began)
    attempt = lease.attempts + 1
    if verdict.outcome is Outcome.DELIVERED:
        return Settlement(lease=lease, event=Delivered(
            at=now, message_id=submission.message_id, recipient=submission.recipient, attribution=where, site=site,
            remote=result.remote, reply=result.reply, attempt=attempt, tls=result.tls,
            latency=max(0.0, now - submission.accepted_at),
        ))  # fmt: skip
    if verdict.outcome is Outcome.DEFERRED:
        retry_at = schedule.retry_at(
            attempt, diagnosis.bounce_class, now, deadline,
            provider=traffic.lane.provider, first_at=lease.first_sent_at or began,
        )  # fmt: skip
        if retry_at is not None:
            return Settlement(lease=lease, event=Deferred(
                at=now, message_id=submission.message_id, recipient=submission.recipient, attribution=where, site=site,
                remote=result.remote, reply=result.reply, bounce_class=diagnosis.bounce_class, attempt=attempt,
                retry_at=retry_at,
            ))  # fmt: skip
        return bounce(lease, where, site, result, BounceClass.EXPIRED, now=now)
    suppress = SuppressionReason.HARD_BOUNCE if diagnosis.at_once else None
    return bounce(lease, where, site, result, diagnosis.bounce_class, now=now, suppress=suppress)


def bounce(
    lease: Leased,
    where: Attribution,
    site: str,
    result: AttemptResult,
    bounce_class: BounceClass,
    *,
    now: float,
    suppress: SuppressionReason | None = None,
) -> Settlement:
    """The message ends here."""
    return Settlement(lease=lease, suppress=suppress, event=Bounced(
        at=now, message_id=lease.submission.message_id, recipient=lease.submission.recipient, attribution=where,
        site=site, remote=result.remote, reply=result.reply, bounce_class=bounce_class, attempt=lease.attempts + 1,
    ))  # fmt: skip


def drop(lease: Leased, detail: str, now: float) -> Settlement:
    """The message cannot be made for this recipient."""
    submission = lease.submission
    return Settlement(lease=lease, event=Dropped(
        at=now, message_id=submission.message_id, recipient=submission.recipient, stream=submission.stream,
        campaign=submission.campaign, reason=DropReason.UNRENDERABLE, detail=detail[:300],
    ))  # fmt: skip


def no_reply(text: str, *, stage: Stage = Stage.FINAL) -> AttemptResult:
    """Stands for an attempt that no host answered."""
    return AttemptResult(reply=Reply(code=0, text=text[:300], stage=stage), remote="", tls="", reusable=False)
