"""Decisions of admission, with the reason for each: may this traffic be sent now?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class DeferReason(StrEnum):
    """Why mail waits by our own choice.  Such waits use up neither attempts nor age."""

    PAUSED = "paused"  # a gate over this traffic is closed
    PROBE_SPENT = "probe_spent"  # the probe's messages are out, their outcome is awaited
    SLOWED = "slowed"  # this hour's share of a slowed scope is used up
    ALLOWANCE_SPENT = "allowance_spent"  # today's warm-up cap of every source is used up
    PACED = "paced"  # today's cap is spread over the hours; the next share comes later
    OUTSIDE_HOURS = "outside_hours"  # the plan sends only in its hours
    NO_PLAN = "no_plan"  # the lane has no warm-up state yet
    MONITOR_LAG = "monitor_lag"  # the monitor is behind: ramping lanes hold (fail closed)
    CANARY = "canary"  # the campaign's first slice is out, its outcome is awaited
    LIMITED = "limited"  # a limit of ours ([[limits]], the provider table) is reached
    CONNECTION_LIMIT = "connection_limit"  # the host wants less, or the source is out: no choice of ours
    REPLY_RULE = "reply_rule"  # what a provider answered made a reply rule stop or slow this traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Up to `messages` may start now.

    `allowances` name what has to be reserved, one unit a message on its first attempt, all or nothing;
    each is (key, period, cap); the period is a day, an hour or 0, as the key's owner counts.  An empty tuple
    means nothing is limited.  `retry_allowances` are those of further attempts: a warm-up cap counts first
    attempts only, a probe and a slowed gate count every attempt.
    """

    messages: int
    allowances: tuple[tuple[str, int, int], ...] = ()
    retry_allowances: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """Ask again at `until` (epoch seconds), or earlier when a control changes."""

    until: float
    reason: DeferReason
    detail: str = ""


Decision: TypeAlias = Admit | Defer
