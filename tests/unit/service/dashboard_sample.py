"""A dashboard of a lively day, for tests and for looking at: `python -m tests.unit.service.dashboard_sample OUT`."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from config.tables import Rule
from core.events import Evidence, GateChanged, GateState, StepChanged, StepMove
from core.lane import Lane, Provider, Scope, SendingDomain, Source, day_of
from core.state import Gate
from service.warming_view import Standing
from service.web.dashboard import render_dashboard
from service.web.view import (
    AlertRow,
    Band,
    DashboardView,
    DayVolume,
    DmarcSummary,
    LaneRow,
    PlacementRow,
    Share,
    Totals,
)

NOW = 1_795_615_800.0  # 25 November 2026, 14:10 UTC
TODAY = day_of(NOW)
HOSTILE = "<script>alert('x')</script>&\"spring"
RULES = (
    Rule(name="complaints", signal="complaint_rate", by=["provider", "stream"], threshold=0.001),
    Rule(name="dead-addresses", signal="hard_bounce_rate", by=["provider", "campaign"], threshold=0.02),
)


def lane(provider: str, source: str = "mta1") -> Lane:
    return Lane(source=Source(source), sending_domain=SendingDomain("news.example.com"), provider=Provider(provider))


def trend(start: float, growth: float, days: int, dip: int = -1) -> tuple[DayVolume, ...]:
    rng = random.Random(start)
    points, cap = [], start
    for i in range(days):
        if i == dip:
            cap /= 4
        used = cap * rng.uniform(0.86, 1.0) * (0.58 if i == days - 1 else 1)
        points.append(DayVolume(day=TODAY - days + 1 + i, sent=int(used), cap=int(cap)))
        cap = min(cap * growth, 90_000)
    return tuple(points)


def row(
    provider: str,
    start: float,
    growth: float,
    *,
    dip: int = -1,
    state: GateState = GateState.OPEN,
    moved: StepMove = StepMove.ADVANCED,
    **standing: Any,
) -> LaneRow:
    points = trend(start, growth, 31, dip)
    used, cap = points[-1].sent, points[-1].cap
    feedback = provider not in ("gmail", "yandex")
    return LaneRow(
        lane=lane(provider), plan="conservative", step=18, cap=cap, used=used, finished=False,
        delivered=Share(part=int(used * 0.981), of=used), bounced=Share(part=int(used * 0.004), of=used),
        complained=Share(part=int(used * 0.0006), of=int(used * 0.981)) if feedback else None,
        state=state, trend=points, moved=moved,
        standing=Standing(**{
            "lane": lane(provider), "plan": "conservative", "day": 31, "step": 18, "cap": cap, "used": used,
            "target": 100_000, "finished": False, "days_left": 12, "late": False, "held_by": "", "held_until": 0.0,
            "held_reason": "", "reason": "500 of 500 sent, nothing against it", "next_cap": int((cap or 0) * 1.2),
            "judged_at": (TODAY + 1) * 86400.0, **standing,
        }),
    )  # fmt: skip


def evidence(rule: str, bad: int, total: int, threshold: float, e_value: float, *samples: str) -> Evidence:
    return Evidence(
        rule=rule, numerator=bad, denominator=total, threshold=threshold, e_value=e_value, limit=1095.0,
        since=int(NOW // 3600) - 40, samples=samples,
    )  # fmt: skip


PAUSED = Gate(
    scope=Scope(provider="yahoo", stream="bulk", spare=("transactional",)), state=GateState.PAUSED, pause_id="p1",
    rule="complaints", since=NOW - 2700, until=NOW + 18_900, reason="complaint rate above threshold", by="guard",
    evidence=evidence("complaints", 31, 9_870, 0.001, 1530.4, "421 4.7.0 [TSS04] Messages temporarily deferred due to"
                      " user complaints", "feedback report: abuse, reported by Yahoo"),
)  # fmt: skip
SLOWED = Gate(
    scope=Scope(provider="mailru", campaign=HOSTILE, spare=("transactional",)), state=GateState.SLOWED,
    pause_id="p2", rule="dead-addresses", since=NOW - 700, until=NOW + 2900, reason="", by="guard", limit=50,
    evidence=evidence("dead-addresses", 14, 210, 0.02, 41.7, "550 5.1.1 invalid mailbox <script>"),
)  # fmt: skip


def gate_change(at: float, pause: str, before: GateState, after: GateState, gate: Gate) -> GateChanged:
    return GateChanged(
        at=at, pause_id=pause, scope=gate.scope, before=before, after=after, reason="the probe came back clean",
        until=0.0, by="guard", evidence=gate.evidence if after is not GateState.OPEN else None, limit=0,
    )  # fmt: skip


def step_change(provider: str, move: StepMove, before: int, after: int, reason: str = "") -> StepChanged:
    return StepChanged(
        at=TODAY * 86400.0, lane=lane(provider), plan="conservative", move=move, step=18, cap_before=before,
        cap_after=after, day=TODAY, reason=reason,
    )  # fmt: skip


SAMPLE = DashboardView(
    now=NOW, node="node1", rate=4320.0, sandbox=True, monitor_lag=0.2,
    note="Sandbox: Yahoo's readers dislike the spring campaign",
    totals=Totals(
        accepted=148_210, delivered=131_402, deferred=2_318, bounced=611, complaints=58,
        complained=Share(part=58, of=131_402),
    ),
    queue={"yahoo": 9_120, "gmail": 2_410, "mailru": 1_200, "outlook": 310, "": 12},
    lanes=(
        row("gmail", 210, 1.19, held_by="anna", held_until=NOW + 86400, held_reason="the new domain waits for <DNS>"),
        row("outlook", 180, 1.17, dip=13, moved=StepMove.STEPPED_BACK,
            reason="2.5% refused for reputation, limit 2.0%"),
        row("yahoo", 150, 1.18, state=GateState.PAUSED), row("mailru", 160, 1.185, state=GateState.SLOWED),
        row("apple", 90, 1.14, moved=StepMove.HELD, reason="12% deferred, limit 10%", late=True),
        LaneRow(lane=lane("other:mx.small.example", "mta2"), plan="", step=0, cap=None, used=3, finished=False,
                delivered=Share(part=0, of=0), bounced=Share(part=0, of=0), complained=Share(part=0, of=0),
                trend=(DayVolume(day=TODAY, sent=3),)),
    ),
    gates=(PAUSED, SLOWED),
    bands=(
        Band(provider="outlook", state=GateState.PAUSED, begin=NOW - 18.2 * 86400, end=NOW - 17.1 * 86400),
        Band(provider="outlook", state=GateState.PROBING, begin=NOW - 17.1 * 86400, end=NOW - 16.8 * 86400),
        Band(provider="yahoo", state=GateState.SLOWED, begin=NOW - 9000, end=NOW - 2700),
        Band(provider="yahoo", state=GateState.PAUSED, begin=NOW - 2700, end=None),
        Band(provider="mailru", state=GateState.SLOWED, begin=NOW - 700, end=None),
    ),
    decisions=(
        gate_change(NOW - 700, "p2", GateState.OPEN, GateState.SLOWED, SLOWED),
        gate_change(NOW - 2700, "p1", GateState.SLOWED, GateState.PAUSED, PAUSED),
        step_change("gmail", StepMove.ADVANCED, 21_000, 25_000), step_change("apple", StepMove.ADVANCED, 3_900, 4_400),
        step_change("mailru", StepMove.ADVANCED, 15_100, 17_900),
        step_change("outlook", StepMove.HELD, 4_800, 4_800, "only 71 % of the cap was sent"),
        gate_change(NOW - 190_000, "p0", GateState.PROBING, GateState.OPEN, PAUSED),
    ),
    alerts=(
        AlertRow(name="SendingPaused", severity="critical", scope="provider=yahoo,stream=bulk", since=NOW - 2700,
                 summary="Paused: stream bulk, provider yahoo. Complaint rate 0.31 % (31 of 9,870)",
                 told={"alertmanager": True, "ops": False}),
        AlertRow(name="SendingSlowed", severity="warning", scope="x", since=NOW - 700, told={"alertmanager": True},
                 summary=f"Slowed: campaign {HOSTILE}, provider mailru"),
        AlertRow(name="SeedBlind", severity="warning", scope="x", since=NOW - 90_000, ended=NOW - 80_000,
                 summary="Seed mailbox seed1@gmail.example (gmail) cannot be looked into", told={"ops": True}),
    ),
    placement=(
        PlacementRow(provider="gmail", inbox=41, spam=1, missing=0), PlacementRow(provider="yahoo", inbox=22, spam=19,
                                                                                  missing=1),
        PlacementRow(provider="outlook", inbox=39, spam=3, missing=0),
        PlacementRow(provider="mailru", inbox=0, spam=0, missing=0, blind=True),
    ),
    suppressions={"hard_bounce": 1_204, "complaint": 311, "unsubscribe": 2_870, "manual": 4},
    dmarc=DmarcSummary(reports=84, messages=912_400, aligned=911_980, sources=5), rules=RULES,
)  # fmt: skip


def main() -> None:
    """Write the page in both languages, its assets beside it."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    static = Path(__file__).resolve().parents[3] / "service/web/static"
    calm = DashboardView(now=NOW, node="node1", monitor_lag=0.0, rules=RULES)
    for name, view, language in (("en", SAMPLE, "en"), ("ru", SAMPLE, "ru"), ("empty", calm, "en")):
        page = render_dashboard(view, language).replace('"/static/', f'"{static.as_uri()}/')
        (out / f"{name}.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
