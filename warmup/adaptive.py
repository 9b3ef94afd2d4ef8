"""The adaptive controller: a lane's cap follows what the provider takes, in place of a table.  Pure.

Contract: `blocked`, `back`, `full` and `clean` judge a finished day and give the next day's cap; `within_day` may
lower, reopen or raise the cap of a day that is under way.  A plan chooses it with `controller = "adaptive"`; its
`start`, `growth`, `max_growth` and `target` bound it.

- Clean and used up: the cap grows by the lane's own factor, and the factor grows too (by `GAIN`, up to `max_growth`)
  with each clean day, so that a provider that takes more gets there faster.
- Within a day without a word against it the cap doubles every two hours, when what could have gone two hours ago has
  gone: up to `max_growth` times what was good, and `REACH` times the factor that the provider is known to bear.
- Put off for its rate, the limit of the day is met.  The sender rests after each refusal and tries again, and what
  passes then is how a provider gets used to more: a lane that is welcome (`Seen.welcome`) goes on until `TRIES`
  refusals or a share of its attempts (`TRIES_SHARE`), any other until the `STOP_AT`th.  Then its day is over.
- What was taken is the measure.  The factor that it bore against the day before is the lane's ceiling from then on,
  which eases slowly (`EASE`); the next day asks for more than that (`ABOVE`), so that the limit is met again early.
- A day that did not use its cap up leaves half as much again as was good: room that nobody asked for would let the
  first hundredth of a bad list be a large one.
- A provider that takes less than before is not only full: the day is no measure of what growth it bears, and what is
  good sinks halfway.  One that takes far less is unwell: the cap that it had is held until that is over.
- Seeds in the spam folder on a day that met its limit: no more than was taken, so that it is not met again.
- Reputation replies: half of what was good or taken; complaints or an alarm, whose pause has stopped the mail already:
  two thirds (once: a day on which a pause let nothing go says nothing new).  No rise on that day, and cautious growth
  (`CAUTIOUS`) from there.
- Blocked: a trickle, so that the end of the block is noticed; when a handful passes again, half of what was good
  before goes the same day.

What is taken without trouble is `good`: the level to which a lane may return at once, because the provider knew it.
Every factor here is ours, chosen by simulation over provider models (docs/warmup-quality.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from config.plans import Plan
from core.events import StepMove
from core.lane import HOUR
from core.state import Control, StepState
from warmup.ramp import Ramp

CAUTIOUS = 1.3  # daily factor after trouble
GAIN = 1.25  # by which the factor itself grows on a clean day
ABOVE = 1.5  # of the factor that was borne: the next day's cap, spread over the day, meets the limit after two thirds
EASE = 1.05  # by which a ceiling grows on a clean day
STOP_AT = 3  # deferrals for rate or reputation that show a limit, and end a day's new mail unless the lane is welcome
TRIES = 24  # those that end it all the same, and
TRIES_SHARE = 0.25  # of the first attempts
STOP_UNWELL_AT = 2  # the same where hardly anything is taken from a lane that was good
RAISE = 2.0  # of the cap, within a day
RAISE_EVERY = 2 * HOUR  # and what went before that must have gone: its answers, placements and first complaints are in
REACH = 3.0  # times a known ceiling, within a day
SAMPLE = 0.08  # of the cap that must have been taken before it is raised, and
FEWEST_TAKEN = 20
BEHIND = 0.85  # of the day's pace: the rests after refusals hold the lane back
TRICKLE = 20
HANDFUL = 5  # messages taken without a refusal that end a block
UNWELL = 0.5  # taken less than this share of what was good: the provider's trouble, not our volume
BACK = 0.5  # of the good level, right after a block and after replies about reputation
AFTER_PAUSE = 0.67  # of it after an alarm or complaints


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A day of a lane, as far as the controller looks.  `put_off` without greylisting."""

    attempted: int
    put_off: int
    blocked: int
    used: int = 0  # of the cap so far, and
    pace: int = 0  # how much could have been, and
    asked: int = 0  # how much could have been RAISE_EVERY ago, and
    calm: bool = False  # nothing but acceptance, and
    welcome: bool = False  # put off for its rate at most: no word of reputation, no spam folder; all for `within_day`

    @property
    def taken(self) -> int:
        """First attempts without a word about rate or reputation."""
        return max(0, self.attempted - max(self.put_off, self.blocked))

    @property
    def refused(self) -> int:
        """Words about rate or reputation."""
        return max(self.put_off, self.blocked)


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


def within_day(state: StepState, plan: Plan, ramp: Ramp, seen: Seen, now: float) -> Turn | None:
    """What the day so far asks for: stop new mail for today, let more go, or reopen after a block; None to go on."""
    control = state.control
    if state.finished or control.braked:
        return None
    if control.shut and seen.blocked == 0 and seen.put_off == 0 and seen.taken >= min(HANDFUL, state.cap):
        cap = min(ramp.target, max(state.cap, int(BACK * control.good)))
        # what it took before it shut is known to it: the way back is no new growth
        opened = replace(control, shut=False)
        return Turn(move=StepMove.ADVANCED, cap=cap, control=opened,
                    reason=f"{seen.taken:,} taken: the block is over")  # fmt: skip
    many = seen.refused > plan.max_deferral_rate * seen.attempted / 2
    unwell = control.good > 0 and seen.taken < seen.refused
    if seen.refused < (STOP_UNWELL_AT if unwell else STOP_AT) or not (many or seen.used < BEHIND * seen.pace):
        return _raised(state, plan, ramp, seen, now)
    if seen.welcome and not unwell and seen.refused < min(TRIES, TRIES_SHARE * seen.attempted):
        return None  # the sender's rests pace it, and what passes between them is learnt
    reason = f"put off {seen.refused} times after {seen.taken:,} taken: no more new mail today"
    return Turn(move=StepMove.HELD, cap=min(state.cap, seen.used), control=replace(control, braked=state.cap),
                reason=reason)  # fmt: skip


def _raised(state: StepState, plan: Plan, ramp: Ramp, seen: Seen, now: float) -> Turn | None:
    control = state.control
    if not seen.calm or seen.refused or control.shut or now - control.raised_at < RAISE_EVERY:
        return None
    if seen.taken < max(FEWEST_TAKEN, SAMPLE * state.cap) or seen.used < BEHIND * seen.asked:
        return None
    factor = min(plan.max_growth, control.ceiling * REACH) if control.ceiling else plan.max_growth
    top = min(ramp.target, int(factor * (control.good or ramp.cap(0))))
    cap = min(top, int(RAISE * state.cap))
    if cap <= state.cap:
        return None
    return Turn(move=StepMove.ADVANCED, cap=cap, control=replace(control, raised_at=now),
                reason=f"{seen.taken:,} taken so far today, nothing against it: ×{cap / state.cap:.2f}")  # fmt: skip


def lowered(control: Control, cap: int, until: float) -> Control:
    """After a step back, by evidence or by hand: `cap` is what counts as good, and nothing rises before `until`."""
    return replace(control, growth=CAUTIOUS, good=cap, braked=0, raised_at=until - RAISE_EVERY)


def blocked(state: StepState, ramp: Ramp, seen: Seen) -> Turn:
    """The provider has shut the door."""
    before = state.control
    cap = min(before.braked or state.cap, max(1, min(TRICKLE, ramp.cap(0))))
    control = Control(growth=max(CAUTIOUS, before.growth / 2), good=max(before.good, seen.taken), shut=True,
                      ceiling=before.ceiling)  # fmt: skip
    return Turn(move=StepMove.STEPPED_BACK, cap=cap, control=control,
                reason=f"blocked: {seen.blocked:,} of {seen.attempted:,} refused for reputation")  # fmt: skip


def back(state: StepState, ramp: Ramp, seen: Seen, reason: str) -> Turn:
    """Reputation replies, complaints or an alarm."""
    wished = state.control.braked or state.cap
    share = BACK if seen.blocked else AFTER_PAUSE
    height = max(seen.taken, min(state.control.good, wished))  # a pause cuts a day short: what went is no measure
    cap = min(wished, max(min(wished, ramp.cap(0)), int(share * height)))
    control = Control(growth=CAUTIOUS, good=cap, ceiling=state.control.ceiling)
    return Turn(move=StepMove.STEPPED_BACK if cap < wished else StepMove.HELD, cap=cap, control=control,
                reason=reason)  # fmt: skip


def full(state: StepState, ramp: Ramp, plan: Plan, seen: Seen) -> Turn:
    """Deferrals for rate: the measure is found, or the provider is unwell."""
    before = state.control
    wished = before.braked or state.cap
    if before.good and seen.taken < UNWELL * before.good:
        cap, control = wished, replace(before, braked=0)
        reason = f"put off {seen.put_off:,} times, though {before.good:,} a day were taken before: held till it is over"
    elif seen.taken < before.good:  # partly its own trouble: halfway there, and what it bears of growth is as before
        good = (seen.taken + before.good) // 2
        cap = max(1, min(ramp.target, int(good * min(plan.max_growth, ABOVE * max(1.0, before.ceiling)))))
        control = replace(before, good=good, growth=CAUTIOUS, braked=0)
        reason = f"put off {seen.put_off:,} times: {seen.taken:,} taken, less than the {before.good:,} of before"
    else:
        borne = seen.taken / before.good if before.good else 0.0
        ceiling = min(plan.max_growth, max(1.0, borne)) if borne else 0.0
        growth = min(plan.max_growth, ABOVE * ceiling) if borne else CAUTIOUS
        cap = max(1, min(ramp.target, int(seen.taken * growth)))
        control = Control(growth=growth, good=max(1, seen.taken), ceiling=ceiling)
        reason = f"put off {seen.put_off:,} times: {seen.taken:,} a day is what it takes"
        reason += f", ×{borne:.2f} of what it took before" if borne else ""
    return Turn(move=StepMove.HELD if cap >= state.cap else StepMove.STEPPED_BACK, cap=cap, control=control,
                reason=reason)  # fmt: skip


def clean(state: StepState, ramp: Ramp, plan: Plan, seen: Seen, *, used_up: bool) -> Turn:
    """Nothing against it."""
    before = state.control
    good = max(seen.taken, before.good)
    if before.shut:  # so little was sent that the end of the block shows only now
        cap = min(ramp.target, max(state.cap, int(BACK * before.good)))
        return Turn(move=StepMove.ADVANCED, cap=cap, control=replace(before, shut=False, good=good, braked=0),
                    reason=f"{seen.taken:,} taken: the block is over")  # fmt: skip
    if not used_up:
        cap = min(state.cap, max(ramp.cap(0), int(ABOVE * good)))
        return Turn(move=StepMove.HELD, cap=cap, control=replace(before, good=good, braked=0),
                    reason=f"only {seen.attempted:,} of {state.cap:,} sent")  # fmt: skip
    ceiling = before.ceiling * EASE
    known = before.growth or min(plan.growth, plan.max_growth)  # 0: begun under a table, or taken over warm
    most = min(plan.max_growth, ABOVE * ceiling) if ceiling else plan.max_growth
    growth, factor = min(most, known * GAIN), min(most, known)
    cap = min(ramp.target, max(state.cap + 1, int(state.cap * factor), min(before.good, 2 * state.cap)))
    return Turn(move=StepMove.ADVANCED, cap=cap, control=Control(growth=growth, good=good, ceiling=ceiling),
                reason=f"{seen.taken:,} taken, nothing against it: ×{cap / max(1, state.cap):.2f}")  # fmt: skip
