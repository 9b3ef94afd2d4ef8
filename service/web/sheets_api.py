"""What the watches know, over HTTP: requirement sheets, listings and the figures of postmaster feeds."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from core.clock import iso
from core.lane import DAY
from service.feeds import Feeds
from service.sheets import sheet_json
from service.web.asked import number

FEEDS = web.AppKey("feeds", Feeds)


async def get_requirements(request: web.Request) -> web.Response:
    """Every sheet row by row: pass, fail or unknown, with evidence and remedy in both languages."""
    results = await request.app[FEEDS].sheets()
    return web.json_response({"sheets": [sheet_json(result) for result in results]})


async def get_listings(request: web.Request) -> web.Response:
    """What blocklists list now, and which of them cannot be trusted."""
    ledger = await request.app[FEEDS].ledger()
    return web.json_response(
        {
            "listings": [
                {
                    "kind": mark.kind, "name": mark.name, "subject": mark.subject, "zone": mark.zone,
                    "since": iso(mark.since), "asked": iso(mark.asked), "codes": mark.codes, "weight": mark.weight,
                    "text": mark.text, "delist": mark.delist,
                }
                for mark in ledger.listings
            ],
            "zones": [
                {
                    "zone": one.zone, "trusted": not one.blind_since, "problem": one.problem,
                    "blind_since": iso(one.blind_since) if one.blind_since else None, "queries_today": one.queries,
                }
                for one in ledger.zones.values()
            ],
        }
    )  # fmt: skip


async def get_observations(request: web.Request) -> web.Response:
    """Figures of postmaster feeds, newest day first; narrowed by feed, subject, metric and since_day."""
    query = request.query
    found = await request.app[FEEDS].observations.page(
        feed=query.get("feed", ""), subject=query.get("subject", ""), metric=query.get("metric", ""),
        since_day=number(request, "since_day", 0, 100_000, least=0), limit=number(request, "limit", 500, 5000),
    )  # fmt: skip
    return web.json_response({"observations": [{**asdict(one), "date": iso(one.day * DAY)[:10]} for one in found]})
