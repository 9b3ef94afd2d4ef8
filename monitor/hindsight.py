"""What a back-test tells: episodes of gates with the mail that they would have held, canaries, and what rules told.

`Finding.outcome` judges in hindsight by the held mail's own rate: SPARED above the rule's threshold, WRONGLY_HELD at
or below it, UNKNOWN when too little was held to tell.  Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.events import Evidence, GateState

_SURE = 3.0  # as many bad events as this must be expected at the threshold before none of them says "wrongly held"


class Outcome(StrEnum):
    """Hindsight."""

    SPARED = "spared"
    WRONGLY_HELD = "wrongly_held"
    UNKNOWN = "unknown"


@dataclass(slots=True, kw_only=True)
class Finding:
    """One episode of a gate, from its first closing to its opening (`until` 0: still closed at the end)."""

    rule: str
    scope: str
    at: float
    state: GateState
    evidence: Evidence
    threshold: float
    until: float = 0.0
    closings: int = 1
    held: int = 0  # first attempts that would not have been made
    total: int = 0  # of them what the rule divides by
    bad: int = 0  # and what it counts
    spared: dict[str, int]

    @property
    def outcome(self) -> Outcome:
        """See the module."""
        if self.bad and self.bad > self.threshold * self.total:
            return Outcome.SPARED
        if self.threshold * self.total >= _SURE:
            return Outcome.WRONGLY_HELD
        return Outcome.UNKNOWN


@dataclass(slots=True, kw_only=True)
class CanaryRun:
    """One campaign's canary: `waited` first attempts went after it opened (`until` 0: not by the end)."""

    scope: str
    at: float
    slice: int
    until: float = 0.0
    waited: int = 0


@dataclass(slots=True, kw_only=True)
class Told:
    """What a rule without a gate would have told or done to the warm-up (`until` 0: still so at the end)."""

    rule: str
    scope: str
    action: str
    at: float
    evidence: Evidence | None
    until: float = 0.0
