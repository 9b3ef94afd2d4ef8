"""Renders the dashboard: `DashboardView` in, HTML out.  Pure: no clock, no store, no request.

Contract: everything that comes from outside (campaigns, replies, reasons) is escaped by the template engine; a share
without observations is "unknown", never 0; a provider without complaint feedback has no complaint rate.  The page
needs no script: static/live.js only replaces `<main>` with `fragment=True` output.  No inline style or script, so the
strict Content-Security-Policy holds.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from alerts.replies import action_words
from alerts.words import Language, number, percent, sample, scope_words, span
from core.causes import worded
from core.clock import iso
from core.events import GateChanged, GateState, StepChanged, StepMove
from core.reaction import Reaction
from core.state import Gate
from service.standing import end_words
from service.step_words import reason_words
from service.web import charts
from service.web.attention import attention, commands
from service.web.budget import fleet, promise, signal_word
from service.web.lane_marks import lane_mark
from service.web.phrases import EN, RU, moment, phrase, plural
from service.web.view import DashboardView, LaneRow, Share

__all__ = ["DashboardView", "render_dashboard"]

TEMPLATES = Path(__file__).parent / "templates"
MAX_LANES, MAX_DECISIONS, MAX_ALERTS, MAX_ROWS = 60, 14, 8, 12
ALL_LANES = 2000
MAX_CARDS, MAX_MORE = 8, 200
MAX_ALERTS_FOLDED = 100  # with those that are shown only when asked for
_CLOSED = (GateState.HARD_STOPPED, GateState.PAUSED)
_ORDER = (GateState.HARD_STOPPED, GateState.PAUSED, GateState.PROBING, GateState.SLOWED, GateState.OPEN)


def render_dashboard(view: DashboardView, language: str, *, fragment: bool = False, every_lane: bool = False) -> str:
    """The page in 'en' or 'ru' (anything else: 'en'); with `fragment` only its `<main>` element."""
    spoken: Language = "ru" if language == "ru" else "en"
    template = _environment(spoken).get_template("main.html" if fragment else "dashboard.html")
    lanes = sorted(view.lanes, key=_trouble_first)[: ALL_LANES if every_lane else MAX_LANES]
    return template.render(
        _context(view, spoken) | {"here": "/", "lanes": [(r, charts.sparkline(r.trend, spoken)) for r in lanes]}
    )


def template_of(name: str, language: Language) -> Template:
    """A page's template with the words and filters of the language."""
    return _environment(language).get_template(name)


@lru_cache(maxsize=2)
def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["t"] = EN if language == "en" else RU
    environment.globals["lang"] = language
    environment.filters["num"] = lambda value: phrase("unknown", language) if value is None else number(value, language)
    environment.filters["pct"] = lambda rate: percent(rate, language)
    environment.filters["between"] = lambda ends: f"{percent(ends[0], language)[:-2]}–{percent(ends[1], language)}"
    environment.filters["span"] = lambda seconds: span(seconds, language)
    environment.filters["moment"] = lambda at: moment(at, language)
    environment.filters["iso"] = iso
    environment.filters["quote"] = sample
    environment.filters["commands"] = commands
    return environment


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCard:
    """One gate that is not open, ready to be shown."""

    gate: Gate
    scope: str
    rate: float | None
    signal: str
    needle: Markup | None
    undo: str
    promise: str
    left: str
    ends: str
    budget: str
    reason: str
    explain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One line, or several of a kind, of the timeline."""

    at: float
    tone: str
    title: str
    lines: tuple[str, ...]
    more: int = 0


def _context(view: DashboardView, language: Language) -> dict[str, Any]:
    closed = sorted(
        (g for g in view.gates if g.state is not GateState.OPEN), key=lambda g: (_ORDER.index(g.state), -g.since)
    )
    firing = [row for row in view.alerts if not row.ended]
    lag_bad = view.monitor_lag is None or view.monitor_lag > view.max_lag
    tone, verdict = _verdict(closed, len(firing), _lag(view, language) if lag_bad else "", language)
    series = charts.series_of(view.lanes)
    rules = {rule.name: rule for rule in view.rules}
    newest = sorted(view.decisions, key=lambda event: -event.at)  # the log's order differs where a step is judged late
    ended = (view.totals.delivered or 0) + (view.totals.bounced or 0)
    return {
        "view": view,
        "tone": tone,
        "verdict": verdict,
        "verdict_more": phrase("all_open_more" if tone == "calm" else "verdict_more", language),
        "clock_rate": phrase("clock_rate", language).format(span=span(86400 / view.rate, language))
        if view.rate != 1
        else "",
        "lag": _lag(view, language),
        "lag_bad": lag_bad,
        "delivered": Share(part=view.totals.delivered or 0, of=ended),
        "bounced": Share(part=view.totals.bounced or 0, of=ended),
        "complained": view.totals.complained,
        "queued": None if view.queue is None else sum(view.queue.values()),
        "cards": [_card(gate, view, language) for gate in closed[:MAX_CARDS]],
        "cards_more": [_card(gate, view, language) for gate in closed[MAX_CARDS:][:MAX_MORE]],
        "attention": attention(view, language),
        "series": [(charts.colour(i), name) for i, name in enumerate(series)],
        "volume": charts.volume_chart(view.lanes, view.bands, view.now, language) if view.lanes else None,
        "mark": lambda row: lane_mark(row.standing, row.moved, language),
        "lane_state": lambda row: phrase(row.state, language),
        "cap_label": lambda row: _cap_label(row, language),
        "decisions": list(itertools.islice(_decisions(newest, language), MAX_DECISIONS)),
        "alerts": view.alerts[:MAX_ALERTS],
        "alerts_rest": view.alerts[MAX_ALERTS:MAX_ALERTS_FOLDED],
        "placement": [(row, _placed(row.inbox, row.total)) for row in view.placement[:MAX_ROWS]],
        "queue": _largest(view.queue),
        "suppressions": sorted((view.suppressions or {}).items(), key=lambda item: -item[1]),
        "aligned": None if view.dmarc is None else _placed(view.dmarc.aligned, view.dmarc.messages),
        "budget": [(rule, signal_word(rule, language), promise(rule, language)) for rule in view.rules],
        "reactions": [_reaction(one, view.now, language) for one in view.reactions[:MAX_ROWS]],
        "reactions_more": max(0, len(view.reactions) - MAX_ROWS),
        "resting": plural(view.resting, "resting", language) if view.resting else "",
        "findings": [
            (scope_words(f.scope, language), signal_word(rules.get(f.rule), language), f)
            for f in sorted(view.findings, key=lambda f: -f.at)[:MAX_ROWS]
        ],
        "fleet": fleet(view.budget, language) if view.budget is not None else "",
    }


def _trouble_first(row: LaneRow) -> tuple[int, int, str, str]:
    held = row.standing is not None and bool(row.standing.held_by or row.standing.braked or row.standing.late)
    back = row.moved is StepMove.STEPPED_BACK and not row.finished
    return _ORDER.index(row.state), 0 if held or back else 1, row.lane.provider, row.lane.source


def _verdict(closed: list[Gate], firing: int, blind: str, language: Language) -> tuple[str, str]:
    """The page in one line, and its tone: calm, watch or alarm.  `blind` says that the monitor is behind."""
    shut = sum(gate.state in _CLOSED for gate in closed)
    parts = [plural(shut, "closed", language)] if shut else []
    if len(closed) > shut:
        parts.append(plural(len(closed) - shut, "watched", language))
    if firing:
        parts.append(plural(firing, "firing", language))
    if blind:
        parts.append(blind)
    if not parts:
        return "calm", phrase("all_open", language)
    text = " · ".join(parts)
    return "alarm" if shut else "watch", text[:1].upper() + text[1:]


def _lag(view: DashboardView, language: Language) -> str:
    if view.monitor_lag is None:
        return phrase("lag_unknown", language)
    if view.monitor_lag < 5:
        return phrase("lag_ok", language)
    return phrase("lag", language).format(span=span(view.monitor_lag, language))


def _card(gate: Gate, view: DashboardView, language: Language) -> GateCard:
    rule = next((rule for rule in view.rules if rule.name == gate.rule), None)
    evidence = gate.evidence
    share = Share(part=evidence.numerator, of=evidence.denominator) if evidence is not None else Share(part=0, of=0)
    interval = share.interval
    allowed = {GateState.PROBING: "probe_limit", GateState.SLOWED: "slow_limit"}.get(gate.state)
    left = ""
    if gate.until:
        wait = gate.until - view.now
        left = phrase("in", language).format(span=span(wait, language)) if wait > 0 else phrase("overdue", language)
    return GateCard(
        gate=gate,
        scope=scope_words(gate.scope, language),
        rate=share.rate,
        signal=signal_word(rule, language),
        needle=charts.needle(gate, *interval, language) if interval is not None else None,
        undo=f"penstock resume {shlex.quote(gate.scope.key)}",
        promise=phrase(allowed, language).format(n=number(gate.limit, language)) if allowed else "",
        left=left,
        ends=end_words(gate, view.now, language),
        budget=promise(rule, language) if rule else "",
        reason=worded(gate.cause, gate.reason, language),
        explain=f"penstock explain pause {shlex.quote(gate.pause_id)}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionRow:
    """A reply rule that acts, ready to be shown."""

    reaction: Reaction
    scope: str
    done: str
    left: str
    undo: str


def _reaction(one: Reaction, now: float, language: Language) -> ReactionRow:
    if one.probing(now):
        left = phrase("reply_probe", language).format(n=number(one.passed, language), of=number(one.probe, language))
    else:
        left = phrase("in", language).format(span=span(max(0.0, one.until - now), language))
    return ReactionRow(
        reaction=one, scope=scope_words(one.scope, language) + (f", {one.site}" if one.site else ""),
        done=action_words(one.action, language), left=left, undo=f"penstock rules end {shlex.quote(one.key)}",
    )  # fmt: skip


def _cap_label(row: LaneRow, language: Language) -> str:
    return phrase("cap_label", language).format(used=number(row.used, language), cap=number(row.cap or 0, language))


def _placed(part: int, total: int) -> Share:
    return Share(part=part, of=total)


def _largest(queue: Mapping[str, int] | None) -> list[tuple[str, int, int]]:
    """(provider, messages, the largest figure) of what is queued, most first."""
    rows = sorted(((queue or {}).items()), key=lambda item: -item[1])[:MAX_ROWS]
    return [(name, count, rows[0][1]) for name, count in rows if count]


def _decisions(events: Iterable[GateChanged | StepChanged], language: Language) -> Iterable[Decision]:
    """Gate moves one by one; between two of them, the steps of one day that moved alike as one entry."""
    for is_step, run in itertools.groupby(events, key=lambda event: isinstance(event, StepChanged)):
        alike: dict[tuple[int, StepMove], list[StepChanged]] = {}
        for event in run:
            if isinstance(event, StepChanged):
                alike.setdefault((event.day, event.move), []).append(event)
            else:
                yield _gate_decision(event, language)
        if is_step:
            yield from (_step_decision(changes, language) for changes in alike.values())


def _gate_decision(change: GateChanged, language: Language) -> Decision:
    lines = [scope_words(change.scope, language)]
    evidence = change.evidence
    if evidence is not None and evidence.denominator:
        lines.append(
            f"{percent(evidence.rate, language)} ({number(evidence.numerator, language)} {phrase('of', language)} "
            f"{number(evidence.denominator, language)}), {phrase('limit', language)} "
            f"{percent(evidence.threshold, language)}"
        )
    elif change.reason:
        lines.append(sample(worded(change.cause, change.reason, language)))
    if change.by != "guard":
        lines.append(f"{phrase('by', language)}: {sample(change.by)}")
    return Decision(at=change.at, tone=change.after, title=phrase(change.after, language), lines=tuple(lines))


def _step_decision(changes: list[StepChanged], language: Language) -> Decision:
    first = changes[0]
    title = phrase(first.move, language)
    if len(changes) > 1:
        title += " · " + phrase("lanes_n", language).format(n=len(changes))
    return Decision(
        at=first.at,
        tone=first.move,
        title=title,
        lines=tuple(_step_line(change, language) for change in changes[:4]),
        more=max(0, len(changes) - 4),
    )


def _step_line(change: StepChanged, language: Language) -> str:
    where = f"{change.lane.source} → {change.lane.provider}"
    before, after = number(change.cap_before, language), number(change.cap_after, language)
    who = f", {phrase('by', language)}: {sample(change.by)}" if change.by != "plan" else ""
    if change.cap_before == change.cap_after:
        return (
            f"{where}: {after}" + (f" ({sample(reason_words(change.reason, language))})" if change.reason else "") + who
        )
    return (f"{where}: {before} → {after}" if change.cap_before else f"{where}: {after}") + who
