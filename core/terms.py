"""The words that events are made of: closed sets of states and reasons, and the figures behind a decision.

Importers take them from `core.events`, which is the vocabulary; they lie here because a file has a length.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Door(StrEnum):
    """How a message came in."""

    HTTP = "http"
    SMTP = "smtp"
    COMMAND = "command"  # the command line, `penstock send`
    INTERNAL = "internal"  # our own alerts, reports and placement tests


class SuppressionReason(StrEnum):
    """Why an address must not be mailed."""

    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    MANUAL = "manual"
    SUNSET = "sunset"  # no sign of life for long: the policy of [engagement]

    @property
    def lifts_itself(self) -> bool:
        """True for what the service found out and takes back by itself; the others are a person's word."""
        return self in (SuppressionReason.HARD_BOUNCE, SuppressionReason.SUNSET)


# What a person takes back by asking for the mail: an own wish, and what was made of a long silence.
LIFTED_BY_WISH = frozenset({SuppressionReason.UNSUBSCRIBE, SuppressionReason.SUNSET})

# Reports that tell of no person's displeasure.  A type that is unknown is a complaint (RFC 5965 names "other" for what
# has no type of its own): taking one for nothing would mean to mail on whoever complained.
NO_COMPLAINTS = frozenset({"not-spam", "virus", "auth-failure", "dkim", "miscategorized", "opt-out", "opt-out-list"})


class DropReason(StrEnum):
    """Why an accepted message ended without an attempt to send."""

    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    UNRENDERABLE = "unrenderable"


class GateState(StrEnum):
    """State of the gate over one scope."""

    OPEN = "open"
    SLOWED = "slowed"
    PAUSED = "paused"
    PROBING = "probing"
    HARD_STOPPED = "hard_stopped"


class Placement(StrEnum):
    """Where a seed mail was found."""

    INBOX = "inbox"
    TAB = "tab"
    SPAM = "spam"
    MISSING = "missing"


class StepMove(StrEnum):
    """What a day, or a person, did to a lane's warm-up step."""

    STARTED = "started"
    ADVANCED = "advanced"
    HELD = "held"
    STEPPED_BACK = "stepped_back"
    FINISHED = "finished"
    RESUMED = "resumed"  # a person's hold was lifted
    IMPORTED = "imported"  # warmed elsewhere: begins where its history allows


class SourceTrouble(StrEnum):
    """Why an egress source is taken out."""

    UNBINDABLE = "unbindable"  # this machine does not have its address
    UNREACHABLE = "unreachable"  # no provider's host can be reached from it
    REFUSED = "refused"  # every provider refuses it before a message: its address or EHLO name


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Figures behind a decision: `numerator` bad events in `denominator`, since cohort `since`.

    `e_value` is the evidence against "rate <= threshold" (see monitor.evidence); `limit` is the value at
    which the rule acts; `samples` are up to five SMTP replies or report lines, newest first.
    """

    rule: str
    numerator: int
    denominator: int
    threshold: float
    e_value: float
    limit: float
    since: int
    samples: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """numerator / denominator; 0 when nothing was counted."""
        return self.numerator / self.denominator if self.denominator else 0.0
