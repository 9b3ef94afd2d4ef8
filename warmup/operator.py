"""A person's word over a lane's warm-up: makers of (StepState, StepChanged).  Pure; the caller stores both at once.

Contract: `hold` keeps the cap from rising until it expires or is lifted; evidence may still lower it, and mail goes on
(a pause of mail is a gate's matter, monitor.operator).  `step_back` and `start` take effect at once, also today: what
was sent already stays counted.  Every event names who, why and until when.  Raises InvalidInput when there is nothing
to do, so that nobody believes in an order that had no effect.
"""

from __future__ import annotations

from dataclasses import replace

from config.tables import Plan
from core.errors import InvalidInput
from core.events import StepChanged, StepMove
from core.lane import Lane
from core.state import StepState
from warmup import adaptive
from warmup.days import day_begins, plan_day
from warmup.ramp import plan_lane, ramp_of

Word = tuple[StepState, StepChanged]


def hold(state: StepState, *, now: float, until: float, reason: str, by: str) -> Word:
    """No rise before `until` (0: until resumed).  A hold that is there is replaced."""
    if until and until <= now:
        raise InvalidInput("until", "lies in the past", "Give a later moment, or none to hold until resumed")
    held = replace(state, held_by=by, held_until=until, held_reason=reason or "no reason given")
    return held, told(state, held, StepMove.HELD, now, f"held: {held.held_reason}", by=by, until=until)


def resume(state: StepState, *, now: float, reason: str, by: str) -> Word:
    """Lift a person's hold."""
    if not state.is_held(now):
        raise InvalidInput("lane", f"{state.lane.key} is not held", "See penstock warmup status")
    free = replace(state, held_by="", held_until=0.0, held_reason="")
    return free, told(state, free, StepMove.RESUMED, now, reason or "hold lifted", by=by)


def step_back(state: StepState, plan: Plan, *, now: float, to: int, reason: str, by: str) -> Word:
    """Down to the highest step whose cap is at most `to` (0: half of what it has); a finished lane ramps again."""
    ramp = ramp_of(plan, state.lane.provider)
    height = max(state.peak, state.cap) if state.finished else state.cap
    step = ramp.step_under(to or height / 2)
    if ramp.cap(step) >= state.cap and not (state.finished and ramp.cap(step) < height):
        problem = f"{state.lane.key} stands at {state.cap:,} a day, no step of its plan lies below"
        remedy = "Give less than that" if state.step else "It is the first step; to stop its mail use penstock pause"
        raise InvalidInput("to", problem, remedy)
    why = reason or "stepped back by hand"
    cap = ramp.cap(step)
    control = adaptive.lowered(state.control, cap, day_begins(plan, state.day + 1))
    back = replace(state, step=step, cap=cap, finished=False, reason=why, control=control)
    return back, told(state, back, StepMove.STEPPED_BACK, now, why, by=by)


def start(
    lane: Lane, plan: Plan, before: StepState | None, *, now: float, at: int, again: bool, reason: str, by: str
) -> Word:
    """Begin a lane, at the step whose cap is at most `at` (0: the first); `again` begins one anew that exists."""
    if before is not None and not again:
        raise InvalidInput("lane", f"{before.lane.key} was started already", "Say `again` to begin it anew")
    lane, day = plan_lane(lane), plan_day(plan, now)
    ramp = ramp_of(plan, lane.provider)
    step, why = ramp.step_under(at) if at else 0, reason or "started by hand"
    begun = StepState(
        lane=lane, plan=plan.name, step=step, cap=ramp.cap(step), day=day, started_day=day, last_sent_day=day,
        peak=0, finished=False, reason=why, control=adaptive.begin(plan),
    )  # fmt: skip
    return begun, told(before, begun, StepMove.STARTED, now, why, by=by)


def told(
    before: StepState | None, after: StepState, move: StepMove, now: float, reason: str, *, by: str, until: float = 0.0
) -> StepChanged:
    """The event of a move."""
    return StepChanged(
        at=now, lane=after.lane, plan=after.plan, move=move, step=after.step,
        cap_before=before.cap if before else 0, cap_after=after.cap, day=after.day, reason=reason, by=by, until=until,
    )  # fmt: skip
