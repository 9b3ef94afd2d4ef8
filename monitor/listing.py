"""Gates of the rule `listing`: a source or domain on a blocklist holds its lanes, a delisting starts a probe.  Pure.

Contract: `hold` closes the scope while it is listed, `step` moves a gate of this rule once it is not.  Moves come from
the guard's table, so that no state exists that the guard does not know; the caller stores gate and event together
(core.ports.Controls.put).  A paused scope opens into a probe of `limit` messages; refusals for reputation in the probe
close it again for twice as long, a good probe slows it with growing hourly limits, then it is open.  A hard stop waits
for a person.  `until` is 0 in every state: only this rule, or an operator, ends it, and the projector passes its gates
by (they are of no rule in the rules file, which must not be read as "its rule was removed").
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.causes import Cause, Why, said
from core.events import GateChanged, GateState
from core.lane import HOUR, Scope, cohort_of
from core.state import Gate
from monitor import guard
from monitor.guard import Alarm, Calm, Eased, HardLimit, Input, PauseExpired, ProbeBad, ProbeGood, changed, first, move

RULE = "listing"
BY = "listing"  # not 'guard': the projector must read again what it did not write
SLOW_LIMITS = (100, 400, 1600)  # messages an hour, each for SLOW_HOURS, before the gate is open
SLOW_HOURS = 1.0
PROBE_HOURS = 1.0  # outcomes of a probe are awaited at least so long
PATIENCE_HOURS = 48.0  # a probe with few outcomes is judged by them after so long
RELAPSE_HOURS = 6.0  # wait after the first bad probe; doubles with each further one
MAX_RELAPSE_HOURS = 72.0
BLOCKED_SHARE = 0.1  # of a probe, refused for reputation, that is still good
MIN_BLOCKED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a scope's mail: first attempts, and those refused for reputation."""

    attempted: int = 0
    blocked: int = 0

    def since(self, base: Gate) -> Outcome:
        """Without what the probe's first hour already held."""
        return Outcome(attempted=max(0, self.attempted - base.base_total), blocked=max(0, self.blocked - base.base_bad))


def hold(scope: Scope, before: Gate | None, *, now: float, cause: Cause, hard: bool) -> tuple[Gate, GateChanged] | None:
    """Close `scope`; None when it is closed as firmly already.  `before` is the stored gate of this rule."""
    gate = before or first(RULE, scope)
    given = _closing(gate.state, hard)
    if given is None:
        return None
    closed = _moved(gate, given, now, scope=scope, cause=cause, episodes=gate.episodes + 1)
    if gate.state is GateState.OPEN:
        closed = replace(closed, pause_id=guard.new_pause_id(RULE, scope, now))
    return closed, changed(gate, closed, None, now)


def _closing(state: GateState, hard: bool) -> Input | None:
    match state:
        case GateState.HARD_STOPPED:
            return None
        case _ if hard:
            return HardLimit()
        case GateState.PAUSED:
            return None
        case GateState.PROBING:
            return ProbeBad()
        case _:
            return Alarm()


def step(
    gate: Gate, outcome: Outcome, now: float, *, limit: int, this_hour: Outcome
) -> tuple[Gate, GateChanged] | None:
    """The next move of a gate whose scope is listed no more; None while it must wait, or is open or stopped.

    `outcome` counts cohorts from the gate's `epoch` on, `this_hour` the present one: what a probe must not pay for.
    """
    match gate.state:
        case GateState.PAUSED if now - gate.since >= _relapse_wait(gate):
            after = replace(
                _moved(gate, PauseExpired(), now, cause=_cause(Why.LISTING_PROBE, limit)),
                limit=limit, epoch=cohort_of(now),
                base_bad=this_hour.blocked, base_total=this_hour.attempted,
            )  # fmt: skip
        case GateState.PROBING:
            seen = outcome.since(gate)
            given = _judge(gate, seen, now)
            if given is None:
                return None
            if isinstance(given, ProbeBad):
                after = _moved(gate, given, now, cause=_cause(Why.LISTING_BAD, seen=seen))
                after = replace(after, episodes=gate.episodes + 1)
            else:
                after = _moved(gate, given, now, cause=_cause(Why.LISTING_GOOD, SLOW_LIMITS[0], seen))
                after = replace(after, limit=SLOW_LIMITS[0])
        case GateState.SLOWED if now - gate.since >= SLOW_HOURS * HOUR:
            higher = next((hourly for hourly in SLOW_LIMITS if hourly > gate.limit), 0)
            if higher:
                after = _moved(gate, Eased(), now, cause=_cause(Why.LISTING_EASED, higher))
                after = replace(after, limit=higher)
            else:
                after = replace(_moved(gate, Calm(), now, cause=_cause(Why.LISTING_OVER)), episodes=0)
        case _:
            return None
    return after, changed(gate, after, None, now)


def _cause(why: Why, messages: int = 0, seen: Outcome | None = None) -> Cause:
    seen = seen or Outcome()
    return Cause(why=why, rule=RULE, messages=messages, bad=seen.blocked, total=seen.attempted)


def _judge(gate: Gate, seen: Outcome, now: float) -> Input | None:
    if seen.blocked >= MIN_BLOCKED and seen.blocked > BLOCKED_SHARE * max(seen.attempted, seen.blocked):
        return ProbeBad()
    waited = now - gate.since
    enough = seen.attempted >= (gate.limit + 1) // 2 and waited >= PROBE_HOURS * HOUR
    return ProbeGood() if enough or waited >= PATIENCE_HOURS * HOUR else None


def _relapse_wait(gate: Gate) -> float:
    """Seconds that a pause lasts after the delisting: none the first time."""
    if gate.episodes <= 1:
        return 0.0
    hours = RELAPSE_HOURS * float(2 ** min(gate.episodes - 2, 10))
    return min(MAX_RELAPSE_HOURS, hours) * HOUR


def _moved(
    gate: Gate, given: Input, now: float, *, cause: Cause, scope: Scope | None = None, episodes: int | None = None
) -> Gate:
    return replace(
        gate, scope=scope or gate.scope, state=move(gate.state, given), since=now, until=0.0, limit=0, by=BY,
        reason=said(cause), cause=cause, evidence=None, episodes=gate.episodes if episodes is None else episodes,
    )  # fmt: skip
