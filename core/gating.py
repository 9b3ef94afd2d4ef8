"""The event of a gate.  Importers take it from `core.events`, which is the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from core.causes import Cause
from core.lane import Scope
from core.terms import Evidence, GateState


@dataclass(frozen=True, slots=True, kw_only=True)
class GateChanged:
    """The guard, or an operator, moved the gate over a scope.

    `pause_id` names the episode from its first closing to its opening.  `until` is when the state expires
    (0: only an operator can end it).  `by` is 'guard', 'listing' (the watch of blocklists) or the operator's name;
    `cause` says why, language-free; `reason` is its English sentence, or somebody's own words.
    """

    at: float
    pause_id: str
    scope: Scope
    before: GateState
    after: GateState
    reason: str
    until: float
    by: str
    evidence: Evidence | None
    limit: int  # messages that may pass while PROBING or per hour while SLOWED; 0 elsewhere
    cause: Cause | None = None
