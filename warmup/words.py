"""What gates and rules say to a lane's warm-up on one day: what counts, and whether it holds it or sends it back.

Contract: `closings_of` reads events of the log.  A gate that closed that day holds the step, or halves the cap where
the monitor closed it and its scope names the lane's parts; a rule says otherwise by its `warmup` word (`repeat` is a
hold: the same step is done again).  A rule without a gate (`hold_warmup`, `step_back`) speaks on every day on which it
fires.  Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from core.events import GateChanged, GateState, RuleChanged
from core.lane import Lane, Scope
from warmup.ramp import OTHER, is_other

KINDS = ("GateChanged", "RuleChanged")
_CLOSED = (GateState.PAUSED, GateState.HARD_STOPPED)
_SPEAKING = ("hold_warmup", "step_back")


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Something spoke against this lane that day.  `own`: strongly enough to send it back; else it holds.

    `rule` names the rule without a gate that spoke, '' for a gate."""

    scope: str
    own: bool
    rule: str = ""

    @property
    def text(self) -> str:
        """For the step's reason."""
        return (
            f"rule {self.rule} found something over {self.scope}" if self.rule else f"the gate closed over {self.scope}"
        )


def closings_of(
    events: Iterable[GateChanged | RuleChanged],
    lane: Lane,
    day: int,
    day_at: Callable[[float], int],
    words: Mapping[str, str],
) -> tuple[Closing, ...]:
    """`events` newest first; `day_at` gives the lane's day of an instant; `words` the `warmup` of each rule."""
    found: list[Closing] = []
    over: dict[tuple[str, str], float] = {}  # when a finding ended, seen before its beginning
    for event in events:
        if not _touches(event.scope, lane):
            continue
        match event:
            case GateChanged() if event.after in _CLOSED and day_at(event.at) == day:
                word = words.get(event.evidence.rule, "auto") if event.evidence is not None else "auto"
                if word != "none":
                    own = word == "step_back" or (word == "auto" and event.by == "guard" and _names_lane(event.scope))
                    found.append(Closing(scope=event.scope.key, own=own))
            case RuleChanged() if event.action in _SPEAKING:
                key = (event.scope.key, event.rule)
                ended = over.pop(key, None)
                if not event.firing:
                    over[key] = event.at
                elif day_at(event.at) <= day and (ended is None or day_at(ended) >= day):
                    found.append(Closing(scope=event.scope.key, own=event.action == "step_back", rule=event.rule))
            case _:
                pass
    return tuple(found)


def _names_lane(scope: Scope) -> bool:
    return bool(scope.source or scope.sending_domain or scope.provider)


def _touches(scope: Scope, lane: Lane) -> bool:
    provider = OTHER if is_other(scope.provider) else scope.provider
    return (
        scope.source in ("", lane.source)
        and scope.sending_domain in ("", lane.sending_domain)
        and provider in ("", lane.provider)
    )
