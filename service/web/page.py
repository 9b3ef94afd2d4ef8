"""The dashboard's handler: gathers what the page shows.  `/?fragment=1` is what the page's script asks for.

Gathering is bounded and shared: one picture serves every viewer for `FRESH` real seconds, finished days are read once
a minute, and lists are cut to what a page can show.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from aiohttp import web

from alerts.keeper import AlertKeeper
from core.events import (
    AlertChanged,
    GateChanged,
    GateState,
    Logged,
    Placement,
    SeedBlind,
    SeedPlaced,
    SeedSighted,
    StepChanged,
    StepMove,
)
from core.lane import DAY, Lane, cohort_of, day_of
from core.metrics import Metric
from core.reports import Dim
from core.state import CounterKey, Gate
from service.figures import LaneFigures, is_heard, lane_figures, silent_providers, today
from service.parts import Parts
from service.waiting import bucket_states
from service.warming_view import standings
from service.web.dashboard import render_dashboard
from service.web.public import language_of
from service.web.view import (
    DashboardView,
    DayVolume,
    DmarcSummary,
    LaneRow,
    PlacementRow,
    Share,
    Totals,
    alert_rows,
    bands_of,
)
from warmup.ramp import plan_lane

MAX_LIMITS = 8
MOVES = 1000  # of steps, back to which a lane's last move is looked for
FRESH = 0.8  # real seconds
HISTORY_FRESH = 60.0
HISTORY_DAYS = 45
PLACEMENT_DAYS = 7.0
_STRICTEST = (GateState.HARD_STOPPED, GateState.PAUSED, GateState.PROBING, GateState.SLOWED, GateState.OPEN)


class Gatherer:
    """Keeps the last picture."""

    def __init__(self, parts: Parts, keeper: AlertKeeper) -> None:
        self._parts = parts
        self._keeper = keeper
        self._lock = asyncio.Lock()
        self._view: DashboardView | None = None
        self._made = 0.0
        self._history: dict[CounterKey, int] = {}
        self._history_day = -1
        self._history_made = 0.0

    async def view(self) -> DashboardView:
        """The newest picture."""
        async with self._lock:
            if self._view is None or time.monotonic() - self._made > FRESH:
                self._view = await self._gather()
                self._made = time.monotonic()
            return self._view

    async def _gather(self) -> DashboardView:
        parts = self._parts
        stores, now = parts.stores, parts.clock.now()
        counters = await stores.counters.load(today(now))
        history = await self._past(now)
        snapshot, silent = parts.control.snapshot(), silent_providers(parts.providers)
        figures = lane_figures(counters, snapshot, parts.plans, now, silent)
        gates = tuple(await stores.controls.gates())
        changes = await stores.log.recent(["GateChanged"], 400)
        decisions = await stores.log.recent(["GateChanged", "StepChanged"], 120)
        ended = await stores.log.recent(["AlertChanged"], 40)
        warming = {row.lane: row for row in standings(snapshot.steps.values(), snapshot.used, parts.plans, now)}
        moved = _last_moves(_events(await stores.log.recent(["StepChanged"], MOVES)))
        return DashboardView(
            now=now, node=parts.settings.node, rate=parts.clock.rate, sandbox=parts.sandbox,
            note=parts.notes.get("story", ""), monitor_lag=parts.projector.lag(),
            max_lag=parts.settings.monitor.max_lag_seconds,
            totals=_totals(counters, silent), queue=await stores.queue.depth(),
            lanes=tuple(
                replace(
                    self._lane(f, gates, history, now), standing=warming.get(plan_lane(f.lane)),
                    moved=moved.get(plan_lane(f.lane)),
                ) for f in figures
            ), gates=gates,
            bands=bands_of(tuple(e for e in _events(reversed(changes)) if isinstance(e, GateChanged))),
            decisions=tuple(e for e in _events(decisions) if isinstance(e, GateChanged | StepChanged)),
            alerts=alert_rows(
                self._keeper.entries, tuple(e for e in _events(ended) if isinstance(e, AlertChanged)),
                self._keeper.spoken
            ), notifiers=_notifies(parts),
            placement=await self._placement(now), suppressions=await stores.suppressions.by_reason(),
            dmarc=await self._dmarc(now), rules=parts.rules, budget=parts.budget,
            findings=parts.projector.findings.firing, reactions=tuple(await stores.lore.in_force()),
            resting=len(await stores.lore.resting(now, 1000)),
            unknown=tuple(await stores.feedback.clusters(now - 7 * DAY, 8)),
            limits_full=tuple(
                (f"{b.limit} {b.values}: {b.rate} {b.kind}", b.opens_at)
                for b in await bucket_states(stores, parts.settings, now) if not b.free
            )[:MAX_LIMITS],
        )  # fmt: skip

    async def _past(self, now: float) -> dict[CounterKey, int]:
        if self._history_day != day_of(now) or time.monotonic() - self._history_made > HISTORY_FRESH:
            self._history = await self._parts.stores.counters.load(cohort_of((day_of(now) - HISTORY_DAYS) * DAY))
            self._history_day, self._history_made = day_of(now), time.monotonic()
        return self._history

    def _lane(self, row: LaneFigures, gates: Iterable[Gate], history: dict[CounterKey, int], now: float) -> LaneRow:
        return LaneRow(
            lane=row.lane, plan=row.plan, step=row.step, cap=row.cap, used=row.used, finished=row.finished,
            delivered=Share(part=row.delivered, of=row.delivered + row.hard_bounced + row.soft_bounced),
            bounced=Share(part=row.hard_bounced, of=row.attempted),
            complained=Share(part=row.complained, of=row.delivered) if row.heard else None,
            state=_state(row.lane, gates), reason=row.reason, trend=_trend(row, history, now),
        )  # fmt: skip

    async def _placement(self, now: float) -> tuple[PlacementRow, ...]:
        provider_of = {seed.mailbox: seed.provider for seed in self._parts.settings.seeds.mailboxes}
        counts: dict[str, Counter[Placement]] = {provider: Counter() for provider in provider_of.values()}
        newest: dict[str, bool] = {}  # mailbox → blind, by its newest event
        for event in _events(await self._parts.stores.log.recent(["SeedPlaced", "SeedBlind", "SeedSighted"], 2000)):
            if isinstance(event, SeedPlaced | SeedBlind | SeedSighted):
                newest.setdefault(event.mailbox, isinstance(event, SeedBlind))
            if (
                isinstance(event, SeedPlaced)
                and event.at >= now - PLACEMENT_DAYS * DAY
                and event.mailbox in provider_of
            ):
                counts[provider_of[event.mailbox]][event.placement] += 1
        blind = {provider_of[mailbox] for mailbox, dark in newest.items() if dark}
        return tuple(
            PlacementRow(
                provider=provider, inbox=found[Placement.INBOX] + found[Placement.TAB], spam=found[Placement.SPAM],
                missing=found[Placement.MISSING], blind=provider in blind,
            )
            for provider, found in sorted(counts.items())
        )  # fmt: skip

    async def _dmarc(self, now: float) -> DmarcSummary:
        dmarc, since = self._parts.stores.dmarc, day_of(now) - 30
        whole = await dmarc.tally([], since_day=since)
        return DmarcSummary(
            reports=await dmarc.count(), sources=len(await dmarc.tally([Dim.SOURCE], since_day=since)),
            messages=sum(t.messages for t in whole), aligned=sum(t.aligned for t in whole),
        )  # fmt: skip


def _last_moves(newest_first: Iterable[object]) -> dict[Lane, StepMove]:
    """The newest move of each lane by its evidence; holds by a person show by themselves."""
    found: dict[Lane, StepMove] = {}
    for event in newest_first:
        if not isinstance(event, StepChanged) or event.move is StepMove.RESUMED:
            continue
        if event.move is not StepMove.HELD or event.by == "plan":
            found.setdefault(event.lane, event.move)
    return found


GATHERER = web.AppKey("gatherer", Gatherer)


async def dashboard(request: web.Request) -> web.Response:
    """GET /."""
    view = await request.app[GATHERER].view()
    fragment = "fragment" in request.query
    every = request.query.get("lanes") == "all"
    html = render_dashboard(view, language_of(request), fragment=fragment, every_lane=every)
    return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


def _notifies(parts: Parts) -> bool:
    alerts = parts.settings.alerts
    return bool(alerts.alertmanagers or alerts.webhooks or alerts.mails)


def _events(logged: Iterable[Logged]) -> list[object]:
    return [row.event for row in logged]


def _totals(counters: dict[CounterKey, int], silent: frozenset[str]) -> Totals:
    sums, heard = Counter[str](), Counter[str]()
    for key, value in counters.items():
        sums[key.metric] += value
        if is_heard(str(key.attribution.traffic.lane.provider), silent):
            heard[key.metric] += value
    return Totals(
        accepted=sums[Metric.ACCEPTED], delivered=sums[Metric.DELIVERED], deferred=sums[Metric.DEFERRED],
        bounced=sums[Metric.HARD_BOUNCED] + sums[Metric.SOFT_BOUNCED], complaints=sums[Metric.COMPLAINED],
        complained=Share(part=heard[Metric.COMPLAINED], of=heard[Metric.DELIVERED]),
    )  # fmt: skip


def _state(lane: Lane, gates: Iterable[Gate]) -> GateState:
    states = {
        gate.state
        for gate in gates
        if gate.scope.source in ("", lane.source)
        and gate.scope.sending_domain in ("", lane.sending_domain)
        and gate.scope.provider in ("", lane.provider)
        and not gate.scope.campaign
    }
    return next((state for state in _STRICTEST if state in states), GateState.OPEN)


def _trend(row: LaneFigures, history: dict[CounterKey, int], now: float) -> tuple[DayVolume, ...]:
    """First attempts a day, from the first day with any to today."""
    days: Counter[int] = Counter()
    for key, value in history.items():
        if key.metric == Metric.ATTEMPTED and plan_lane(key.attribution.traffic.lane) == row.lane:
            days[key.attribution.cohort // 24] += value
    day = day_of(now)
    days[day] = row.attempted
    begun = min((d for d, n in days.items() if n), default=day)
    return tuple(DayVolume(day=d, sent=days[d], cap=row.cap if d == day else None) for d in range(begun, day + 1))
