"""The guard: one transition table for the gate over a scope, and the step that applies it.  Pure.

Contract: `step` takes the gate as stored, the newest verdict and the time, and returns the new gate with its event, or
None when nothing changes.  Every state that the machine closed by itself ends by itself, but never by a jump to the
full rate: PAUSED expires into PROBING (a few messages, judged when their outcomes and late complaints came), a good
probe leads to SLOWED, whose hourly limit grows fourfold an hour until the gate is OPEN; a bad probe closes again, for
twice as long.  HARD_STOPPED waits for a person.  A pair that the table does not hold raises IllegalMove.

Evidence counts anew from the beginning of a probe and from an operator's resume: an episode never pays for the one
before.  Late complaints about mail sent before a pause can only make the pause a hard stop.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TypeAlias

from config.rules import GATING
from config.tables import Rule
from core.causes import Cause, Why, said
from core.events import Evidence, GateChanged, GateState
from core.lane import DAY, HOUR, Scope, cohort_of
from core.state import Gate
from monitor.rules import Level, Verdict, half_of_probe

BY = "guard"
SLOW_STEP_HOURS = 1.0  # how long one hourly limit of a slowed scope is held before it may grow
SLOW_GROWTH = 4
SLOW_STEPS = 3  # limits ×1, ×4, ×16, then open
PATIENCE = 4  # a probe short of outcomes is judged by what came after so many times its waiting time
CAMPAIGN_OVER_DAYS = 2
SILENCE_HOURS = 24.0  # nothing but deferrals for so long is an answer too


@dataclass(frozen=True, slots=True)
class Warn:
    """The evidence suffices to slow."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """The evidence suffices to close."""


@dataclass(frozen=True, slots=True)
class HardLimit:
    """The evidence holds even against the hard limit."""


@dataclass(frozen=True, slots=True)
class PauseExpired:
    """An automatic pause is over."""


@dataclass(frozen=True, slots=True)
class ProbeGood:
    """The probe's outcomes are fine."""


@dataclass(frozen=True, slots=True)
class ProbeBad:
    """The probe shows the same trouble."""


@dataclass(frozen=True, slots=True)
class ProbeRenewed:
    """The probe had no outcome to judge: it gets another share of messages."""


@dataclass(frozen=True, slots=True)
class Eased:
    """A slowed scope was calm for a step: its limit grows."""


@dataclass(frozen=True, slots=True)
class Calm:
    """A slowed scope was calm through all its steps."""


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The ground is gone: an operator's pause ran out, the rule was removed, or no mail came for a whole window."""


@dataclass(frozen=True, slots=True)
class OperatorPause:
    """A person closes the gate."""


@dataclass(frozen=True, slots=True)
class OperatorResume:
    """A person opens the gate."""


Input: TypeAlias = (
    Warn | Alarm | HardLimit | PauseExpired | ProbeGood | ProbeBad | ProbeRenewed | Eased | Calm | Lapsed
    | OperatorPause | OperatorResume
)  # fmt: skip

_S = GateState
TABLE: dict[tuple[GateState, type[Input]], GateState] = {
    (_S.OPEN, Warn): _S.SLOWED,
    (_S.OPEN, Alarm): _S.PAUSED,
    (_S.OPEN, HardLimit): _S.HARD_STOPPED,
    (_S.OPEN, OperatorPause): _S.PAUSED,
    (_S.SLOWED, Warn): _S.SLOWED,  # back to the lowest limit
    (_S.SLOWED, Alarm): _S.PAUSED,
    (_S.SLOWED, HardLimit): _S.HARD_STOPPED,
    (_S.SLOWED, Eased): _S.SLOWED,
    (_S.SLOWED, Calm): _S.OPEN,
    (_S.SLOWED, Lapsed): _S.OPEN,
    (_S.SLOWED, OperatorResume): _S.OPEN,
    (_S.PAUSED, HardLimit): _S.HARD_STOPPED,
    (_S.PAUSED, PauseExpired): _S.PROBING,
    (_S.PAUSED, Lapsed): _S.OPEN,
    (_S.PAUSED, OperatorPause): _S.PAUSED,  # other terms
    (_S.PAUSED, OperatorResume): _S.OPEN,
    (_S.PROBING, ProbeGood): _S.SLOWED,
    (_S.PROBING, ProbeBad): _S.PAUSED,
    (_S.PROBING, ProbeRenewed): _S.PROBING,
    (_S.PROBING, HardLimit): _S.HARD_STOPPED,
    (_S.PROBING, Lapsed): _S.OPEN,
    (_S.PROBING, OperatorResume): _S.OPEN,
    (_S.HARD_STOPPED, OperatorResume): _S.OPEN,
}


class IllegalMove(Exception):
    """An input that this state does not know: a mistake in the program, never in the mail."""


def move(state: GateState, given: Input) -> GateState:
    """The next state.  Raises IllegalMove naming both."""
    after = TABLE.get((state, type(given)))
    if after is None:
        raise IllegalMove(f"a gate that is {state} knows no {type(given).__name__}")
    return after


def first(rule: str, scope: Scope) -> Gate:
    """The gate of a scope that was never closed; it is not stored until it moves."""
    return Gate(scope=scope, state=GateState.OPEN, pause_id="", rule=rule, since=0.0, until=0.0, reason="", by="")


def new_pause_id(rule: str, scope: Scope, now: float) -> str:
    """A short name for a new episode; the same for the same inputs, so that a replay gives the same."""
    return "p" + hashlib.sha256(f"{rule}|{scope.key}|{now!r}".encode()).hexdigest()[:10]


def step(gate: Gate, verdict: Verdict, now: float) -> tuple[Gate, GateChanged] | None:
    """What the newest verdict and the time do to a gate of the machine; None when nothing changes."""
    given = wanted(gate, verdict, now)
    return None if given is None else apply(gate, given, verdict, now)


def lapse(gate: Gate, now: float, cause: Cause) -> tuple[Gate, GateChanged] | None:
    """Open a gate whose ground is gone, once its state has expired; hard stops and open gates stay as they are."""
    if (gate.state, Lapsed) not in TABLE or gate.until <= 0 or now < gate.until:
        return None
    return finish(gate, now, cause)


def finish(gate: Gate, now: float, cause: Cause, *, by: str = BY) -> tuple[Gate, GateChanged]:
    """Open a gate whose ground is gone, at once.  Raises IllegalMove when it is open or stopped."""
    after = move(gate.state, Lapsed())
    cohort = cohort_of(now)
    opened = replace(
        gate, state=after, since=now, until=0.0, reason=said(cause), cause=cause, by=by, limit=0, epoch=cohort,
        base_bad=0, base_total=0, episodes=0,
    )  # fmt: skip
    return opened, changed(gate, opened, None, now)


def wanted(gate: Gate, verdict: Verdict, now: float) -> Input | None:
    """What the newest verdict and the time ask of a gate of the machine; None for nothing."""
    rule, level = verdict.rule, verdict.level
    if gate.state is not GateState.HARD_STOPPED and rule.action == "pause" and level is Level.HARD:
        return HardLimit()
    slows = level is Level.WARN if rule.action == "pause" else level in (Level.ALARM, Level.HARD)
    closes = rule.action == "pause" and level is Level.ALARM
    over = gate.until > 0 and now >= gate.until
    match gate.state:
        case GateState.OPEN if rule.action in GATING:
            return Alarm() if closes else Warn() if slows else None
        case GateState.SLOWED:
            if closes:
                return Alarm()
            if slows and gate.limit > rule.slow_per_hour:
                return Warn()
            if over and verdict.calm:
                return Calm() if gate.limit >= rule.slow_per_hour * SLOW_GROWTH ** (SLOW_STEPS - 1) else Eased()
        case GateState.PAUSED if over:
            return PauseExpired()
        case GateState.PROBING:
            return _judge_probe(gate, verdict, now)
        case _:
            pass
    return None


def _judge_probe(gate: Gate, verdict: Verdict, now: float) -> Input | None:
    """A probe follows proven trouble, so little proof closes again: two bad of it, above the threshold."""
    rule, bad, total = verdict.rule, verdict.counted_bad, verdict.counted_total
    rate = bad / max(total, bad, 1)
    if verdict.level is not Level.QUIET or (bad >= rule.minimum_bad and rate > 2 * rule.threshold):
        return ProbeBad()
    waited = now - gate.since
    patience = max(rule.probe_hours, 1.0) * HOUR
    enough = total >= half_of_probe(rule) or (total > 0 and waited >= PATIENCE * patience)
    if enough:
        # complaints come late: what another gate let go only now has had no time to draw any
        if now - max(gate.since, verdict.probed_at) < rule.probe_hours * HOUR:
            return None
        return ProbeBad() if bad >= 2 and rate > rule.threshold else ProbeGood()
    if now < gate.until:
        return None
    # campaigns end: one that sends nothing for so long is over
    patience_days = min(rule.window_days, CAMPAIGN_OVER_DAYS) if gate.scope.campaign else rule.window_days
    if verdict.attempted == 0 and waited >= patience_days * DAY:
        return Lapsed()
    if verdict.attempted > 0 and total == 0 and waited >= SILENCE_HOURS * HOUR:
        return ProbeBad()
    return ProbeRenewed()


def apply(gate: Gate, given: Input, verdict: Verdict, now: float) -> tuple[Gate, GateChanged]:
    """The gate after an input of the machine, with its event."""
    rule, after, cause = verdict.rule, move(gate.state, given), cause_of(given, verdict)
    new = replace(
        gate, scope=verdict.scope, state=after, since=now, until=0.0, limit=0, by=BY,
        reason=said(cause), cause=cause, evidence=verdict.evidence,
        mark=cohort_of(now), mark_bad=verdict.here_bad, mark_total=verdict.here_total,
    )  # fmt: skip
    if gate.state is GateState.OPEN:
        new = replace(new, pause_id=new_pause_id(rule.name, verdict.scope, now))
    match given:
        case Warn() | ProbeGood():
            new = replace(new, limit=rule.slow_per_hour, until=now + SLOW_STEP_HOURS * HOUR)
        case Eased():
            new = replace(new, limit=gate.limit * SLOW_GROWTH, until=now + SLOW_STEP_HOURS * HOUR)
        case Alarm() | ProbeBad():
            episodes = _episodes(gate, rule, now) + 1
            hours = min(rule.max_pause_hours, rule.pause_hours * 2 ** min(episodes - 1, 30))
            new = replace(new, episodes=episodes, until=now + hours * HOUR)
        case HardLimit():
            new = replace(new, episodes=_episodes(gate, rule, now) + 1)
        case PauseExpired():
            new = _counting_anew(replace(new, limit=rule.probe_messages, until=now + _probe_wait(rule)), verdict, now)
        case ProbeRenewed():
            # each renewal waits as long as the probe has lasted: an idle scope must not fill the log
            wait = max(_probe_wait(rule), now - gate.since)
            new = replace(new, since=gate.since, limit=rule.probe_messages, until=now + wait)
        case Lapsed():
            new = _counting_anew(replace(new, episodes=0), verdict, now)
        case _:
            pass  # Calm keeps its episodes: a relapse soon after opening pauses longer
    return new, changed(gate, new, verdict.evidence, now)


def changed(before: Gate, after: Gate, evidence: Evidence | None, now: float) -> GateChanged:
    """The event of a move."""
    return GateChanged(
        at=now, pause_id=after.pause_id, scope=after.scope, before=before.state, after=after.state,
        reason=after.reason, until=after.until, by=after.by, evidence=evidence, limit=after.limit, cause=after.cause,
    )  # fmt: skip


def _probe_wait(rule: Rule) -> float:
    return max(rule.probe_hours, 1.0) * HOUR


def _episodes(gate: Gate, rule: Rule, now: float) -> int:
    """Closings that still count: an open gate's are forgotten after the longest pause without trouble."""
    if gate.state is GateState.OPEN and now - gate.since > rule.max_pause_hours * HOUR:
        return 0
    return gate.episodes


def _counting_anew(gate: Gate, verdict: Verdict, now: float) -> Gate:
    return replace(gate, epoch=cohort_of(now), base_bad=verdict.here_bad, base_total=verdict.here_total)


def cause_of(given: Input, verdict: Verdict) -> Cause:
    """Why an input of the machine moves a gate."""
    rule, seen = verdict.rule, verdict.evidence
    counts = Cause(why=Why.CALM, rule=rule.name, bad=seen.numerator, total=seen.denominator)
    probe = Cause(why=Why.PROBE_BAD, rule=rule.name, bad=verdict.counted_bad, total=verdict.counted_total)
    match given:
        case Warn() | Alarm() | HardLimit():
            limit = rule.hard_limit if isinstance(given, HardLimit) else rule.threshold
            return replace(above(verdict), threshold=limit)
        case PauseExpired():
            return Cause(why=Why.PAUSE_OVER, rule=rule.name, messages=rule.probe_messages)
        case ProbeGood():
            return replace(probe, why=Why.PROBE_GOOD, messages=rule.slow_per_hour)
        case ProbeBad():
            return probe
        case ProbeRenewed():
            return replace(probe, why=Why.PROBE_SHORT, messages=rule.probe_messages)
        case Eased():
            return replace(counts, why=Why.EASED)
        case Calm():
            return counts
        case Lapsed():
            return Cause(why=Why.NO_MAIL, rule=rule.name)
        case OperatorPause() | OperatorResume():
            raise IllegalMove("an operator's word is made in monitor.operator")


def above(verdict: Verdict) -> Cause:
    """That a rate is above its threshold, on what evidence."""
    rule, seen = verdict.rule, verdict.evidence
    return Cause(
        why=Why.ABOVE_WINDOW if rule.evidence == "window" else Why.ABOVE, rule=rule.name, bad=seen.numerator,
        total=seen.denominator, since=seen.since, threshold=rule.threshold, e_value=seen.e_value, limit=seen.limit,
    )  # fmt: skip
