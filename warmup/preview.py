"""Shows a plan before it runs: day by day, per provider, with the day on which the whole audience is served.  Pure.

Contract: the picture is the plan's best case: every cap used, nothing against it.  `mix` is the audience's own share
by provider; shares are scaled to 1.  Nothing is promised: evidence decides the real days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.tables import Plan
from warmup.adaptive import GAIN
from warmup.ramp import Ramp, ramp_of

MOST_DAYS = 366


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewDay:
    """One day.  `sent` is what the audience's mix lets the caps carry, `share` of the wished daily volume."""

    day: int  # 1 is the first
    caps: dict[str, int]
    sent: dict[str, int]
    share: float

    @property
    def total(self) -> int:
        """Messages of all providers and lanes."""
        return sum(self.sent.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """`ready` is the first day on which the whole daily volume goes; 0 when the plan's targets never carry it."""

    plan: str
    daily: int
    lanes: int
    days: tuple[PreviewDay, ...]
    ready: int
    deadline: int = 0  # the plan's, in days; 0: none

    @property
    def late(self) -> bool:
        """The whole volume goes later than the plan's deadline, or never."""
        return bool(self.deadline) and not 0 < self.ready <= self.deadline


def preview(plan: Plan, mix: Mapping[str, float], daily: int, *, lanes: int = 1, days: int = MOST_DAYS) -> Preview:
    """What `plan` carries of `daily` messages sent through `lanes` lanes (sources × sending domains) a provider.

    Stops at the day on which all goes, or after `days`.  Raises ValueError for an empty mix or numbers below 1.
    """
    weight = sum(mix.values())
    if weight <= 0 or any(share < 0 for share in mix.values()) or daily < 1 or lanes < 1 or days < 1:
        raise ValueError("a preview needs shares above 0, at least one message a day, one lane and one day")
    wanted = {provider: daily * share / weight for provider, share in mix.items() if share > 0}
    ramps = {provider: _best_case(plan, ramp_of(plan, provider)) for provider in wanted}
    rows: list[PreviewDay] = []
    ready = 0
    steps = dict.fromkeys(wanted, 0)
    for day in range(1, min(days, MOST_DAYS) + 1):
        caps = {p: ramps[p].cap(steps[p]) * lanes for p in wanted}
        sent = {p: round(min(caps[p], wanted[p])) for p in wanted}
        rows.append(PreviewDay(day=day, caps=caps, sent=sent, share=min(1.0, sum(sent.values()) / daily)))
        if all(caps[p] >= wanted[p] or ramps[p].is_last(steps[p]) for p in wanted):
            ready = day if all(caps[p] >= wanted[p] for p in wanted) else 0
            break
        steps = {p: step + 1 for p, step in steps.items()}
    return Preview(
        plan=plan.name, daily=daily, lanes=lanes, days=tuple(rows), ready=ready, deadline=plan.deadline_days
    )  # fmt: skip


def _best_case(plan: Plan, ramp: Ramp) -> Ramp:
    """The ramp itself, or what the adaptive controller does while nothing speaks against it."""
    if plan.controller != "adaptive":
        return ramp
    caps, growth = [min(ramp.cap(0), ramp.target)], plan.growth
    while caps[-1] < ramp.target and len(caps) < MOST_DAYS:
        caps.append(min(ramp.target, max(caps[-1] + 1, int(caps[-1] * growth))))
        growth = min(plan.max_growth, growth * GAIN)
    return Ramp(table=tuple(caps), growth=plan.max_growth, target=ramp.target)


_WORDS = {
    "en": ("day", "total", "share", "of the base", "All {daily} a day go from day {ready} on, if every day is clean.",
           "The plan's targets do not carry {daily} a day.", "That is later than the plan's deadline, day {deadline}.",
           "{provider}: up to {most} a day"),
    "ru": ("день", "всего", "доля", "базы", "Все {daily} в день уходят с {ready}-го дня, если каждый день чистый.",
           "Целевые объёмы плана не вмещают {daily} в день.", "Это позже срока плана: {deadline}-го дня.",
           "{provider}: до {most} в день"),
}  # fmt: skip
_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 100  # days in one line of a chart


def table(shown: Preview, language: str = "en", base: int = 0) -> str:
    """Plain text: one line a day, one column a provider; with the share of a base of so many addresses that gets mail.

    `base` 0 leaves that column out.
    """
    day, total, share, of_base, good, bad, late, _ = _WORDS.get(language, _WORDS["en"])
    providers = sorted(shown.days[0].sent, key=lambda p: -shown.days[-1].sent[p])
    head = [day, *providers, total, share, *([of_base] if base else [])]
    rows = [
        [str(d.day), *(_told(f"{d.sent[p]:,}", language) for p in providers), _told(f"{d.total:,}", language),
         _told(f"{d.share:.0%}", language), *([_told(f"{min(1.0, d.total / base):.1%}", language)] if base else [])]
        for d in shown.days
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    end = (good if shown.ready else bad).format(daily=_told(f"{shown.daily:,}", language), ready=shown.ready)
    if shown.late:
        end += " " + late.format(deadline=shown.deadline)
    return "\n".join([*lines, "", end])


def _told(text: str, language: str) -> str:
    """A number as the language writes it."""
    return text.translate({44: "\u202f", 46: ",", 37: "\u00a0%"}) if language == "ru" else text


def chart(shown: Preview, language: str = "en") -> str:
    """A bar a day for each provider, against its own largest day; days are joined when there are more than fit."""
    label = _WORDS.get(language, _WORDS["en"])[-1]
    step = -(-len(shown.days) // _WIDEST)
    lines = []
    for provider in sorted(shown.days[0].sent, key=lambda p: -shown.days[-1].sent[p]):
        sent = [day.sent[provider] for day in shown.days[::step]]
        most = max(1, *sent)
        bars = "".join(_BARS[min(len(_BARS) - 1, n * len(_BARS) // (most + 1))] for n in sent)
        lines += [label.format(provider=provider, most=_told(f"{most:,}", language)), f"  {bars}"]
    return "\n".join(lines)
