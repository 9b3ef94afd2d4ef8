"""Posts alerts to every peer of an Alertmanager cluster (API v2, `POST /api/v2/alerts`).

Facts that shape it: alerts do not travel between peers, so each peer gets its own post; an alert that is not posted
again ends by itself, so each carries an `endsAt` ahead and is posted anew (`refreshes`); identity is the label set, so
figures are annotations; one bad alert in a batch makes the answer 400 although the good ones are stored, so a refused
batch is repeated one by one and only the bad ones are reported.  Alertmanager lives in real time: instants of a scaled
clock are converted.

Fails with Unavailable when no peer took the batch.  One dead peer of several is a line in the log.  Time and answer
sizes are bounded; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Sequence

import aiohttp

from alerts.wire import in_real_time, post
from core.clock import iso
from core.errors import Unavailable
from core.ports import Clock
from core.state import Alert

logger = logging.getLogger("penstock.alerts")
MAX_VALUE = 4000  # characters of one label or annotation
_LABEL = re.compile(r"[^a-zA-Z0-9_]")


class AlertmanagerSink:
    """Core.ports.AlertSink.  `real_now()` gives real seconds since the epoch; intervals and time-outs in real seconds.

    `urls` are the base addresses of all peers, never a load balancer's.
    """

    name = "alertmanager"
    refreshes = True

    def __init__(
        self,
        *,
        urls: Sequence[str],
        session: aiohttp.ClientSession,
        clock: Clock,
        real_now: Callable[[], float],
        post_interval: float = 60.0,
        timeout: float = 5.0,
    ) -> None:
        self._urls = tuple(f"{url.rstrip('/')}/api/v2/alerts" for url in urls)
        self._session = session
        self._clock = clock
        self._real_now = real_now
        self._ahead = max(300.0, 4 * post_interval)
        self._timeout = timeout

    async def notify(self, alerts: Sequence[Alert]) -> None:
        """Post to every peer.  Raises Unavailable when none took them."""
        rows = [self._row(alert) for alert in alerts]
        problems = [p for p in await asyncio.gather(*(self._peer(url, rows) for url in self._urls)) if p]
        for problem in problems:
            logger.warning("alertmanager: %s", problem)
        if problems and len(problems) == len(self._urls):
            raise Unavailable("; ".join(problems))

    def _row(self, alert: Alert) -> dict[str, object]:
        started = in_real_time(alert.starts_at, self._clock, self._real_now)
        if alert.ends_at:
            # an end before the beginning is refused; a conversion may round the two past each other
            ends = max(started, in_real_time(alert.ends_at, self._clock, self._real_now))
        else:
            ends = self._real_now() + self._ahead
        return {
            "labels": {_LABEL.sub("_", key): value[:MAX_VALUE] for key, value in alert.labels.items() if value},
            "annotations": {_LABEL.sub("_", k): v[:MAX_VALUE] for k, v in alert.annotations.items() if v},
            "startsAt": iso(started),
            "endsAt": iso(ends),
            **({"generatorURL": alert.link} if alert.link else {}),
        }

    async def _peer(self, url: str, rows: list[dict[str, object]]) -> str:
        """Why this peer took nothing; '' when it took at least what can be taken."""
        try:
            status, text = await self._post(url, rows)
            if status == 400 and len(rows) > 1:
                return await self._one_by_one(url, rows)
        except Unavailable as error:
            return f"{url}: {error}"
        return "" if status < 300 else f"{url}: {status} {text[:300]}"

    async def _one_by_one(self, url: str, rows: list[dict[str, object]]) -> str:
        taken, last = 0, ""
        for row in rows:
            status, text = await self._post(url, [row])
            if status < 300:
                taken += 1
            else:
                last = f"{url}: {status} {text[:300]}"
                logger.error("alertmanager refuses the alert %s: %s", json.dumps(row["labels"]), last)
        return "" if taken else last

    async def _post(self, url: str, rows: list[dict[str, object]]) -> tuple[int, str]:
        return await post(self._session, url, json.dumps(rows).encode(), {}, self._timeout)
