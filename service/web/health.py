"""Liveness, readiness and Prometheus metrics (text format 0.0.4)."""

from __future__ import annotations

from aiohttp import web

from core.errors import PenstockError
from core.events import GateState
from monitor import operator as word
from service.feedback import reaction_lines
from service.figures import lane_figures, silent_providers, today
from service.parts import Parts
from service.waiting import bucket_states
from service.web.keys import PARTS


async def healthz(_request: web.Request) -> web.Response:
    """The process runs and its loop turns."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Storage answers, no task is down, and the monitor keeps up; else 503 with what is wrong."""
    parts = request.app[PARTS]
    wrong: list[str] = [f"task {name} failed" for name in sorted(parts.supervisor.failing)]
    try:
        await parts.stores.log.head()
    except PenstockError as error:
        wrong.append(str(error))
    if parts.projector.lag() > parts.settings.monitor.max_lag_seconds:
        wrong.append(f"the monitor is {parts.projector.lag():.0f} s behind")
    return web.json_response({"ready": not wrong, "problems": wrong}, status=503 if wrong else 200)


async def metrics(request: web.Request) -> web.Response:
    """Gauges and today's counters."""
    parts = request.app[PARTS]
    now = parts.clock.now()
    lines = [
        "# HELP penstock_queue_messages Queued recipients.",
        "# TYPE penstock_queue_messages gauge",
        *(
            f'penstock_queue_messages{{provider="{_label(provider or "unrouted")}"}} {count}'
            for provider, count in sorted((await parts.stores.queue.depth()).items())
        ),
        "# HELP penstock_monitor_lag_seconds Real seconds since the monitor last reached the log's head.",
        "# TYPE penstock_monitor_lag_seconds gauge",
        f"penstock_monitor_lag_seconds {parts.projector.lag():.3f}",
        "# HELP penstock_gate_closed 1 while the scope is not open, by state.",
        "# TYPE penstock_gate_closed gauge",
    ]
    for gate in parts.control.snapshot().gates:
        if word.is_closed(gate):
            lines.append(
                f'penstock_gate_closed{{scope="{_label(gate.scope.key)}",rule="{_label(gate.rule)}",'
                f'state="{gate.state}"}} {int(gate.state is not GateState.OPEN)}'
            )
    lines += [
        "# HELP penstock_rule_firing 1 while a rule that holds no mail finds something.",
        "# TYPE penstock_rule_firing gauge",
        *(
            f'penstock_rule_firing{{rule="{_label(found.rule)}",scope="{_label(found.scope.key)}",'
            f'action="{found.action}"}} 1'
            for found in parts.projector.findings.firing
        ),
    ]
    lines += await _limits(parts, now)
    lines += await _doors(parts)
    counters = await parts.stores.counters.load(today(now))
    figures = lane_figures(counters, parts.control.snapshot(), parts.plans, now, silent_providers(parts.providers))
    for name in ("attempted", "delivered", "deferred", "hard_bounced", "soft_bounced", "complained", "blocked"):
        lines += [f"# HELP penstock_day_{name} Messages first sent today (UTC).", f"# TYPE penstock_day_{name} gauge"]
        for row in figures:
            labels = (
                f'source="{_label(row.lane.source)}",sending_domain="{_label(row.lane.sending_domain)}",'
                f'provider="{_label(row.lane.provider)}"'
            )
            lines.append(f"penstock_day_{name}{{{labels}}} {getattr(row, name)}")
    lines += await reaction_lines(parts.stores.log, now)
    return web.Response(text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4"})


async def _limits(parts: Parts, now: float) -> list[str]:
    """Buckets of our limits, and what the watchdog did."""
    lines = [
        "# HELP penstock_put_back_total Messages without a next step that the watchdog put back, since the start.",
        "# TYPE penstock_put_back_total counter",
        f"penstock_put_back_total {parts.watchdog.total}",
        "# HELP penstock_limit_free Units that a limit leaves free, of its burst.",
        "# TYPE penstock_limit_free gauge",
    ]
    for state in (await bucket_states(parts.stores, parts.settings, now))[:200]:
        labels = f'limit="{_label(state.limit)}",kind="{state.kind}",of="{_label(state.values)}"'
        lines.append(f"penstock_limit_free{{{labels}}} {state.free}")
    return lines


async def _doors(parts: Parts) -> list[str]:
    """What was refused at intake, and what webhooks have not taken."""
    lines = [
        "# HELP penstock_intake_refused_total Recipients not taken over since the start, by reason.",
        "# TYPE penstock_intake_refused_total counter",
        *(
            f'penstock_intake_refused_total{{stream="{_label(stream)}",reason="{reason}"}} {count}'
            for (stream, reason), count in sorted(parts.intake.refusals.items())
        ),
    ]
    backlogs = await parts.webhooks.backlogs()
    for name, text, figure in (
        ("backlog", "Events that wait for an endpoint, at most.", [b.events for b in backlogs]),
        ("failing", "1 while an endpoint takes nothing.", [int(b.state.failing_since > 0) for b in backlogs]),
        ("skipped_total", "Events given up after max_age_days.", [b.state.skipped for b in backlogs]),
    ):
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP penstock_webhook_{name} {text}", f"# TYPE penstock_webhook_{name} {kind}"]
        lines += [
            f'penstock_webhook_{name}{{webhook="{_label(b.name)}"}} {value}'
            for b, value in zip(backlogs, figure, strict=True)
        ]
    return lines


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", " ")
