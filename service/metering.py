"""Points for InfluxDB: today's figures of every lane, the queue, closed gates, sources that are out.

They are never read back for a decision.
"""

from __future__ import annotations

from config.secrets import read_secret
from core.ports import MetricsSink
from core.state import Point
from monitor import operator as word
from service.alerting import sources_now
from service.figures import lane_figures, silent_providers, today
from service.parts import Parts

_FIELDS = ("attempted", "delivered", "deferred", "hard_bounced", "soft_bounced", "complained", "blocked")


class Metering:
    """`tick()` every ten seconds; does nothing when no server is configured."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        metrics = parts.settings.metrics
        self.sink: MetricsSink | None = None
        if metrics.influx_url:
            from storage.influx import InfluxSink  # its client is a tenth of what a start loads

            token = read_secret(metrics.influx_token_file) if metrics.influx_token_file else ""
            self._influx = InfluxSink(
                url=metrics.influx_url, org=metrics.influx_org, bucket=metrics.influx_bucket, token=token
            )
            self.sink = self._influx

    async def tick(self) -> None:
        """Write one picture."""
        if self.sink is None:
            return
        parts = self._parts
        now = parts.clock.now()
        counters = await parts.stores.counters.load(today(now))
        points = [
            Point(
                measurement="penstock_lane", at=now,
                tags={"source": row.lane.source, "sending_domain": row.lane.sending_domain,
                      "provider": row.lane.provider},
                fields={name: float(getattr(row, name)) for name in _FIELDS},
            )
            for row in lane_figures(
                counters, parts.control.snapshot(), parts.plans, now, silent_providers(parts.providers)
            )
        ]  # fmt: skip
        depth = await parts.stores.queue.depth()
        points += [
            Point(
                measurement="penstock_queue", at=now, tags={"provider": name or "unrouted"}, fields={"queued": float(n)}
            )
            for name, n in depth.items()
        ]
        closed = sum(word.is_closed(gate) for gate in parts.control.snapshot().gates)
        points.append(Point(measurement="penstock_gates", at=now, tags={}, fields={"closed": float(closed)}))
        out = {event.source for event in await sources_now(parts.stores.log, now)}
        points += [
            Point(measurement="penstock_source", at=now, tags={"source": s.name}, fields={"out": float(s.name in out)})
            for s in parts.settings.sources
        ]
        self.sink.write(points)

    async def stop(self) -> None:
        """Send what waits, within its own time bound."""
        if self.sink is not None:
            await self._influx.close()
