"""Moves each lane's warm-up step at the day boundary, and starts new lanes.

Contract: `next_step` is pure: yesterday's figures in, a new state and its StepChanged out, with the reason in words.
A lane advances only if the day's cap was really used and nothing spoke against it; otherwise it holds or steps back.
Steps are never skipped upwards.  `Steps` reads figures, writes states; run it under a lease when several processes
share a database.  A second call on the same day changes nothing.

In this order: long silence re-warms or decays · a block (half of the attempts refused for reputation) starts over ·
reputation replies beyond the plan's rate, or a gate that the monitor closed over this lane, halve the cap (rules may
say otherwise: warmup.words) · any other
closing, deferrals beyond the plan's rate, seeds in the spam folder, or too little mail hold it.  A person's hold
(warmup.operator) keeps a lane from rising while it lasts, and never from falling.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from config.tables import Plan
from core.errors import StorageConflict
from core.events import GateChanged, RuleChanged, StepChanged, StepMove
from core.lane import DAY, HOUR, Lane
from core.metrics import Metric
from core.ports import Allowances, Clock, Counters, EventLog
from core.state import CounterKey, StepState
from warmup.days import local_day, plan_day
from warmup.ramp import FULL_DAYS, Ramp, plan_for, plan_lane, ramp_of
from warmup.words import KINDS, Closing, closings_of

BLOCKED_SHARE = 0.5  # of a day's first attempts: the provider has shut the door
FEWEST_BLOCKS = 2  # one refusal is an accident
FEWEST_COMPLAINTS = 3
FEWEST_BOUNCES = 3
FEWEST_SEEDS = 2
LOOK_BACK_DAYS = 15  # enough for seven sending days with a pause between
PEAK_DAYS = 7
HOURS_A_DAY = int(DAY // HOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """What one lane did on the day its cap held for."""

    attempted: int = 0
    deferred: int = 0
    blocked: int = 0
    bounced: int = 0
    delivered: int = 0
    complained: int = 0
    seeds_inbox: int = 0
    seeds_spam: int = 0
    closings: tuple[Closing, ...] = ()
    peak: int = 0  # most first attempts in one of the last seven sending days; 0 when none is known
    last_sent_day: int = 0  # 0 when unknown


def first_step(lane: Lane, plan: Plan, now: float) -> tuple[StepState, StepChanged]:
    """The beginning of a lane."""
    lane, day = plan_lane(lane), plan_day(plan, now)
    cap = ramp_of(plan, lane.provider).cap(0)
    state = StepState(
        lane=lane, plan=plan.name, step=0, cap=cap, day=day, started_day=day, last_sent_day=day, peak=0,
        finished=False, reason="first mail of this lane",
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
        known = replace(known, step=ramp.step_under(state.cap))
    move, step, reason = _decide(known, ramp, plan, figures, today)
    if not known.is_held(now):
        known = replace(known, held_by="", held_until=0.0, held_reason="")
    elif move in (StepMove.ADVANCED, StepMove.FINISHED):  # a hold keeps a lane from rising, never from falling
        move, step, reason = StepMove.HELD, known.step, f"held by {known.held_by}: {known.held_reason}"
    finished = move is StepMove.FINISHED or (known.finished and move is StepMove.HELD)
    new = replace(known, step=step, cap=ramp.cap(step), finished=finished, reason=reason)
    return new, _event(state, new, move, now)


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
    seeds = figures.seeds_inbox + figures.seeds_spam
    if seeds >= FEWEST_SEEDS and figures.seeds_spam / seeds > plan.max_spam_placement:
        return StepMove.HELD, step, f"{figures.seeds_spam} of {seeds} seed mails lay in the spam folder"
    if state.finished:
        return StepMove.HELD, step, "the ramp is finished"
    if sent < plan.advance_sent_share * state.cap:
        return StepMove.HELD, step, f"only {sent:,} of {state.cap:,} sent"
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


class Steps:
    """See the module.  `lanes()` names lanes that should have a step although no mail waits for them."""

    def __init__(
        self,
        *,
        plans: Sequence[Plan],
        allowances: Allowances,
        counters: Counters,
        log: EventLog,
        clock: Clock,
        lanes: Callable[[], Iterable[Lane]] = tuple,
        words: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._plans = tuple(plans)
        self._allowances = allowances
        self._counters = counters
        self._log = log
        self._clock = clock
        self._lanes = lanes
        self._words = words

    async def run_day(self, now: float | None = None) -> int:
        """Move every lane whose step is of an earlier day; start the lanes that `lanes()` names.  How many moved."""
        now = self._clock.now() if now is None else now
        states = {state.lane: state for state in await self._allowances.steps()}
        old = [state for state in states.values() if self._is_old(state, now)]
        moved = await self._move(old, now)
        for lane in {plan_lane(lane) for lane in self._lanes()} - set(states):
            await self.ensure(lane, now)
        return moved

    async def ensure(self, lane: Lane, now: float) -> None:
        """Give the lane a step for today, starting it when it never had one.  Lanes without a plan need none."""
        wanted, plan = plan_lane(lane), plan_for(self._plans, lane)
        if plan is None:
            return
        state = next((s for s in await self._allowances.steps() if s.lane == wanted), None)
        if state is None:
            await self._allowances.put_step(*first_step(wanted, plan, now))
        elif state.day < plan_day(plan, now):
            await self._move([state], now)

    def _is_old(self, state: StepState, now: float) -> bool:
        plan = plan_for(self._plans, state.lane)
        return plan is not None and state.day < plan_day(plan, now)

    async def _move(self, states: Sequence[StepState], now: float) -> int:
        if not states:
            return 0
        first_day = min(state.day for state in states) - LOOK_BACK_DAYS
        counters = await self._counters.load(first_day * HOURS_A_DAY)
        counted: dict[str, Sums] = {}  # by time zone
        said = await self._said()
        moved = 0
        for state in states:
            plan = plan_for(self._plans, state.lane)
            if plan is None:
                continue  # its plan was removed: nothing limits it any more
            if plan.time_zone not in counted:
                counted[plan.time_zone] = by_lane_and_day(counters, plan.time_zone)
            day_at = partial(local_day, plan.time_zone)
            closings = closings_of(said, state.lane, state.day, day_at, self._words)
            figures = figures_of(state, counted[plan.time_zone].get(state.lane, {}), closings)
            try:
                await self._allowances.put_step(*next_step(state, plan, figures, now), before=state)
            except StorageConflict:
                continue  # a person's word came first: the next look takes it into account
            moved += 1
        return moved

    async def _said(self) -> list[GateChanged | RuleChanged]:
        """What gates and rules said, newest first.  Bounded to 1,000 moves."""
        recent = await self._log.recent(KINDS, 1000)
        return [logged.event for logged in recent if isinstance(logged.event, GateChanged | RuleChanged)]


Sums = dict[Lane, dict[int, dict[str, int]]]


def by_lane_and_day(counters: Mapping[CounterKey, int], zone: str = "UTC") -> Sums:
    """Sums by planned lane, day of the cohort in a time zone, and metric."""
    sums: Sums = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    days: dict[int, int] = {}
    for key, n in counters.items():
        cohort = key.attribution.cohort
        if cohort not in days:
            days[cohort] = local_day(zone, cohort * HOUR)
        sums[plan_lane(key.attribution.traffic.lane)][days[cohort]][key.metric] += n
    return sums


def figures_of(
    state: StepState, days: Mapping[int, Mapping[str, int]], closings: tuple[Closing, ...] = ()
) -> DayFigures:
    """The figures of `state.day`, with the peak of the last seven days on which the lane sent."""
    day = days.get(state.day, {})
    sent = sorted((d, n) for d, sums in days.items() if (n := sums.get(Metric.ATTEMPTED, 0)) > 0)
    return DayFigures(
        attempted=day.get(Metric.ATTEMPTED, 0),
        deferred=day.get(Metric.DEFERRED, 0),
        blocked=day.get(Metric.BLOCKED, 0),
        bounced=day.get(Metric.HARD_BOUNCED, 0),
        delivered=day.get(Metric.DELIVERED, 0),
        complained=day.get(Metric.COMPLAINED, 0),
        seeds_inbox=day.get(Metric.SEED_INBOX, 0),
        seeds_spam=day.get(Metric.SEED_SPAM, 0),
        closings=closings,
        peak=max((n for _, n in sent[-PEAK_DAYS:]), default=0),
        last_sent_day=sent[-1][0] if sent else 0,
    )
