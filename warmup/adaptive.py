"""The adaptive controller: a lane's cap follows what the provider takes, in place of a table.  Pure.

Contract: `turn` judges a finished day and gives the next day's cap, `brake` may lower the cap of a day that is under
way.  A plan chooses it with `controller = "adaptive"`; its `start`, `growth`, `max_growth` and `target` bound it.

- Clean and used up: the cap grows by the lane's own factor, and the factor grows too (up to `max_growth`) with each
  clean day, so that a provider that takes more gets there faster.
- Put off for its rate: the volume that was taken is the provider's measure.  New mail stops for the day at the
  `STOP_AT`th deferral, the next day repeats what was taken, and the factor falls to what was borne.  A provider that
  puts off far less than it took before is not full but unwell: the lane holds and comes back where it was.
- Reputation replies or an alarm: half of what was taken, and cautious growth (`CAUTIOUS`) from there.
- Blocked: a trickle (`TRICKLE`) that notices the end of the block; after a clean day, half of what was good before.

What is taken without trouble is `good`: the level to which a lane may return at once, because the provider knew it.
Every factor here is ours, chosen by simulation over perturbed provider models (docs/warmup-quality.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from config.plans import Plan
from core.events import StepMove
from core.state import Control, StepState
from warmup.ramp import Ramp

CAUTIOUS = 1.3  # daily factor after trouble
GAIN = 1.25  # by which the factor itself grows on a clean day
STOP_AT = 3  # deferrals for rate or reputation that end a day's new mail
TRICKLE = 20
UNWELL = 0.5  # taken less than this share of what was good: the provider's trouble, not our volume
BACK = 0.5  # of the good level, right after a block


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A day of a lane, as far as the controller looks.  `put_off` without greylisting."""

    attempted: int
    put_off: int
    blocked: int
    used: int = 0  # of the cap so far; for `brake`

    @property
    def taken(self) -> int:
        """First attempts without a word about rate or reputation."""
        return max(0, self.attempted - max(self.put_off, self.blocked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The controller's answer."""

    move: StepMove
    cap: int
    control: Control
    reason: str


def begin(plan: Plan) -> Control:
    """The controller of a lane that begins."""
    return Control(growth=min(plan.growth, plan.max_growth), good=0)


def brake(state: StepState, plan: Plan, seen: Seen) -> Turn | None:
    """Stop new mail for today, when the provider said often enough that it is too much; None to go on."""
    said = max(seen.put_off, seen.blocked)
    if state.finished or state.control.braked or said < STOP_AT or said <= plan.max_deferral_rate * seen.attempted / 2:
        return None
    reason = f"put off {said} times after {seen.taken:,} taken: no more new mail today"
    return Turn(move=StepMove.HELD, cap=min(state.cap, seen.used), control=replace(state.control, braked=state.cap),
                reason=reason)  # fmt: skip


def blocked(state: StepState, ramp: Ramp, seen: Seen) -> Turn:
    """The provider has shut the door."""
    good = max(state.control.good, seen.taken)
    cap = min(state.cap, max(1, min(TRICKLE, ramp.cap(0))))
    control = Control(growth=CAUTIOUS, good=good, shut=True)
    return Turn(move=StepMove.STEPPED_BACK, cap=cap, control=control,
                reason=f"blocked: {seen.blocked:,} of {seen.attempted:,} refused for reputation")  # fmt: skip


def back(state: StepState, ramp: Ramp, seen: Seen, reason: str) -> Turn:
    """Reputation replies, complaints or an alarm."""
    cap = max(min(state.cap, ramp.cap(0)), seen.taken // 2)
    cap = min(cap, state.cap)
    control = Control(growth=CAUTIOUS, good=cap)
    return Turn(move=StepMove.STEPPED_BACK if cap < state.cap else StepMove.HELD, cap=cap, control=control,
                reason=reason)  # fmt: skip


def full(state: StepState, ramp: Ramp, plan: Plan, seen: Seen) -> Turn:
    """Deferrals for rate: the measure is found, or the provider is unwell."""
    before = state.control
    wished = before.braked or state.cap
    share = seen.put_off / max(1, seen.attempted)
    if before.good and seen.taken < UNWELL * before.good:
        cap, growth = min(wished, max(before.good, seen.taken)), before.growth
        reason = f"{share:.0%} put off, though {before.good:,} a day were taken before: held until it is over"
    else:
        cap = max(seen.taken, min(wished, ramp.cap(0) // 4, before.good or ramp.cap(0)), 1)
        borne = seen.taken / before.good if before.good else CAUTIOUS
        growth = max(CAUTIOUS, min(before.growth, 0.95 * borne))
        reason = f"{share:.0%} put off: {seen.taken:,} a day is what it takes now"
    cap = min(cap, ramp.target)
    control = Control(growth=growth, good=max(seen.taken, before.good if seen.taken < UNWELL * before.good else 0))
    return Turn(move=StepMove.HELD if cap >= wished else StepMove.STEPPED_BACK, cap=cap, control=control,
                reason=reason)  # fmt: skip


def clean(state: StepState, ramp: Ramp, plan: Plan, seen: Seen, *, used_up: bool) -> Turn:
    """Nothing against it."""
    before = state.control
    good = max(seen.taken, before.good)
    if before.shut:
        cap = max(state.cap, int(BACK * before.good), min(ramp.cap(0), 2 * state.cap))
        return Turn(move=StepMove.ADVANCED, cap=min(cap, ramp.target), control=Control(growth=CAUTIOUS, good=good),
                    reason=f"{seen.taken:,} taken: the block is over")  # fmt: skip
    if not used_up:
        return Turn(move=StepMove.HELD, cap=state.cap, control=Control(growth=before.growth, good=good),
                    reason=f"only {seen.attempted:,} of {state.cap:,} sent")  # fmt: skip
    growth = min(plan.max_growth, before.growth * GAIN)
    cap = min(ramp.target, max(state.cap + 1, int(state.cap * before.growth), min(before.good, 2 * state.cap)))
    return Turn(move=StepMove.ADVANCED, cap=cap, control=Control(growth=growth, good=good),
                reason=f"{seen.taken:,} taken, nothing against it: ×{cap / max(1, state.cap):.2f}")  # fmt: skip
