"""Warm-up over HTTP: where each lane stands, and a person's word over it (service.warming)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import Field

from core.state import StepState
from service.instants import instant
from service.warming_view import standing_json, standings
from service.web.auth import caller_of
from service.web.bodies import BodyModel
from service.web.keys import PARTS


class WarmupBody(BodyModel):
    """POST /v1/warmup/resume."""

    scope: str = Field(max_length=500, description="e.g. source=a,provider=gmail; or all")
    reason: str = Field("", max_length=500)


class HoldBody(WarmupBody):
    """POST /v1/warmup/hold."""

    until: float | str | None = Field(None, description="Epoch seconds or RFC 3339; until resumed when left out")


class StepBackBody(WarmupBody):
    """POST /v1/warmup/step-back."""

    to: int = Field(0, ge=0, description="Messages a day; the highest step at or below it. 0: half of the cap")


class StartBody(WarmupBody):
    """POST /v1/warmup/start."""

    at: int = Field(0, ge=0, description="Begin at the highest step at or below so many a day. 0: the first step")
    again: bool = Field(False, description="Begin lanes anew that were started already")


async def get_warmup(request: web.Request) -> web.Response:
    """Every lane that has a warm-up state."""
    parts = request.app[PARTS]
    seen = parts.control.snapshot()
    rows = standings(seen.steps.values(), seen.used, parts.plans, parts.clock.now())
    return web.json_response({"lanes": [standing_json(row) for row in rows]})


async def post_warmup_hold(request: web.Request) -> web.Response:
    body = HoldBody.model_validate_json(await request.read())
    until = instant(body.until, "until") or 0.0
    return await _done(request, await request.app[PARTS].warming.hold(
        body.scope, by=caller_of(request), reason=body.reason, until=until
    ))  # fmt: skip


async def post_warmup_resume(request: web.Request) -> web.Response:
    body = WarmupBody.model_validate_json(await request.read())
    return await _done(request, await request.app[PARTS].warming.resume(
        body.scope, by=caller_of(request), reason=body.reason
    ))  # fmt: skip


async def post_warmup_step_back(request: web.Request) -> web.Response:
    body = StepBackBody.model_validate_json(await request.read())
    return await _done(request, await request.app[PARTS].warming.step_back(
        body.scope, by=caller_of(request), reason=body.reason, to=body.to
    ))  # fmt: skip


async def post_warmup_start(request: web.Request) -> web.Response:
    body = StartBody.model_validate_json(await request.read())
    return await _done(request, await request.app[PARTS].warming.start(
        body.scope, by=caller_of(request), reason=body.reason, at=body.at, again=body.again
    ))  # fmt: skip


async def post_warmup_import(request: web.Request) -> web.Response:
    """The body is the CSV."""
    parts = request.app[PARTS]
    done = await parts.warming.take_over(await request.read(), by=caller_of(request))
    await parts.control.refresh()
    return web.json_response(
        {
            "imported": [{"lane": s.lane.key, "cap": s.cap, "finished": s.finished, "reason": s.reason}
                         for s in done.taken],
            "unchanged": [lane.key for lane in done.known], "already_above": [lane.key for lane in done.above],
        }
    )  # fmt: skip


async def _done(request: web.Request, states: list[StepState]) -> web.Response:
    parts = request.app[PARTS]
    await parts.control.refresh()
    rows = standings(states, parts.control.snapshot().used, parts.plans, parts.clock.now())
    return web.json_response({"lanes": [standing_json(row) for row in rows]})


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WARMUP_ROUTES: tuple[tuple[str, str, Handler, str, type[BodyModel] | None], ...] = (
    ("GET", "/v1/warmup", get_warmup, "Every lane's warm-up: day, step, cap, target, days left, holds", None),
    ("POST", "/v1/warmup/start", post_warmup_start, "Begin lanes before their first mail, or anew", StartBody),
    ("POST", "/v1/warmup/hold", post_warmup_hold, "Keep caps from rising; mail goes on", HoldBody),
    ("POST", "/v1/warmup/resume", post_warmup_resume, "Lift holds", WarmupBody),
    ("POST", "/v1/warmup/step-back", post_warmup_step_back, "Lower caps at once", StepBackBody),
    ("POST", "/v1/warmup/import", post_warmup_import,
     "Lanes warmed elsewhere; the body is CSV: day,source,domain,provider,sent[,complaints,bounces]", None),
)  # fmt: skip
