"""Our own TLS reports over HTTP: what was sent, and a look at the report about a day and domain before it leaves."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from core.address import normal_domain
from core.clock import iso
from core.errors import InvalidInput
from core.lane import DAY, day_of
from core.reports import SentTlsReport
from service.web.keys import PARTS

_MOST = 500


async def get_tls_reports(request: web.Request) -> web.Response:
    """What was sent, newest day first, and what could not be."""
    parts = request.app[PARTS]
    rows = await parts.stores.tls_sessions.recent(_MOST)
    return web.json_response({"enabled": parts.reporting.enabled, "reports": [_row(row) for row in rows]})


async def get_tls_report(request: web.Request) -> web.Response:
    """The report as it would go out now; `day` is today when left out."""
    parts = request.app[PARTS]
    given = request.query.get("day", "")
    day = _day(given) if given else day_of(parts.clock.now())
    domain = normal_domain(request.match_info["domain"])
    return web.json_response(await parts.reporting.report(day, domain))


def _day(text: str) -> int:
    try:
        return day_of(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise InvalidInput("day", "is no day", "Write 2026-12-31") from error


def _row(row: SentTlsReport) -> dict[str, object]:
    return {
        "day": iso(row.day * DAY)[:10], "domain": row.domain, "address": row.address, "state": str(row.state),
        "tries": row.tries, "at": iso(row.at), "detail": row.detail,
    }  # fmt: skip
