"""Where each lane's warm-up stands, as the API, the dashboard and `penstock warmup status` show it.  Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alerts.words import Language, number
from config.tables import Plan
from core.clock import iso
from core.lane import Lane
from core.state import StepState
from service.step_words import reason_words
from warmup.admission import lane_key
from warmup.days import day_begins, plan_day
from warmup.ramp import Ramp, plan_for, ramp_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One lane.  `days_left`: sending days to the target if each is clean; `late`: more than the plan's deadline;
    `next_cap`: the cap after one more clean day, 0 for warm lanes; `judged_at`: when today is judged, epoch seconds;
    `braked`: new mail is stopped for today (adaptive)."""

    lane: Lane
    plan: str
    day: int  # of its warm-up; 1 is the first
    step: int
    cap: int
    used: int
    target: int
    finished: bool
    days_left: int
    late: bool
    held_by: str
    held_until: float
    held_reason: str
    reason: str
    next_cap: int = 0
    judged_at: float = 0.0
    braked: bool = False


def standings(
    states: Iterable[StepState], used: Mapping[tuple[str, int], int], plans: Sequence[Plan], now: float
) -> list[Standing]:
    """Every lane that has a state, sorted.  `used` is by allowance key and day."""
    found = []
    for state in sorted(states, key=lambda s: s.lane):
        plan = plan_for(plans, state.lane)
        ramp = ramp_of(plan, state.lane.provider) if plan else None
        left = _days_left(state, plan, ramp) if plan and ramp and not state.finished else 0
        held = state.is_held(now)
        day = (plan_day(plan, now) if plan else state.day) - state.started_day + 1
        found.append(
            Standing(
                lane=state.lane, plan=state.plan if plan else "", day=day, step=state.step, cap=state.cap,
                used=used.get((lane_key(state.lane), state.day), 0), target=ramp.target if ramp else 0,
                finished=state.finished, days_left=left,
                late=bool(plan and plan.deadline_days and left and day + left - 1 > plan.deadline_days),
                held_by=state.held_by if held else "", held_until=state.held_until if held else 0.0,
                held_reason=state.held_reason if held else "", reason=state.reason,
                next_cap=_after_a_clean_day(state, plan, ramp) if plan and ramp and not state.finished else 0,
                judged_at=day_begins(plan, state.day + 1) if plan else 0.0,
                braked=bool(state.control.braked) and not state.finished,
            )
        )  # fmt: skip
    return found


def _after_a_clean_day(state: StepState, plan: Plan, ramp: Ramp) -> int:
    if plan.controller != "adaptive":
        return ramp.cap(state.step + 1)
    return min(ramp.target, int((state.control.braked or state.cap) * _factor(state, plan)))


def _days_left(state: StepState, plan: Plan, ramp: Ramp) -> int:
    """Clean days to the target, the day at the target included."""
    if plan.controller != "adaptive":
        return ramp.steps_left(state.step)
    cap = max(1, state.control.braked or state.cap)
    days = math.log(ramp.target / cap) / math.log(_factor(state, plan)) if cap < ramp.target else 0.0
    return 1 + math.ceil(days - 1e-9)


def _factor(state: StepState, plan: Plan) -> float:
    """By which an adaptive lane grows after a clean day."""
    return max(1.05, min(plan.max_growth, state.control.growth or plan.growth))


def standing_json(row: Standing) -> dict[str, object]:
    """As GET /v1/warmup shows it."""
    return {
        "lane": row.lane.key, "plan": row.plan, "day": row.day, "step": row.step, "cap": row.cap, "used": row.used,
        "target": row.target, "finished": row.finished, "days_left": row.days_left, "late": row.late,
        "next_cap": row.next_cap, "judged_at": iso(row.judged_at) if row.judged_at else None, "braked": row.braked,
        "held": {"by": row.held_by, "until": iso(row.held_until) if row.held_until else None,
                 "reason": row.held_reason} if row.held_by else None,
        "reason": row.reason,
    }  # fmt: skip


_WORDS = {
    "en": ("lane (source|domain|provider)", "day", "step", "cap", "used", "target", "left", "state",
           "warm", "held by {by}{until}: {why}", " until {at}", "late: the plan's deadline is missed",
           "no plan covers it", "no lane has begun to warm up"),
    "ru": ("линия (источник|домен|провайдер)", "день", "шаг", "предел", "ушло", "цель", "дней", "состояние",
           "прогрета", "удерживает {by}{until}: {why}", " до {at}", "опаздывает: срок плана не выдержан",
           "план её не охватывает", "прогрев ни одной линии не начат"),
}  # fmt: skip


def standing_table(rows: Sequence[Standing], language: Language = "en") -> str:
    """Plain text, one line a lane."""
    words = _WORDS.get(language, _WORDS["en"])
    warm, held, until, late, none, nothing = words[8:]
    if not rows:
        return nothing
    cells = [list(words[:8])]
    for row in rows:
        reason = state = reason_words(row.reason, language)
        if row.held_by:
            at = until.format(at=iso(row.held_until)) if row.held_until else ""
            state = held.format(by=row.held_by, until=at, why=reason_words(row.held_reason, language))
        elif not row.plan:
            state = none
        elif row.late:
            state = f"{late}; {reason}"
        cells.append([
            row.lane.key, str(row.day), str(row.step), warm if row.finished else number(row.cap, language),
            number(row.used, language), number(row.target, language), str(row.days_left), state,
        ])  # fmt: skip
    widths = [max(len(line[i]) for line in cells) for i in range(7)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(line[i].rjust(widths[i]) for i in range(1, 7)), line[7]])
        for line in cells
    )
