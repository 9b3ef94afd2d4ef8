"""What became of one copy of a placement test, by the story of its message.  Pure.

"Missing" is split here by our own log: not sent, put off, refused, or taken over and found nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.classify import BounceClass
from core.events import (
    Bounced,
    BounceReceived,
    Deferred,
    Delivered,
    Dropped,
    Logged,
    Placement,
    SeedMoved,
    SeedPlaced,
)
from core.lane import HOUR
from core.placement import SeedCopy, SeedMove, SeedOutcome, SeedResult

GRACE = 24 * HOUR  # after the window: for a mailbox that was not looked into just then
_PLACED = {
    Placement.INBOX: SeedOutcome.INBOX, Placement.TAB: SeedOutcome.TAB, Placement.SPAM: SeedOutcome.SPAM,
    Placement.MISSING: SeedOutcome.ABSENT,
}  # fmt: skip


def outcome_of(
    copy: SeedCopy, story: Sequence[Logged], now: float, started_at: float, window: float, *, blind: bool
) -> SeedResult:
    """What became of one copy, by the story of its message (oldest first).  `window` in seconds."""
    delivered: Delivered | None = None
    deferred: Deferred | None = None
    placed: SeedPlaced | None = None
    refused: SeedResult | None = None
    ended = False
    for logged in story:
        match logged.event:
            case SeedPlaced() as event:
                placed = event
            case Delivered() as event:
                delivered = event
            case Deferred() as event:
                deferred = event
            case Bounced(bounce_class=BounceClass.EXPIRED):
                ended = True
            case Bounced() as event:
                return result_of(copy, SeedOutcome.REJECTED, f"{event.bounce_class}: {event.reply.text}")
            case BounceReceived(terminal=True) as event:
                refused = result_of(copy, SeedOutcome.REJECTED, f"{event.bounce_class}: {event.reply.text}")
            case Dropped() as event:
                return result_of(copy, SeedOutcome.NOT_SENT, f"{event.reason}: {event.detail}")
            case _:
                pass
    if placed is not None:
        return SeedResult(
            mailbox=copy.mailbox, provider=copy.provider, outcome=_PLACED[placed.placement], detail=placed.folder,
            seconds=placed.seconds, facts=placed.facts,
        )  # fmt: skip
    if refused is not None:
        return refused
    if delivered is not None:
        over = now - delivered.at
        if (blind and over >= window) or over >= window + GRACE:
            return result_of(copy, SeedOutcome.UNKNOWN, "the mailbox cannot be looked into")
        return result_of(copy, SeedOutcome.WAITING, "taken over by its host; not found yet")
    if now - started_at < window and not ended:
        reply = f"{deferred.bounce_class}: {deferred.reply.text}" if deferred else "in the queue"
        return result_of(copy, SeedOutcome.WAITING, reply)
    if deferred is not None:
        return result_of(copy, SeedOutcome.DEFERRED, f"{deferred.bounce_class}: {deferred.reply.text}")
    return result_of(copy, SeedOutcome.NOT_SENT, "no attempt within the window")


def moved_to(event: SeedMoved) -> SeedMove:
    """What a later move says of a copy."""
    return SeedMove(outcome=_PLACED[event.placement], folder=event.folder, seconds=event.seconds)


def result_of(copy: SeedCopy, outcome: SeedOutcome, detail: str) -> SeedResult:
    """An outcome without a place."""
    return SeedResult(mailbox=copy.mailbox, provider=copy.provider, outcome=outcome, detail=detail[:300])
