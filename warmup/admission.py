"""Admission: may this traffic start now?  The gate's answer to the sender (core.ports.Admission).  Pure.

Contract: the answer is the least of what these allow, and an Admit names the allowances that make it true by one
conditional UPDATE each, whatever this process knew:
1. gates: closed ones stop everything; a probing or slowed one bounds every attempt;
2. warm-up of a ramping lane, first attempts only: the plan's hours, a monitor that keeps up (fail closed), a step for
   today, and the day's cap spread over the hours.  Finished lanes and lanes without a plan are not limited.
Retries go on when only warm-up forbids: the allowance that goes with them then has a cap of 0.

Transactional streams are spared by gates whose scope spares them, wait for neither hours, pace nor a lagging monitor,
and take from the same cap; when that is spent they go on up to a fifth above it, under an allowance of their own.

A stream with a canary: a campaign without an open canary gate is bounded by its slice, whether the gate is written yet
or not.

Shared budgets (warmup.budgets) are further allowances of a first attempt, beside the lane's own.

Allowance keys: `canary:<scope>` without period · `lane:<lane>` and `lane-tx:<lane>` by day · `slow:<pause>` by hour ·
`probe:<pause>` by the hour in which the probe's present share ends, so that each share counts from 0.  `watched` lists
those in force.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from config.model import Settings
from config.tables import Plan
from core.decision import Admit, Decision, Defer, DeferReason
from core.events import GateState
from core.lane import HOUR, Lane, Scope, Traffic, cohort_of
from core.state import CANARY, Gate, Snapshot, StepState
from warmup.budgets import Shared, budgets_over, shared_keys
from warmup.days import day_begins, next_opening, plan_day, window
from warmup.ramp import plan_for, plan_lane

TRANSACTIONAL_EXTRA = 0.2  # share of the cap that transactional mail may go above it
ASK_AGAIN = 60.0  # domain seconds, where only a change of state helps and no moment is known
YIELD_SECONDS = 6 * HOUR
_BURST_SHARE = 100  # one part in so many of the cap may go ahead of the even pace
_UNBOUNDED = 1 << 60
_CLOSED = (GateState.PAUSED, GateState.HARD_STOPPED)

Allowance = tuple[str, int, int]


def lane_key(lane: Lane) -> str:
    """Allowance of a lane's first attempts in a day."""
    return f"lane:{lane.key}"


def transactional_key(lane: Lane) -> str:
    """Allowance of transactional first attempts above a spent cap."""
    return f"lane-tx:{lane.key}"


def gate_allowance(gate: Gate, now: float) -> Allowance | None:
    """What bounds a probing or slowed gate; None for the other states."""
    match gate.state:
        case GateState.PROBING if gate.rule == CANARY:
            return (f"canary:{gate.scope.key}", 0, gate.limit)
        case GateState.PROBING:
            return (f"probe:{gate.pause_id}", cohort_of(gate.until), gate.limit)
        case GateState.SLOWED:
            return (f"slow:{gate.pause_id}", cohort_of(now), gate.limit)
        case _:
            return None


def watched(gates: Iterable[Gate], steps: Iterable[StepState], now: float) -> dict[int, list[str]]:
    """Every allowance in force: period → keys."""
    found: dict[int, list[str]] = {}
    for step in steps:
        keys = found.setdefault(step.day, [])
        keys += (lane_key(step.lane), transactional_key(step.lane))
        keys += (key for key in shared_keys(step) if key not in keys)
    for gate in gates:
        allowance = gate_allowance(gate, now)
        if allowance is not None:
            found.setdefault(allowance[1], []).append(allowance[0])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fresh:
    """What warm-up says to first attempts: at most `room`, under `allowances`; or wait."""

    room: int
    allowances: tuple[Allowance, ...]
    wait: Defer | None = None


class GateAdmission:
    """See the module.  Build it once from plans and settings."""

    def __init__(self, plans: Sequence[Plan], settings: Settings, canaries: Mapping[str, int] | None = None) -> None:
        self._plans = tuple(plans) if settings.warmup.enabled else ()
        self._canaries = canaries or {}
        self._transactional = frozenset(settings.transactional)
        self._max_lag = settings.monitor.max_lag_seconds
        self._budgets_of: Mapping[Lane, StepState] | None = None
        self._budgets: dict[Lane, tuple[Shared, ...]] = {}

    def decide(self, traffic: Traffic, fresh: int, retries: int, snapshot: Snapshot, now: float) -> Decision:
        """See core.ports.Admission."""
        gates = [gate for gate in snapshot.gates if gate.scope.covers(traffic)]
        closed = [gate for gate in gates if gate.state in _CLOSED]
        if closed:
            return _closed(closed, now)
        if (yielding := _yields(gates, now)) is not None:
            return yielding
        room, spent = fresh + retries, None
        bounds: list[Allowance] = []
        for gate in gates:
            allowance = gate_allowance(gate, now)
            if allowance is None or gate.rule == CANARY:
                continue
            bounds.append(allowance)
            left = allowance[2] - snapshot.used.get(allowance[:2], 0)
            if left <= 0:
                spent = spent or _spent(gate, now)
            room = min(room, left)
        if spent is not None:
            return spent
        canary = self._canary(traffic, gates) if fresh else None
        first: list[Allowance] = []
        if canary is not None:
            key, period, cap = f"canary:{canary.scope.key}", 0, canary.limit
            first.append((key, period, cap))
            left = max(0, cap - snapshot.used.get((key, period), 0))
            if not left and not retries:
                return _spent(canary, now)
            room, fresh = min(room, left + retries), min(fresh, left)
        lane = self._fresh(traffic, fresh, snapshot, now) if fresh else _Fresh(room=0, allowances=())
        if lane.wait is not None and retries == 0:
            return lane.wait
        if lane.wait is None:
            room = min(room, min(fresh, lane.room) + retries)
        return Admit(
            messages=max(1, room),
            allowances=(*bounds, *first, *lane.allowances),
            retry_allowances=tuple(_leaving_room(bound, fresh) for bound in bounds),
        )

    def _canary(self, traffic: Traffic, gates: Sequence[Gate]) -> Gate | None:
        """The gate that bounds the campaign's first attempts, also before the monitor has written it."""
        for gate in gates:
            if gate.rule == CANARY:
                return gate if gate.state is GateState.PROBING else None
        if not traffic.campaign or traffic.stream not in self._canaries:
            return None
        return Gate(
            scope=Scope(stream=traffic.stream, campaign=traffic.campaign), state=GateState.PROBING, pause_id=CANARY,
            rule=CANARY, since=0.0, until=0.0, reason="a slice goes first", by="", limit=self._canaries[traffic.stream],
        )  # fmt: skip

    def _fresh(self, traffic: Traffic, fresh: int, snapshot: Snapshot, now: float) -> _Fresh:
        plan = plan_for(self._plans, traffic.lane)
        if plan is None:
            return _Fresh(room=fresh, allowances=())
        lane = plan_lane(traffic.lane)
        step = snapshot.steps.get(lane)
        # a finished lane too: the day before may have sent it back into the ramp
        if step is None or step.day != plan_day(plan, now):
            detail = f"{plan.name} has no step for today yet"
            return _wait(lane, plan_day(plan, now), now + ASK_AGAIN, now, DeferReason.NO_PLAN, detail)
        if step.finished:
            return _Fresh(room=fresh, allowances=())
        if traffic.stream in self._transactional:
            return _transactional(step, plan, fresh, snapshot, self._shared(step, plan, snapshot), now)
        if snapshot.monitor_lag > self._max_lag:
            detail = f"the monitor is {snapshot.monitor_lag:.0f} s behind"
            return _wait(lane, step.day, now + ASK_AGAIN, now, DeferReason.MONITOR_LAG, detail)
        return _marketing(step, plan, fresh, snapshot, self._shared(step, plan, snapshot), now)

    def _shared(self, step: StepState, plan: Plan, snapshot: Snapshot) -> tuple[Shared, ...]:
        """The budgets over a lane, made once for each picture of the steps."""
        if self._budgets_of is not snapshot.steps:
            self._budgets_of, self._budgets = snapshot.steps, {}
        if step.lane not in self._budgets:
            self._budgets[step.lane] = budgets_over(step, plan, snapshot.steps.values())
        return self._budgets[step.lane]


def paced_cap(cap: int, plan: Plan, now: float) -> int:
    """How much of a day's cap may be used by `now`: an even share of the plan's hours, and a burst ahead of it."""
    begin, end = window(plan, plan_day(plan, now))
    if now < begin or begin >= end:
        return 0
    share = min(1.0, (now - begin) / (end - begin))
    return min(cap, math.floor(cap * share) + _burst(cap))


def _marketing(
    step: StepState, plan: Plan, fresh: int, snapshot: Snapshot, shared: Sequence[Shared], now: float
) -> _Fresh:
    lane, day = step.lane, step.day
    begin, end = window(plan, day)
    if now < begin or now >= end:
        days = f" on {' '.join(plan.days)}" if plan.days else ""
        detail = f"{plan.name} sends from {plan.hour_from}:00 to {plan.hour_to}:00 {plan.time_zone}{days}"
        return _wait(lane, day, next_opening(plan, now), now, DeferReason.OUTSIDE_HOURS, detail)
    used = snapshot.used.get((lane_key(lane), day), 0)
    if used >= step.cap:
        detail = f"step {step.step} of {plan.name}: {used:,} of {step.cap:,} sent today"
        return _wait(lane, day, next_opening(plan, end), now, DeferReason.ALLOWANCE_SPENT, detail)
    paced = paced_cap(step.cap, plan, now)
    if used >= paced:
        # the moment at which the share has grown by one message
        grown = begin + (end - begin) * (used + 1 - _burst(step.cap)) / step.cap
        detail = f"{used:,} of {step.cap:,} sent, the rest over the day"
        return _wait(lane, day, grown + 1, now, DeferReason.PACED, detail)
    room, allowances = min(fresh, paced - used), [(lane_key(lane), day, paced)]
    for one in shared:
        left = paced_cap(one.cap, plan, now) - snapshot.used.get((one.key, day), 0)
        if left <= 0:
            spent = snapshot.used.get((one.key, day), 0) >= one.cap
            detail = f"{one.key}: {one.cap:,} a day, shared by {one.lanes} lanes"
            until = next_opening(plan, end) if spent else now + ASK_AGAIN
            return _wait(lane, day, until, now, DeferReason.ALLOWANCE_SPENT if spent else DeferReason.PACED, detail)
        room = min(room, left)
        allowances.append((one.key, day, paced_cap(one.cap, plan, now)))
    return _Fresh(room=room, allowances=tuple(allowances))


def _transactional(
    step: StepState, plan: Plan, fresh: int, snapshot: Snapshot, shared: Sequence[Shared], now: float
) -> _Fresh:
    day, extra = step.day, math.ceil(step.cap * TRANSACTIONAL_EXTRA)
    for key, cap in ((lane_key(step.lane), step.cap), (transactional_key(step.lane), extra)):
        left = cap - snapshot.used.get((key, day), 0)
        if left > 0:
            # it counts for the shared budgets and is not held by them: they are our caution, and it is wanted mail
            counted = tuple((one.key, day, _UNBOUNDED) for one in shared)
            return _Fresh(room=min(fresh, left), allowances=((key, day, cap), *counted))
    detail = f"{step.cap:,} and a fifth above it sent today"
    return _wait(step.lane, day, day_begins(plan, day + 1), now, DeferReason.ALLOWANCE_SPENT, detail)


def _wait(lane: Lane, day: int, until: float, now: float, reason: DeferReason, detail: str) -> _Fresh:
    """Fresh mail waits; retries that go meanwhile carry a cap of 0, which grants no first attempt."""
    return _Fresh(
        room=0,
        allowances=((lane_key(lane), day, 0),),
        wait=Defer(until=max(until, now + 1), reason=reason, detail=detail),
    )


def _closed(gates: Sequence[Gate], now: float) -> Defer:
    """Until the last of them expires; an operator's or a hard stop names no moment."""
    last = max(gates, key=lambda gate: gate.until or math.inf)
    until = last.until if last.until > now else now + (ASK_AGAIN if last.until else HOUR)
    return Defer(until=until, reason=DeferReason.PAUSED, detail=f"{last.pause_id}: {last.reason}")


def _yields(gates: Sequence[Gate], now: float) -> Defer | None:
    """A campaign or list that a gate of its own is trying out leaves the wider gate's first hours to other mail.

    Else the rest of a bad list spoils probe after probe of the provider or stream, and the good mail waits for days.
    Where there is no other mail it goes when the hours are over: who it concerns cannot be seen from here."""
    tried = [g for g in gates if g.rule != CANARY and (g.state is GateState.PROBING or _is_recovering(g))]
    wider = [g for g in tried if not (g.scope.campaign or g.scope.list_source) and now < g.since + YIELD_SECONDS]
    if not wider or not any(g.state is GateState.PROBING and (g.scope.campaign or g.scope.list_source) for g in tried):
        return None
    last = max(wider, key=lambda g: g.since)
    until = min(last.since + YIELD_SECONDS, now + HOUR)
    return Defer(until=until, reason=DeferReason.PROBE_SPENT, detail=f"{last.pause_id}: other mail is tried first")


def _is_recovering(gate: Gate) -> bool:
    """Slowed after a closing, and not before one."""
    return gate.state is GateState.SLOWED and gate.episodes > 0


def _spent(gate: Gate, now: float) -> Defer:
    if gate.rule == CANARY:
        until = max(gate.until, now + ASK_AGAIN) if gate.mark_bad else now + ASK_AGAIN
        return Defer(until=min(until, now + HOUR), reason=DeferReason.CANARY, detail=f"{gate.pause_id}: {gate.reason}")
    if gate.state is GateState.PROBING:
        until = min(max(gate.until, now + 1), now + HOUR)
        return Defer(until=until, reason=DeferReason.PROBE_SPENT, detail=f"{gate.pause_id}: outcomes are awaited")
    until = (cohort_of(now) + 1) * HOUR
    return Defer(until=until, reason=DeferReason.SLOWED, detail=f"{gate.pause_id}: {gate.limit} an hour")


def _leaving_room(bound: Allowance, fresh: int) -> Allowance:
    """Retries may use half of a probe while first attempts wait: only those tell how the provider feels now."""
    key, period, cap = bound
    return (key, period, max(1, cap // 2)) if key.startswith("probe:") and fresh else bound


def _burst(cap: int) -> int:
    return max(1, cap // _BURST_SHARE)
