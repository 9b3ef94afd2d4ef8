"""Arithmetic of a warm-up ramp: which cap has which step, and where an idle lane falls back to.  Pure.

Contract: caps count first attempts a lane and UTC day, rise with the step and never pass the target.  A plan's table
comes first; after its end, or without one, each cap is the one before times `growth`.  A provider may have another
start (then its own growth from there, no table), growth or target.

Unknown providers (`other:<site>`) share one lane per source and sending domain, `other`: their quotas are unknown, and
thousands of sites with a cap each would be no cap at all.  In a plan its ramp is `[providers."other:*"]`.

Idle decay and re-warming are a heuristic of ours; nobody publishes a curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from config.tables import Plan, ProviderRamp
from core.lane import Lane, Provider

OTHER = Provider("other")
OTHER_RAMP = "other:*"
FULL_DAYS = 7  # idle days without any decay
HALF_LIFE_DAYS = 14
_MOST_STEPS = 5000  # growth is above 1, so the target is reached long before; a bound all the same


def plan_lane(lane: Lane) -> Lane:
    """The lane whose step and cap hold for `lane`: itself, or the shared one of unknown providers."""
    return replace(lane, provider=OTHER) if is_other(lane.provider) else lane


def is_other(provider: str) -> bool:
    """True for a provider that the provider table does not know."""
    return provider == OTHER or provider.startswith("other:")


def plan_for(plans: Sequence[Plan], lane: Lane) -> Plan | None:
    """The first plan that covers the lane; None when no plan does, and then nothing limits it.

    A relay is no mailbox provider: it knows us by our login, so there is no reputation to build up with it."""
    if lane.provider.startswith("relay:"):
        return None
    for plan in plans:
        if plan.sources and lane.source not in plan.sources:
            continue
        if plan.sending_domains and lane.sending_domain not in plan.sending_domains:
            continue
        return plan
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """The caps of one lane."""

    table: tuple[int, ...]
    growth: float
    target: int

    def cap(self, step: int) -> int:
        """Messages a day at a step (0 is the first)."""
        last = len(self.table) - 1
        if step <= last:
            return min(self.target, self.table[max(0, step)])
        power = min(step - last, _MOST_STEPS)
        if self.table[last] >= self.target or power * math.log(self.growth) > math.log(self.target / self.table[last]):
            return self.target
        # 50 · 1.4² is 97.999… in binary; and rounding down must not stop a small cap from growing
        grown = math.floor(self.table[last] * self.growth**power + 1e-6)
        return min(self.target, max(grown, self.table[last] + power))

    def is_last(self, step: int) -> bool:
        """True when the step's cap is the target."""
        return self.cap(step) >= self.target

    def steps_left(self, step: int) -> int:
        """Clean days from a step to the target, the day at the target included."""
        last = step
        while last < _MOST_STEPS and not self.is_last(last):
            last += 1
        return last - step + 1

    def step_under(self, cap: float) -> int:
        """The highest step whose cap is at most `cap`; 0 when even the first is above."""
        step = 0
        while step < _MOST_STEPS and not self.is_last(step) and self.cap(step + 1) <= cap:
            step += 1
        return step

    def idle_cap(self, peak: int, idle_days: int) -> float:
        """What a lane may start from after idle days: max(first cap, peak · 2^-((idle-7)/14))."""
        decay = math.pow(2.0, -max(0, idle_days - FULL_DAYS) / HALF_LIFE_DAYS)
        return max(float(self.cap(0)), peak * decay)


def ramp_of(plan: Plan, provider: str) -> Ramp:
    """The ramp of a provider under a plan."""
    given = plan.providers.get(provider)
    if given is None and is_other(provider):
        given = plan.providers.get(OTHER_RAMP)
    given = given or ProviderRamp(start=None, growth=None, target=None)
    target = given.target or plan.target
    if given.start is not None:
        table: tuple[int, ...] = (given.start,)
    else:
        table = tuple(plan.table) or (plan.start,)
    return Ramp(table=table, growth=given.growth or plan.growth, target=target)
