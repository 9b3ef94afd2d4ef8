"""Moves each lane's warm-up step at the day boundary, starts new lanes, and stops adaptive ones within their day.

Contract: reads figures (warmup.figures), has them judged (warmup.judge), and writes states with their events; run it
under a lease when several processes share a database.  A second call on the same day changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from config.plans import Budgets
from config.tables import Plan
from core.errors import StorageConflict
from core.events import GateChanged, RuleChanged
from core.lane import DAY, HOUR, Lane
from core.ports import Allowances, Clock, Counters, EventLog
from core.state import StepState
from warmup.admission import lane_key
from warmup.budgets import budgets_over, fair_share
from warmup.days import local_day, plan_day
from warmup.figures import Sums, by_lane_and_day, figures_of
from warmup.judge import first_step, next_step, within_day
from warmup.ramp import plan_for, plan_lane
from warmup.words import KINDS, closings_of

LOOK_BACK_DAYS = 15  # enough for seven sending days with a pause between
HOURS_A_DAY = int(DAY // HOUR)
NO_BUDGETS = Budgets()


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
        await self.within_day(now)
        return moved

    async def within_day(self, now: float) -> int:
        """Stop or reopen new mail of adaptive lanes within their day, as the provider answers.  How many moved."""
        running = [
            (state, plan)
            for state in await self._allowances.steps()
            if (plan := plan_for(self._plans, state.lane)) is not None
            and plan.controller == "adaptive"
            and state.day == plan_day(plan, now)
            and not state.finished
            and not state.control.braked
        ]
        if not running:
            return 0
        counters = await self._counters.load((min(state.day for state, _ in running) - 1) * HOURS_A_DAY)
        stopped = 0
        for state, plan in running:
            days = by_lane_and_day(counters, plan.time_zone).get(state.lane, {})
            key = lane_key(state.lane)
            used = (await self._allowances.used([key], state.day)).get(key, 0)
            word = within_day(state, plan, figures_of(state, days), used, now)
            if word is None:
                continue
            try:
                await self._allowances.put_step(*word, before=state)
            except StorageConflict:
                continue
            stopped += 1
        return stopped

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
        everybody = await self._allowances.steps() if any(plan.budgets != NO_BUDGETS for plan in self._plans) else []
        moved = 0
        for state in states:
            plan = plan_for(self._plans, state.lane)
            if plan is None:
                continue  # its plan was removed: nothing limits it any more
            if plan.time_zone not in counted:
                counted[plan.time_zone] = by_lane_and_day(counters, plan.time_zone)
            day_at = partial(local_day, plan.time_zone)
            closings = closings_of(said, state.lane, state.day, day_at, self._words)
            share = fair_share(budgets_over(state, plan, everybody))
            figures = figures_of(state, counted[plan.time_zone].get(state.lane, {}), closings, share)
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
