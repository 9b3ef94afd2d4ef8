"""The web application: API, recipients' pages, dashboard, health.  Listens until `stop()`."""

from __future__ import annotations

import json
from pathlib import Path

from aiohttp import web, web_response

from alerts.keeper import AlertKeeper
from config.reactions import load_noted_rules
from service.feeds import Feeds
from service.parts import Parts
from service.placement import PlacementDesk
from service.reports import Reports
from service.signals import SignalDesk
from service.web.api import ROUTES
from service.web.auth import Gatekeeper, errors_as_json
from service.web.consent import confirm_now, confirm_page
from service.web.dmarc_page import add_page
from service.web.health import healthz, metrics, readyz
from service.web.keys import PARTS
from service.web.openapi import openapi_document
from service.web.page import GATHERER, Gatherer, dashboard
from service.web.placement_api import PLACEMENT
from service.web.placement_page import add_placement_page
from service.web.preferences import preferences_page, preferences_save
from service.web.public import LIMITS, Limits
from service.web.recipient import unsubscribe_now, unsubscribe_page
from service.web.replies_api import REPLY_RULES
from service.web.reports_api import REPORTS
from service.web.requirements_page import add_requirements_page
from service.web.sheets_api import FEEDS
from service.web.signals_page import DESK, signals_page
from service.web.tracking import follow, pixel

# A version tells an attacker what to try.  Set here and not in a middleware: none sees a malformed request.
vars(web_response)["SERVER_SOFTWARE"] = "penstock"

STATIC = Path(__file__).parent / "static"


def build_web(
    parts: Parts, keeper: AlertKeeper, feeds: Feeds, reports: Reports, placement: PlacementDesk
) -> web.Application:
    """The application with every route.  Raises InvalidInput when the API would be open to the network."""
    http = parts.settings.http
    app = web.Application(
        client_max_size=http.max_body_bytes, middlewares=[errors_as_json, Gatekeeper(http).middleware]
    )
    app[PARTS] = parts
    app[LIMITS] = Limits(http.trusted_proxies)
    app[GATHERER] = Gatherer(parts, keeper)
    app[FEEDS] = feeds
    app[REPORTS] = reports
    app[PLACEMENT] = placement
    app[REPLY_RULES] = load_noted_rules(parts.settings)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/openapi.json", _openapi)
    app.router.add_get("/u/{token}", unsubscribe_page)
    app.router.add_post("/u/{token}", unsubscribe_now)
    app.router.add_get("/p/{token}", preferences_page)
    app.router.add_post("/p/{token}", preferences_save)
    app.router.add_get("/o/{token}", confirm_page)
    app.router.add_post("/o/{token}", confirm_now)
    app.router.add_get("/c/{link}", follow)
    app.router.add_get("/t/{token}.gif", pixel)
    app.router.add_get("/", dashboard)
    add_page(app)
    app[DESK] = SignalDesk(parts.settings, parts.stores)
    app.router.add_get("/signals", signals_page)
    add_placement_page(app)
    add_requirements_page(app)
    app.router.add_static("/static/", STATIC)
    return app


async def _openapi(_request: web.Request) -> web.Response:
    return web.Response(text=json.dumps(openapi_document(), indent=1), content_type="application/json")


class WebServer:
    """The listener."""

    def __init__(
        self, parts: Parts, keeper: AlertKeeper, feeds: Feeds, reports: Reports, placement: PlacementDesk
    ) -> None:
        http = parts.settings.http
        self._host, self._port = http.host, http.port
        app = build_web(parts, keeper, feeds, reports, placement)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)

    async def start(self) -> None:
        """Listen.  OSError names the address that is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Finish the requests that run."""
        await self._runner.cleanup()
