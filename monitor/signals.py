"""Signals: what is divided by what, where that says anything, and when it can be believed.  Pure.

Contract: `SIGNALS` is the one list; rules (`monitor.rules`) and figures (`monitor.figures`) read it.  Each has its own
denominator and never another: complaints by deliveries to providers that report them, bounces by first attempts that
ended, opens by deliveries of mail with a pixel, seeds by seeds.  `mature_hours` is the age at which nearly all of a
cohort's events have come; complaints take the provider's fitted delays in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.metrics import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What a rule divides by what.

    `feedback`: only where complaints are reported.  `needs` names what a stream must have for the signal to be known:
    'opens' or 'clicks' (tracking), 'seeds', or nothing.  `good`: a high rate
    is what one wants; no rule takes it as bad.
    """

    bad: tuple[Metric, ...]
    total: tuple[Metric, ...]
    mature_hours: float
    feedback: bool = False
    needs: Literal["", "opens", "clicks", "seeds"] = ""
    good: bool = False


_M = Metric
SIGNALS: dict[str, Signal] = {
    "complaint_rate": Signal(bad=(_M.COMPLAINED,), total=(_M.DELIVERED,), mature_hours=72, feedback=True),
    "hard_bounce_rate": Signal(bad=(_M.HARD_BOUNCED,), total=(_M.ATTEMPTED,), mature_hours=1),
    "soft_bounce_rate": Signal(bad=(_M.SOFT_BOUNCED,), total=(_M.ATTEMPTED,), mature_hours=72),
    "deferral_rate": Signal(bad=(_M.PUT_OFF,), total=(_M.ATTEMPTED,), mature_hours=0),
    "block_rate": Signal(bad=(_M.BLOCKED_FIRST,), total=(_M.ATTEMPTED,), mature_hours=0),
    "auth_failure_rate": Signal(bad=(_M.AUTH_FAILED_FIRST,), total=(_M.ATTEMPTED,), mature_hours=0),
    "unsubscribe_rate": Signal(bad=(_M.UNSUBSCRIBED,), total=(_M.DELIVERED,), mature_hours=48),
    # retries go on for days: only then is what was deferred delivered or not
    "undelivered_rate": Signal(bad=(_M.HARD_BOUNCED, _M.SOFT_BOUNCED), total=(_M.ATTEMPTED,), mature_hours=72),
    "spam_placement": Signal(
        bad=(_M.SEED_SPAM,), total=(_M.SEED_INBOX, _M.SEED_SPAM), mature_hours=1, needs="seeds"
    ),
    "missing_seeds": Signal(
        bad=(_M.SEED_MISSING,), total=(_M.SEED_INBOX, _M.SEED_SPAM, _M.SEED_MISSING), mature_hours=24, needs="seeds"
    ),
    "open_rate": Signal(bad=(_M.OPENED_HUMAN,), total=(_M.DELIVERED,), mature_hours=48, needs="opens", good=True),
    "click_rate": Signal(bad=(_M.CLICKED_HUMAN,), total=(_M.DELIVERED,), mature_hours=48, needs="clicks", good=True),
    "delivery_share": Signal(bad=(_M.DELIVERED,), total=(_M.ATTEMPTED,), mature_hours=72, good=True),
}  # fmt: skip
RULED = tuple(name for name, signal in SIGNALS.items() if not signal.good and name != "missing_seeds")
