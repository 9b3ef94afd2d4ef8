"""What a rule without a gate found, as an event: an alert of a rule, or its word to the warm-up.

Importers take it from `core.events`, which is the vocabulary; it lies here because a file has a length.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.causes import Cause
from core.lane import Scope
from core.terms import Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChanged:
    """A rule that holds no mail began to find something, or found it over.

    `action` is the rule's: alert, hold_warmup or step_back.  `reason` is for people; `hint` is a word that says what
    to look at ('content', 'placement' or '').  Evidence counts anew from cohort `epoch`, less `base_bad` and
    `base_total`, as with gates.
    """

    at: float
    rule: str
    scope: Scope
    firing: bool
    action: str
    reason: str
    evidence: Evidence | None
    hint: str = ""
    epoch: int = 0
    base_bad: int = 0
    base_total: int = 0
    cause: Cause | None = None  # language-free; `reason` is its English sentence
