"""Rules that hold no mail (alert, hold the warm-up, step it back): when they begin to fire, and when it is over.  Pure.

Contract: `Findings` is what the log says is firing; every RuleChanged of the log is given to `note`, whoever wrote it.
`step` gives the next event of one rule and scope, or None.  A finding is over when the rate of the last
`recovery_hours` lies below `recover_below` times the threshold, or no mail came for three times as long; then evidence
counts anew, so that what was told is not told twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from config.rules import GATING
from core.causes import Cause, Why, said
from core.events import RuleChanged
from core.lane import HOUR, cohort_of
from monitor.guard import above
from monitor.rules import Level, RuleTally, Verdict

SILENCE = 3  # times recovery_hours
LOOK_BACK = 2000  # events of the log that say what fires; beyond that an old finding would be told again


class Findings:
    """The last word on each (scope key, rule)."""

    def __init__(self, events: Iterable[RuleChanged] = ()) -> None:
        self._last: dict[tuple[str, str], RuleChanged] = {}
        for event in events:
            self.note(event)

    def note(self, event: RuleChanged) -> None:
        """Take over an event, oldest first."""
        self._last[event.scope.key, event.rule] = event

    def last(self, scope_key: str, rule: str) -> RuleChanged | None:
        """Firing or over; None when it never fired."""
        return self._last.get((scope_key, rule))

    @property
    def firing(self) -> tuple[RuleChanged, ...]:
        """All that fires."""
        return tuple(event for event in self._last.values() if event.firing)

    def without(self, rules: Iterable[str], now: float) -> list[RuleChanged]:
        """Ends of findings whose rule is not among `rules` any more."""
        known = set(rules)
        return [over(event, now, Cause(why=Why.RULE_GONE)) for event in self.firing if event.rule not in known]


def step(last: RuleChanged | None, verdict: Verdict, tally: RuleTally, now: float) -> RuleChanged | None:
    """What the newest verdict changes; None when nothing does, or when the rule moves a gate in place of telling."""
    rule = verdict.rule
    if rule.action in GATING:
        return None
    if last is None or not last.firing:
        if verdict.level not in (Level.ALARM, Level.HARD):
            return None
        cause = above(verdict)
        return RuleChanged(
            at=now, rule=rule.name, scope=verdict.scope, firing=True, action=rule.action, reason=said(cause),
            cause=cause, evidence=verdict.evidence, epoch=last.epoch if last else 0,
            base_bad=last.base_bad if last else 0, base_total=last.base_total if last else 0,
        )  # fmt: skip
    if now - last.at < rule.recovery_hours * HOUR:
        return None
    bad, total = tally.recent(verdict.scope, int(rule.recovery_hours), now)
    if total == 0 and now - last.at < SILENCE * rule.recovery_hours * HOUR:
        return None
    if total and bad >= rule.recover_below * rule.threshold * total:
        return None
    cause = Cause(
        why=Why.WELL if total else Why.SILENT, rule=rule.name, bad=bad, total=total, hours=rule.recovery_hours
    )
    return over(last, now, cause, epoch=cohort_of(now), base_bad=verdict.here_bad, base_total=verdict.here_total)


def over(
    last: RuleChanged, now: float, cause: Cause, *, epoch: int = 0, base_bad: int = 0, base_total: int = 0
) -> RuleChanged:
    """The end of a finding."""
    return RuleChanged(
        at=now, rule=last.rule, scope=last.scope, firing=False, action=last.action, reason=said(cause),
        evidence=last.evidence, hint=last.hint, epoch=epoch, base_bad=base_bad, base_total=base_total,
        cause=cause,
    )  # fmt: skip
