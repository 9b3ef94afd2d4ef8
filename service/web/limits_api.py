"""`GET /v1/limits`: limits of ours, what is free in each bucket, and since when nothing is."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from core.clock import iso
from service.waiting import bucket_states
from service.web.keys import PARTS


async def get_limits(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    now = parts.clock.now()
    states = await bucket_states(parts.stores, parts.settings, now)
    rows = [{**asdict(state), "opens_at": iso(state.opens_at)} for state in states]
    return web.json_response(
        {
            "now": iso(now), "limits": [limit.model_dump() for limit in parts.settings.limits], "buckets": rows,
            "pools": [pool.model_dump() for pool in parts.settings.pools],
            "watchdog": {"put_back": parts.watchdog.total, "rounds": parts.watchdog.rounds},
        }
    )  # fmt: skip
