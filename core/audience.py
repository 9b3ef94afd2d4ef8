"""How alive a recipient is: the states, and what is kept about one address and stream to tell them.

`Reader` counts what was delivered and when a human last gave a sign (open, click, reply).  `state_of` is the one rule;
storage counts by the same rule in SQL (storage.audience), and a contract test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.lane import DAY

WEEK_DAYS = 7


class Engagement(StrEnum):
    """From the newest to the last."""

    NEW = "new"  # mailed for the first time a short while ago, no sign yet
    ACTIVE = "active"  # a sign within `active_days`
    SLEEPING = "sleeping"  # none for longer
    AT_RISK = "at_risk"  # none for longer than `sleeping_days`
    GONE = "gone"  # none for longer than `risk_days`, although `gone_mails` and more were delivered


ASLEEP = (Engagement.SLEEPING, Engagement.AT_RISK, Engagement.GONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Ages in days since the last sign (or, without one, since the first mail)."""

    new_days: float = 30
    active_days: float = 30
    sleeping_days: float = 90
    risk_days: float = 180
    gone_mails: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One address (normal form) in one stream.  Instants in epoch seconds, 0 for never.

    `unanswered` counts mails since the last sign.  `week` numbers the fixed seven days (since the epoch) of the last
    mail, with its count and that of the week before.  `left_at`: suppressed since then, so no more of the base.
    """

    address: str
    stream: str
    list_source: str = ""
    first_at: float = 0.0
    last_at: float = 0.0
    sign_at: float = 0.0
    mails: int = 0
    unanswered: int = 0
    week: int = 0
    in_week: int = 0
    in_last_week: int = 0
    left_at: float = 0.0


def state_of(reader: Reader, terms: Terms, now: float) -> Engagement:
    """How alive at `now`."""
    since = reader.sign_at or reader.first_at
    age = (now - since) / DAY
    if not reader.sign_at and age <= terms.new_days:
        return Engagement.NEW
    if reader.sign_at and age <= terms.active_days:
        return Engagement.ACTIVE
    if age <= terms.sleeping_days:
        return Engagement.SLEEPING
    if age <= terms.risk_days or reader.unanswered < terms.gone_mails:
        return Engagement.AT_RISK
    return Engagement.GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Recipients of one stream and list source by state, without those who left."""

    stream: str
    list_source: str
    counts: dict[Engagement, int]
    left: int = 0

    @property
    def base(self) -> int:
        """Those about whom something is known: all but the new ones."""
        return sum(n for state, n in self.counts.items() if state is not Engagement.NEW)

    @property
    def asleep(self) -> int:
        return sum(self.counts.get(state, 0) for state in ASLEEP)
