"""GET /v1/engagement: how much of each stream and campaign was opened and followed, by whom.

Rates are human ones over deliveries.  `days` (1 to 90, default 7) counts whole UTC days with today; each message is
counted in the hour of its first sending.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from aiohttp import web

from core.metrics import Metric
from service.figures import today
from service.web.asked import number
from service.web.keys import PARTS

_COUNTED = (
    Metric.DELIVERED, Metric.OPENED_HUMAN, Metric.OPENED_MACHINE, Metric.CLICKED_HUMAN, Metric.CLICKED_MACHINE,
    Metric.UNSUBSCRIBED, Metric.COMPLAINED,
)  # fmt: skip


async def get_engagement(request: web.Request) -> web.Response:
    parts = request.app[PARTS]
    days = number(request, "days", 7, 90)
    since = today(parts.clock.now()) - 24 * (days - 1)
    sums: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: dict.fromkeys(_COUNTED, 0))
    for key, value in (await parts.stores.counters.load(since)).items():
        traffic = key.attribution.traffic
        if key.metric in _COUNTED:
            sums[str(traffic.stream), str(traffic.campaign)][key.metric] += value
    tracked = {s.name: {Metric.OPENED_HUMAN: s.track_opens, Metric.CLICKED_HUMAN: s.track_clicks}
               for s in parts.settings.streams}  # fmt: skip
    rows = [
        {
            "stream": stream, "campaign": campaign, **counted,
            "open_rate": _rate(counted, Metric.OPENED_HUMAN, tracked.get(stream)),
            "click_rate": _rate(counted, Metric.CLICKED_HUMAN, tracked.get(stream)),
        }
        for (stream, campaign), counted in sorted(sums.items())
        if any(counted.values())
    ]  # fmt: skip
    return web.json_response({"days": days, "engagement": rows})


def _rate(counted: dict[str, int], metric: Metric, tracked: Mapping[Metric, bool] | None) -> float | None:
    """None: nothing was delivered, or nobody looks (and none was seen): unknown, which is not 0."""
    delivered = counted[Metric.DELIVERED]
    looked = bool(counted[metric]) or (tracked is not None and tracked[metric])
    return min(1.0, counted[metric] / delivered) if delivered and looked else None
