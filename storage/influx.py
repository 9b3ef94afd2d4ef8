"""Points for a time-series database, by the InfluxDB v2 write API (InfluxDB 2 and 3, VictoriaMetrics, and others).

Contract: `write` puts points into a bounded line and returns at once; it never raises.  A thread of its own sends them.
When the server does not answer, the points wait, the oldest are dropped when the line is full, and sending is tried
again with growing pauses.  Points that the server refuses as malformed (4xx) are dropped: they would be refused for
ever.  `dropped` counts both.  Nothing is ever read back for a decision, so losing points harms nobody's mail.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point as LinePoint
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from core.state import Point

_BATCH = 1000  # points in one request
_FIRST_PAUSE = 1.0  # real seconds after the first failure
_LONGEST_PAUSE = 30.0
_REQUEST_SECONDS = 5.0
_LinePoint: Any = LinePoint  # the client's builder carries no types
_LOG = logging.getLogger(__name__)


class InfluxSink:
    """core.ports.MetricsSink.  `capacity` is how many points may wait."""

    def __init__(self, *, url: str, org: str, bucket: str, token: str, capacity: int = 20_000) -> None:
        self._client: Any = InfluxDBClient(url=url, token=token, org=org, timeout=int(_REQUEST_SECONDS * 1000))
        self._api = self._client.write_api(write_options=SYNCHRONOUS)
        self._bucket = bucket
        self._capacity = capacity
        self._line: deque[str] = deque()
        self._dropped = 0
        self._closing = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="influx-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Points that were given up since the start."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """Points that are not sent yet."""
        return len(self._line)

    def write(self, points: Sequence[Point]) -> None:
        """Queue points; those without a finite value are left out."""
        lines = [line for line in map(_line_of, points) if line]
        with self._change:
            if self._closing:
                self._dropped += len(lines)
                return
            self._line.extend(lines)
            self._cut()
            self._change.notify()

    async def close(self) -> None:
        """Send what waits if the server takes it at once, then stop."""
        with self._change:
            self._closing = True
            self._change.notify()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, 2 * _REQUEST_SECONDS)
        self._client.close()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            with self._change:
                while not self._line and not self._closing:
                    self._change.wait()
                if not self._line:
                    return
                last_try = self._closing
                batch = [self._line.popleft() for _ in range(min(_BATCH, len(self._line)))]
            if self._send(batch):
                pause = _FIRST_PAUSE
                continue
            with self._change:
                self._line.extendleft(reversed(batch))
                self._cut()
                if last_try:
                    self._dropped += len(self._line)
                    self._line.clear()
                    return
                self._change.wait_for(lambda: self._closing, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _send(self, batch: list[str]) -> bool:
        """False when the batch should be tried again."""
        try:
            self._api.write(bucket=self._bucket, record="\n".join(batch))
        except ApiException as error:
            if error.status is not None and 400 <= error.status < 500 and error.status not in (401, 403, 408, 429):
                self._dropped += len(batch)
                _LOG.warning("The metrics server refused %d points: %s", len(batch), error.reason)
                return True
            _LOG.warning("The metrics server does not take points: %s %s", error.status, error.reason)
            return False
        except Exception as error:  # whatever the client raises, metrics must not stop
            _LOG.warning("The metrics server cannot be reached: %s", type(error).__name__)
            return False
        return True

    def _cut(self) -> None:
        while len(self._line) > self._capacity:
            self._line.popleft()
            self._dropped += 1


def _line_of(point: Point) -> str:
    """Line protocol of a point; '' when it has no finite value."""
    line = _LinePoint(point.measurement)
    for name, value in point.tags.items():
        line.tag(name, value)
    for name, number in point.fields.items():
        if math.isfinite(number):
            line.field(name, float(number))  # an int would fix the field's type for ever
    if point.at:
        line.time(int(point.at * 1e9))
    return str(line.to_line_protocol())
