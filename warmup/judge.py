"""Judges a lane's finished day: the next day's step and cap, with the reason in words.  Pure.

Contract: yesterday's figures in, a new state and its StepChanged out.  A lane advances only if the day's cap was really
used and nothing spoke against it; otherwise it holds or steps back.  Steps are never skipped upwards by a table; under
a plan with `controller = "adaptive"` the cap is the controller's (warmup.adaptive), where a table's would be another.

In this order: long silence re-warms or decays · a block (half of the attempts refused for reputation) starts over ·
reputation replies or complaints beyond the plan's rates, or a gate that the monitor closed over this lane, halve the
cap (rules may say otherwise: warmup.words) · bounces, any other closing, deferrals beyond the plan's rate, seeds in the
spam folder, or too little mail hold it.  A person's hold (warmup.operator) keeps a lane from rising while it lasts, and
never from falling.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import StrEnum

from config.tables import Plan
from core.events import StepChanged, StepMove
from core.lane import Lane
from core.state import StepState
from warmup import adaptive
from warmup.admission import paced_cap
from warmup.days import day_begins, plan_day
from warmup.figures import DayFigures
from warmup.ramp import FULL_DAYS, Ramp, plan_lane, ramp_of

BLOCKED_SHARE = 0.5  # of a day's first attempts: the provider has shut the door
FEWEST_BLOCKS = 2  # one refusal is an accident
FEWEST_COMPLAINTS = 3
CALM_COMPLAINTS = 2
CALM_WIDTHS = 1.28  # standard deviations of chance above it: two complaints among 1,500 healthy mails say nothing
CALM_COMPLAINT_RATE = 0.001  # from which on Gmail and Yahoo want less: reason enough not to hurry
FEWEST_BOUNCES = 3
FEWEST_SEEDS = 2


def first_step(lane: Lane, plan: Plan, now: float) -> tuple[StepState, StepChanged]:
    """The beginning of a lane."""
    lane, day = plan_lane(lane), plan_day(plan, now)
    cap = ramp_of(plan, lane.provider).cap(0)
    state = StepState(
        lane=lane, plan=plan.name, step=0, cap=cap, day=day, started_day=day, last_sent_day=day, peak=0,
        finished=False, reason="first mail of this lane", control=adaptive.begin(plan),
    )  # fmt: skip
    return state, _event(None, state, StepMove.STARTED, now)


def next_step(state: StepState, plan: Plan, figures: DayFigures, now: float) -> tuple[StepState, StepChanged]:
    """The step for today, from the figures of the day before (`state.day`)."""
    ramp, today = ramp_of(plan, state.lane.provider), plan_day(plan, now)
    known = replace(
        state, plan=plan.name, day=today,
        peak=figures.peak or state.peak, last_sent_day=max(state.last_sent_day, figures.last_sent_day),
    )  # fmt: skip
    if state.plan != plan.name:  # another plan: go on at the step that allows no more than was allowed
        known = replace(known, step=ramp.step_under(state.cap), control=adaptive.begin(plan))
    move, step, reason = _decide(known, ramp, plan, figures, today)
    cap, control = ramp.cap(step), known.control
    if plan.controller == "adaptive":
        turn = _adapted(known, ramp, plan, figures, move, ramp.cap(step), reason)
        move, cap, control, reason = turn.move, turn.cap, turn.control, turn.reason
        if move is StepMove.STEPPED_BACK and not control.shut and _trouble(figures, plan) is _Trouble.REPUTATION:
            control = adaptive.lowered(control, cap, day_begins(plan, today + 1))
        step = ramp.step_under(cap)
    if not known.is_held(now):
        known = replace(known, held_by="", held_until=0.0, held_reason="")
    elif move in (StepMove.ADVANCED, StepMove.FINISHED):  # a hold keeps a lane from rising, never from falling
        move, step, reason = StepMove.HELD, known.step, f"held by {known.held_by}: {known.held_reason}"
        cap, control = known.cap, replace(control, braked=0)
    finished = move is StepMove.FINISHED or (known.finished and move is StepMove.HELD)
    new = replace(known, step=step, cap=cap, control=control, finished=finished, reason=reason)
    return new, _event(state, new, move, now)


def _adapted(
    state: StepState, ramp: Ramp, plan: Plan, figures: DayFigures, move: StepMove, cap: int, reason: str
) -> adaptive.Turn:
    """The controller's answer, where the table's would be another: after trouble and after clean days."""
    seen = adaptive.Seen(attempted=figures.attempted, put_off=figures.deferred, blocked=figures.blocked)
    height = replace(state, cap=max(state.peak, state.cap), finished=False) if state.finished else state
    verdict = _trouble(figures, plan)
    if move is StepMove.HELD and state.finished:
        pass
    elif verdict is _Trouble.BLOCKED and figures.attempted:
        return adaptive.blocked(height, ramp, seen)
    elif verdict is _Trouble.REPUTATION and figures.attempted:
        return adaptive.back(height, ramp, seen, reason)
    elif verdict is _Trouble.DEFERRED or (verdict is _Trouble.NONE and _is_full(state, plan, seen)):
        return adaptive.full(height, ramp, plan, seen)
    elif verdict is _Trouble.NONE and figures.attempted and move is not StepMove.STEPPED_BACK:
        wished = min(state.control.braked or state.cap, figures.share or state.cap)
        used_up = figures.attempted >= plan.advance_sent_share * wished
        if used_up and state.cap >= ramp.target:
            return adaptive.Turn(move=StepMove.FINISHED, cap=state.cap, control=state.control, reason=reason)
        return adaptive.clean(state, ramp, plan, seen, used_up=used_up)
    kept = state.control.braked or state.cap
    if _in_spam(figures, plan) and not state.finished and _is_full(state, plan, seen):
        kept = min(kept, max(1, seen.taken))  # to meet the limit again would be resented, where mail is unwelcome
    back = move is StepMove.STEPPED_BACK
    control = adaptive.begin(plan) if back else replace(state.control, braked=0)
    return adaptive.Turn(move=move, cap=min(cap, kept) if back else kept, control=control, reason=reason)


def _is_calm(figures: DayFigures, plan: Plan) -> bool:
    """Nothing at all against the day so far: a cap is raised within it only then."""
    return _trouble(figures, plan) is _Trouble.NONE and not _many_complain(figures)


def _is_welcome(figures: DayFigures, plan: Plan) -> bool:
    """Put off for its rate at most: more volume is the only thing that the provider minds."""
    unwanted = figures.blocked or figures.closings or _many_complain(figures)
    return not unwanted and not _in_spam(figures, plan, 0.5)


def _many_complain(figures: DayFigures) -> bool:
    """More than the calm rate and its chance explain: a false alarm costs a small lane the rest of its day."""
    expected = CALM_COMPLAINT_RATE * figures.delivered
    return figures.complained >= max(CALM_COMPLAINTS, expected + CALM_WIDTHS * math.sqrt(expected))


def _in_spam(figures: DayFigures, plan: Plan, of_limit: float = 1.0) -> bool:
    """More seeds lie in the spam folder than the plan bears, or than a part of that."""
    seeds = figures.seeds_inbox + figures.seeds_spam
    return seeds >= FEWEST_SEEDS and figures.seeds_spam / seeds > of_limit * plan.max_spam_placement


def _is_full(state: StepState, plan: Plan, seen: adaptive.Seen) -> bool:
    """Refusals kept the lane from its cap: few of them are many, for the pair rests after each."""
    held_back = seen.attempted < plan.advance_sent_share * state.cap and seen.refused >= adaptive.STOP_AT
    return bool(state.control.braked) or held_back


class _Trouble(StrEnum):
    """What speaks against a day, for the controller."""

    NONE = "none"
    BLOCKED = "blocked"
    REPUTATION = "reputation"
    DEFERRED = "deferred"
    OTHER = "other"  # bounces, seeds, somebody else's gate: hold


def _trouble(figures: DayFigures, plan: Plan) -> _Trouble:
    sent, blocks = max(1, figures.attempted), figures.blocked
    complained = figures.complained >= FEWEST_COMPLAINTS and (
        figures.complained > plan.max_complaint_rate * figures.delivered
    )
    if blocks >= FEWEST_BLOCKS and blocks / sent >= BLOCKED_SHARE:
        return _Trouble.BLOCKED
    if (blocks >= FEWEST_BLOCKS and blocks / sent > plan.max_block_rate) or complained:
        return _Trouble.REPUTATION
    if any(closing.own for closing in figures.closings):
        return _Trouble.REPUTATION
    if figures.closings or (figures.bounced >= FEWEST_BOUNCES and figures.bounced / sent > plan.max_bounce_rate):
        return _Trouble.OTHER
    if figures.deferred / sent > plan.max_deferral_rate:
        return _Trouble.DEFERRED
    if _in_spam(figures, plan):
        return _Trouble.OTHER
    return _Trouble.NONE


def _decide(state: StepState, ramp: Ramp, plan: Plan, figures: DayFigures, today: int) -> tuple[StepMove, int, str]:
    idle = today - state.last_sent_day - 1
    # a finished lane has no cap: it falls from what it really sent
    height = max(state.peak, state.cap) if state.finished else state.cap
    half = ramp.step_under(height / 2)
    sent, step = figures.attempted, state.step
    block_rate = figures.blocked / max(1, sent)
    own = [c.text for c in figures.closings if c.own]
    if idle >= plan.idle_rewarm_days:
        return _back(state, 0, f"no mail for {idle} days: warmed again from the beginning")
    if idle > FULL_DAYS:
        decayed = ramp.step_under(ramp.idle_cap(state.peak, idle))
        return _back(state, decayed, f"no mail for {idle} days: reputation fades")
    if sent == 0:
        return StepMove.HELD, step, "nothing was sent"
    if figures.blocked >= FEWEST_BLOCKS and block_rate >= BLOCKED_SHARE:
        return _back(state, 0, f"blocked: {figures.blocked:,} of {sent:,} refused for reputation")
    if figures.blocked >= FEWEST_BLOCKS and block_rate > plan.max_block_rate:
        return _back(state, half, f"{block_rate:.1%} refused for reputation, limit {plan.max_block_rate:.1%}")
    if own:
        return _back(state, half, own[0])
    if figures.complained >= FEWEST_COMPLAINTS and figures.complained > plan.max_complaint_rate * figures.delivered:
        rate = figures.complained / max(1, figures.delivered)
        return _back(state, half, f"{rate:.2%} complained, limit {plan.max_complaint_rate:.2%}")
    if figures.bounced >= FEWEST_BOUNCES and figures.bounced / sent > plan.max_bounce_rate:
        return StepMove.HELD, step, f"{figures.bounced / sent:.1%} bounced, limit {plan.max_bounce_rate:.1%}"
    if figures.closings:
        return StepMove.HELD, step, figures.closings[0].text
    if figures.deferred / sent > plan.max_deferral_rate:
        return StepMove.HELD, step, f"{figures.deferred / sent:.0%} deferred, limit {plan.max_deferral_rate:.0%}"
    if _in_spam(figures, plan):
        seeds = figures.seeds_inbox + figures.seeds_spam
        return StepMove.HELD, step, f"{figures.seeds_spam} of {seeds} seed mails lay in the spam folder"
    if state.finished:
        return StepMove.HELD, step, "the ramp is finished"
    # under a budget that others share, a lane cannot use its whole cap: its fair part of it is enough
    wished = min(state.cap, figures.share or state.cap)
    if sent < plan.advance_sent_share * wished:
        return StepMove.HELD, step, f"only {sent:,} of {wished:,} sent"
    if ramp.is_last(step):
        return StepMove.FINISHED, step, f"{sent:,} sent at the target of {ramp.target:,} a day"
    return StepMove.ADVANCED, step + 1, f"{sent:,} of {state.cap:,} sent, nothing against it"


def _back(state: StepState, step: int, reason: str) -> tuple[StepMove, int, str]:
    """Down to `step`, never up; a lane that is there already holds."""
    if step < state.step or state.finished:
        return StepMove.STEPPED_BACK, min(step, state.step), reason
    return StepMove.HELD, state.step, reason


def _event(before: StepState | None, after: StepState, move: StepMove, now: float) -> StepChanged:
    return StepChanged(
        at=now, lane=after.lane, plan=after.plan, move=move, step=after.step,
        cap_before=before.cap if before else 0, cap_after=after.cap, day=after.day, reason=after.reason,
    )  # fmt: skip


def within_day(
    state: StepState, plan: Plan, figures: DayFigures, used: int, now: float
) -> tuple[StepState, StepChanged] | None:
    """Stop, raise or reopen an adaptive lane's new mail for today, as the provider says; None to go on."""
    if plan.controller != "adaptive":
        return None
    seen = adaptive.Seen(
        attempted=figures.attempted, put_off=figures.deferred, blocked=figures.blocked, used=used,
        pace=paced_cap(state.cap, plan, now), calm=_is_calm(figures, plan), welcome=_is_welcome(figures, plan),
        asked=paced_cap(state.cap, plan, max(now - adaptive.RAISE_EVERY, day_begins(plan, state.day))),
    )  # fmt: skip
    turn = adaptive.within_day(state, plan, ramp_of(plan, state.lane.provider), seen, now)
    if turn is None or (turn.move is StepMove.ADVANCED and state.is_held(now)):
        return None
    new = replace(state, cap=turn.cap, control=turn.control, reason=turn.reason)
    return new, _event(state, new, turn.move, now)
