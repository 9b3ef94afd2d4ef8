"""The HTTP API of version 1.  Every route stands in `ROUTES` with the words that the OpenAPI document shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from alerts.words import Language
from core.clock import iso
from core.errors import LimitExceeded
from core.lane import day_of
from core.reports import Dim
from monitor import operator as word
from sender.intake import AnswerStatus
from service.cancelling import Canceller
from service.explain import StoryLine
from service.explained import Explained, What, explained, lane_of
from service.figures import LaneFigures, lane_figures, silent_providers, today
from service.gate_form import gate_json
from service.instants import instant
from service.reactions import reaction_json, rest_json
from service.waiting import bucket_states
from service.web.asked import number
from service.web.auth import caller_of, problem
from service.web.bodies import BodyModel, CancelBody, MessageBody, PauseBody, ResumeBody, SuppressBody, read_message
from service.web.consent import OptInBody, get_consents, post_optins
from service.web.engagement_api import get_engagement
from service.web.keys import PARTS
from service.web.limits_api import get_limits
from service.web.placement_api import PLACEMENT_ROUTES
from service.web.public import language_of
from service.web.replies_api import REPLY_ROUTES
from service.web.reports_api import VIEWS, post_reports
from service.web.sheets_api import get_listings, get_observations, get_requirements
from service.web.signals_page import get_audience, get_signals
from service.web.templates_api import LintBody, TemplateBody, post_lint, post_preview
from service.web.tlsrpt_api import get_tls_report, get_tls_reports
from service.web.warmup_api import WARMUP_ROUTES


async def post_messages(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    most = parts.settings.http.max_body_bytes
    # one without a length, or one that is packed, may become as large as any
    size = most if request.headers.get("Content-Encoding") else request.content_length or most
    if size > most:  # before it counts: what is only announced must not put others off
        raise LimitExceeded("body", f"has {size} bytes", f"At most {most}; send large lists in several calls")
    with parts.pressure.taking(size):
        injection = await read_message(await request.read(), request.headers.get("Idempotency-Key", ""), parts.library)
        answers = await parts.intake.submit(injection)
    rows = [{"address": a.address, "status": str(a.status), "id": a.message_id, "reason": a.reason} for a in answers]
    accepted = sum(a.status is AnswerStatus.ACCEPTED for a in answers)
    return web.json_response({"accepted": accepted, "messages": rows}, status=202)


async def get_message(request: web.Request) -> web.Response:
    found = await _explained(request, "message", request.match_info["id"])
    if not found.known:
        return problem(
            404, "id", "no message of that id is in the log", "Use the id from the answer to POST /v1/messages"
        )
    return web.json_response({"id": request.match_info["id"].lower(), "queued": found.waiting, **_told(found)})


async def get_status(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    now = parts.clock.now()
    depth = await parts.stores.queue.depth()
    counters = await parts.stores.counters.load(today(now))
    figures = lane_figures(counters, parts.control.snapshot(), parts.plans, now, silent_providers(parts.providers))
    return web.json_response(
        {
            "now": iso(now), "node": parts.settings.node, "sandbox": parts.sandbox, "clock_rate": parts.clock.rate,
            "queue": {"total": sum(depth.values()), "by_provider": depth},
            "today": {
                "attempted": sum(f.attempted for f in figures), "delivered": sum(f.delivered for f in figures),
                "hard_bounced": sum(f.hard_bounced for f in figures), "complained": sum(f.complained for f in figures),
            },
            "gates": [gate_json(g) for g in parts.control.snapshot().gates if word.is_closed(g)],
            "reply_rules": [reaction_json(one, now) for one in await parts.stores.lore.in_force()],
            "rests": [rest_json(one) for one in await parts.stores.lore.resting(now, 50)],
            "suppressions": await parts.stores.suppressions.count(),
            "limits_reached": sum(not b.free for b in await bucket_states(parts.stores, parts.settings, now)),
            "put_back": parts.watchdog.total,
            "monitor": {"lag_seconds": round(parts.projector.lag(), 3)},
            "webhooks": [
                {**asdict(b), "oldest": iso(b.oldest) if b.oldest else None} for b in await parts.webhooks.backlogs()
            ],
            "failing_tasks": parts.supervisor.failing,
        }
    )  # fmt: skip


async def get_lanes(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    now = parts.clock.now()
    counters = await parts.stores.counters.load(today(now))
    figures = lane_figures(counters, parts.control.snapshot(), parts.plans, now, silent_providers(parts.providers))
    return web.json_response({"now": iso(now), "lanes": [_lane_json(f) for f in figures]})


async def get_lane(request: web.Request) -> web.Response:
    lane = lane_of(request.match_info["key"])
    return web.json_response({"lane": lane.key, **_told(await _explained(request, "lane", lane.key))})


async def get_campaign(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if stream := request.query.get("stream", ""):
        name = f"{stream}/{name}"
    found = await _explained(request, "campaign", name)
    if not found.known:
        return problem(
            404, "name", "no campaign of that name is known", "Give its name, and ?stream= where two have it"
        )
    return web.json_response({"campaign": request.match_info["name"], **_told(found)})


async def get_pauses(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    gates = await parts.stores.controls.gates()
    wanted = gates if request.query.get("all") else [g for g in gates if word.is_closed(g)]
    return web.json_response({"pauses": [gate_json(g) for g in wanted]})


async def post_pause(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    body = PauseBody.model_validate_json(await request.read())
    scope = parts.operator.scope(body.scope, everything=body.everything)
    gate = await parts.operator.pause(scope, by=caller_of(request), reason=body.reason, hours=body.hours)
    await parts.control.refresh()
    return web.json_response({"pause": gate_json(gate)}, status=201)


async def post_resume(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    body = ResumeBody.model_validate_json(await request.read())
    scope = parts.operator.scope(body.scope)
    gates = await parts.operator.resume(scope, by=caller_of(request), reason=body.reason, hours=body.hours)
    await parts.control.refresh()
    return web.json_response({"resumed": [gate_json(g) for g in gates]})


async def post_cancellation(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    body = CancelBody.model_validate_json(await request.read())
    scope = parts.operator.scope(body.scope, everything=body.everything)
    canceller = Canceller(parts.operator, parts.stores.controls, parts.stores.cancelling, parts.clock)
    done = await canceller.cancel(scope, by=caller_of(request), reason=body.reason)
    await parts.control.refresh()
    return web.json_response({"scope": scope.key, "cancelled": done.ended, "more": done.more})


async def get_pause(request: web.Request) -> web.Response:
    found = await _explained(request, "pause", request.match_info["id"])
    if not found.known:
        return problem(404, "id", "no pause of that id is in the log", "See GET /v1/pauses?all=1 for the ids")
    return web.json_response({"id": request.match_info["id"], **_told(found)})


async def _explained(request: web.Request, what: What, identity: str) -> Explained:
    parts = request.app[PARTS]
    language: Language = "ru" if language_of(request) == "ru" else "en"
    return await explained(parts.stores, parts.settings, parts.clock, what, identity, language)


def _told(found: Explained) -> dict[str, Any]:
    return {"story": _story(found.story), "now": found.now}


async def get_suppressions(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    limit = number(request, "limit", 100, 1000)
    entries = await parts.stores.suppressions.page(request.query.get("after", ""), limit)
    rows = [{**asdict(e), "at": iso(e.at), "expires_at": iso(e.expires_at) if e.expires_at else None} for e in entries]
    return web.json_response(
        {"total": await parts.stores.suppressions.count(), "suppressions": rows,
         "next": entries[-1].address if len(entries) >= limit else None}
    )  # fmt: skip


async def post_suppressions(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    body = SuppressBody.model_validate_json(await request.read())
    added = await parts.operator.suppress(
        body.addresses, stream=body.stream, by=caller_of(request), note=body.note,
        until=instant(body.expires_at, "expires_at") or 0.0,
    )  # fmt: skip
    return web.json_response({"added": added}, status=201)


async def delete_suppression(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    gone = await parts.operator.allow(
        request.match_info["address"], stream=request.query.get("stream", ""), by=caller_of(request)
    )
    if not gone:
        return problem(404, "address", "is not suppressed for that stream", "See GET /v1/suppressions")
    return web.json_response({"removed": True})


async def get_dmarc(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    heads = await parts.stores.dmarc.heads(counting=True)
    sources = await parts.stores.dmarc.tally([Dim.SOURCE], since_day=day_of(parts.clock.now()) - 30)
    return web.json_response(
        {
            "reports": [
                {"id": r.number, "reporter": r.org, "domain": r.domain, "report_id": r.report_id,
                 "begin": iso(r.begin), "end": iso(r.end), "messages": r.messages, "aligned": r.aligned,
                 "refused": r.refused}
                for r in heads
            ],
            "sources": [{"ip": t.key[0], "messages": t.messages, "aligned": t.aligned} for t in sources],
        }
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDoc:
    """One route: what serves it and what the OpenAPI document says."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    body: type[BodyModel] | None = None
    success: int = 200


ROUTES: tuple[RouteDoc, ...] = (
    RouteDoc(method="POST", path="/v1/messages", handler=post_messages, body=MessageBody, success=202,
             summary="Take over a message to one or many recipients; 202 after the durable commit"),
    RouteDoc(method="POST", path="/v1/templates/preview", handler=post_preview, body=TemplateBody,
             summary="The finished parts of a template with sample values; nothing is stored or sent"),
    RouteDoc(method="POST", path="/v1/templates/lint", handler=post_lint, body=LintBody,
             summary="What a mailbox provider or a reader would object to in a template"),
    RouteDoc(method="GET", path="/v1/messages/{id}", handler=get_message,
             summary="The story of one message, and what it waits for (lang=ru)"),
    RouteDoc(method="GET", path="/v1/status", handler=get_status, summary="Queue, today's figures, closed gates"),
    RouteDoc(method="GET", path="/v1/limits", handler=get_limits,
             summary="Limits of ours ([[limits]]), what is free in each bucket, pools, the watchdog"),
    RouteDoc(method="GET", path="/v1/lanes", handler=get_lanes, summary="Every lane with today's cap and figures"),
    RouteDoc(method="GET", path="/v1/lanes/{key}", handler=get_lane,
             summary="The story of one lane, and what holds it now"),
    RouteDoc(method="GET", path="/v1/campaigns/{name}", handler=get_campaign,
             summary="The story of one campaign, its counts, and what holds it now (stream=)"),
    RouteDoc(method="GET", path="/v1/pauses", handler=get_pauses, summary="Gates not open (all=1: every gate)"),
    RouteDoc(method="GET", path="/v1/pauses/{id}", handler=get_pause,
             summary="The story of one pause, and what it is now"),
    RouteDoc(method="POST", path="/v1/pauses", handler=post_pause, body=PauseBody, success=201,
             summary="Pause a scope by the operator's word"),
    RouteDoc(method="POST", path="/v1/pauses/resume", handler=post_resume, body=ResumeBody,
             summary="Open every gate over exactly this scope"),
    RouteDoc(method="POST", path="/v1/cancellations", handler=post_cancellation, body=CancelBody,
             summary="End queued mail of a scope, 20,000 messages a call: call again while `more`"),
    *(RouteDoc(method=method, path=path, handler=handler, summary=summary, body=body)
      for method, path, handler, summary, body in (*WARMUP_ROUTES, *REPLY_ROUTES)),
    *(RouteDoc(method=method, path=path, handler=handler, summary=summary, body=body, success=success)
      for method, path, handler, summary, body, success in PLACEMENT_ROUTES),
    RouteDoc(method="POST", path="/v1/optins", handler=post_optins, body=OptInBody, success=202,
             summary="Ask an address by mail whether it agrees (double opt-in)"),
    RouteDoc(method="GET", path="/v1/consents/{address}", handler=get_consents,
             summary="Proof of consent: who agreed to what, when, from where, in which words"),
    RouteDoc(method="GET", path="/v1/engagement", handler=get_engagement,
             summary="Opens and clicks of people and machines, by stream and campaign (days=7)"),
    RouteDoc(method="GET", path="/v1/signals", handler=get_signals,
             summary="Signals with interval and maturity (by=provider,stream; days=7; signal=...), what rules find"),
    RouteDoc(method="GET", path="/v1/audience", handler=get_audience,
             summary="The burnout map: recipients by stream, list source and engagement state"),
    RouteDoc(method="GET", path="/v1/suppressions", handler=get_suppressions, summary="The suppression list, by page"),
    RouteDoc(method="POST", path="/v1/suppressions", handler=post_suppressions, body=SuppressBody, success=201,
             summary="Never mail these addresses again"),
    RouteDoc(method="DELETE", path="/v1/suppressions/{address}", handler=delete_suppression,
             summary="Lift a suppression"),
    RouteDoc(method="GET", path="/v1/dmarc", handler=get_dmarc, summary="Stored DMARC reports and their sources"),
    RouteDoc(method="POST", path="/v1/reports", handler=post_reports, success=202,
             summary="Take DMARC, TLS or failure reports: a file or mail as the body, or a form of files"),
    *(RouteDoc(method="GET", path=path, handler=handler, summary=summary) for path, handler, summary in VIEWS),
    RouteDoc(method="GET", path="/v1/tls-reports", handler=get_tls_reports,
             summary="TLS reports of ours (RFC 8460): to whom which day was reported, and what could not be"),
    RouteDoc(method="GET", path="/v1/tls-reports/{domain}", handler=get_tls_report,
             summary="The TLS report about a domain as it would go out now (day=2026-12-31; today)"),
    RouteDoc(method="GET", path="/v1/requirements", handler=get_requirements,
             summary="The requirement sheets of the providers, row by row, with evidence and remedy"),
    RouteDoc(method="GET", path="/v1/listings", handler=get_listings,
             summary="What blocklists list now, and which of them cannot be trusted"),
    RouteDoc(method="GET", path="/v1/observations", handler=get_observations,
             summary="Figures of postmaster feeds, newest day first"),
)  # fmt: skip


def _lane_json(figures: LaneFigures) -> dict[str, Any]:
    row = asdict(figures)
    row["lane"] = figures.lane.key
    row["bounce_rate"] = figures.bounce_rate
    row["complaint_rate"] = figures.complaint_rate
    return row


def _story(lines: list[StoryLine]) -> list[dict[str, str]]:
    return [{"at": iso(line.at), "event": line.kind, "text": line.text} for line in lines]
