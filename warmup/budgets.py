"""Caps that lanes share: an address's with a provider, a sending domain's with a provider, and the plan's total.  Pure.

Providers count what they see of an address and of a domain, whatever lane we file it under: five new domains on one new
address are one stranger to them, not five.  So the least of these holds for each first attempt: the lane's cap, and, as
far as the plan's `[budgets]` say, so many times the largest cap among the lanes of its address with that provider, the
same of its domain, and a number for the whole plan.  A group with a warm lane has no budget: it is no stranger.

Keys: `source:<source>|<provider>`, `domain:<sending domain>|<provider>` and `plan:<plan>`, by the plan's day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.plans import Plan
from core.state import StepState

LATELY = 2  # days


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """One budget over a lane: its allowance's key, its cap today, and how many lanes share it."""

    key: str
    cap: int
    lanes: int


def shared_keys(state: StepState) -> tuple[str, ...]:
    """The keys of every budget that a lane may lie under."""
    lane = state.lane
    return (
        f"source:{lane.source}|{lane.provider}", f"domain:{lane.sending_domain}|{lane.provider}", f"plan:{state.plan}",
    )  # fmt: skip


def budgets_over(state: StepState, plan: Plan, steps: Iterable[StepState]) -> tuple[Shared, ...]:
    """The budgets of a lane today; `steps` are those of all lanes."""
    factors = (plan.budgets.source, plan.budgets.sending_domain)
    if not any(factors) and not plan.budgets.total:
        return ()
    found: list[Shared] = []
    keys = shared_keys(state)
    everybody = [step for step in steps if step.plan == state.plan and step.day == state.day]
    for key, factor, index in zip(keys, factors, (0, 1), strict=False):
        if not factor:
            continue
        group = [step for step in everybody if shared_keys(step)[index] == key]
        if len(group) > 1 and not any(step.finished for step in group):
            cap = int(factor * max(step.cap for step in group))
            found.append(Shared(key=key, cap=cap, lanes=_sending(group, state.day)))
    if plan.budgets.total:
        found.append(Shared(key=keys[2], cap=plan.budgets.total, lanes=_sending(everybody, state.day)))
    return tuple(found)


def _sending(group: Sequence[StepState], day: int) -> int:
    """How many of them sent lately: a lane without mail takes nobody's part."""
    return max(1, sum(step.last_sent_day >= day - LATELY for step in group))


def fair_share(shared: Iterable[Shared]) -> int:
    """What one lane may hope for of the tightest budget over it; 0 when none is."""
    return min((max(1, one.cap // one.lanes) for one in shared), default=0)
