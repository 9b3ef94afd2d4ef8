"""Is the next step of this message known?  The watchdog's judgement of one resident of the queue.  Pure.

Contract: `judge` knows every reason for which a resident may wait: its send-at time, a retry within the schedule, a
lease within its length, a route that is asked for again.  What lies beyond all of them has no one who would come for it
(a clock that ran wild, a setting that was made shorter, a row restored from a copy) and is to be put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from core.tokens import MessageId


class Stray(StrEnum):
    """Why nobody would come for a message."""

    LEASE_TOO_LONG = "lease_too_long"  # held for longer than any sender may hold one
    LEASE_LEFT = "lease_left"  # its lease ended long ago and nobody took it back
    DUE_TOO_LATE = "due_too_late"  # its next attempt lies beyond the retry schedule
    SEND_AT_MISSED = "send_at_missed"  # it waits beyond its send-at time, without an attempt
    ROUTE_TOO_LATE = "route_too_late"  # its domain's route is asked for again beyond any wait for DNS
    GROUP_LOST = "group_lost"  # its group is gone: no look at the queue would show it
    GROUP_UNCOUNTED = "group_uncounted"  # its group counts as empty: the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """One row of the queue as the watchdog sees it.  Instants in epoch seconds."""

    message_id: MessageId
    recipient: str
    group: int
    is_leased: bool
    due_at: float
    not_before: float
    attempts: int
    lease_until: float
    group_known: bool
    group_queued: int
    route_at: float  # when its domain's route is asked for again; 0 when it is routed, or nothing failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Longest:
    """The longest waits, in domain seconds."""

    retry: float
    lease: float
    route: float
    slack: float = 3600.0  # clocks differ, jobs are late


def judge(resident: Resident, longest: Longest, now: float) -> Stray | None:
    """Why nobody would come for it; None when its next step is known."""
    if resident.is_leased:
        if resident.lease_until > now + longest.lease + longest.slack:
            return Stray.LEASE_TOO_LONG
        return Stray.LEASE_LEFT if resident.lease_until < now - longest.slack else None
    if resident.group and not resident.group_known:
        return Stray.GROUP_LOST
    if resident.group and resident.group_queued <= 0:
        return Stray.GROUP_UNCOUNTED
    if not resident.group and resident.route_at > now + longest.route + longest.slack:
        return Stray.ROUTE_TOO_LATE
    if resident.due_at > max(now, resident.not_before) + longest.retry + longest.slack:
        return Stray.DUE_TOO_LATE if resident.attempts else Stray.SEND_AT_MISSED
    return None


class Residents(Protocol):
    """Every row of the queue, portion by portion (storage.queue.watch)."""

    async def portion(self, after: str, limit: int) -> Sequence[Resident]:
        """Rows with a message id greater than `after`, in its order."""
        ...

    async def put_back(self, found: Sequence[tuple[Resident, Stray]], now: float) -> int:
        """Make them due, with one PutBack event each; rows that moved meanwhile stay.  How many were put back."""
        ...
