"""Time is injected: the only file that reads the wall clock.

All instants are seconds since the Unix epoch, UTC (float).  Two kinds of duration exist:
- *domain* time (retry waits, pauses, days of warm-up) runs at the clock's rate: `sleep(domain_seconds)`;
- *real* time (socket time-outs, leases, I/O) does not: `real(seconds)` turns real seconds into domain
  seconds where a durable deadline has to outlive a fixed span of the operator's time.

`SystemClock` is the service's.  `ScaledClock` runs the sandbox's day in seconds.  `VirtualClock` with
`VirtualTimeLoop` runs weeks in seconds of work: the loop jumps to the next timer whenever nothing is ready.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's UTC clock; one domain second is one real second."""

    rate: float = 1.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def real(self, seconds: float) -> float:
        """Domain seconds that pass in so many real seconds."""
        return seconds

    async def sleep(self, seconds: float) -> None:
        """Wait for so many domain seconds."""
        await asyncio.sleep(max(0.0, seconds))


class ScaledClock(SystemClock):
    """Starts at `start` (epoch seconds) and runs `rate` domain seconds for each real one (rate > 0)."""

    def __init__(self, start: float, rate: float) -> None:
        if rate <= 0:
            raise ValueError("the clock's rate must be above 0")
        self.rate = rate
        self._start = start
        self._origin = time.monotonic()

    def now(self) -> float:
        return self._start + (time.monotonic() - self._origin) * self.rate

    def real(self, seconds: float) -> float:
        return seconds * self.rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.rate)


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: a time-out becomes a jump of the virtual clock."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("virtual time: every task waits for something that no timer will bring")
        if timeout > 0:
            self.elapsed += timeout
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while tasks run and jumps to the next timer when none can.

    Threads and sockets have no meaning under it: use inline storage and in-memory transports.
    """

    def __init__(self) -> None:
        self._jumps = _JumpingSelector()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.elapsed


class VirtualClock(SystemClock):
    """Domain time of a VirtualTimeLoop, beginning at `start` (epoch seconds)."""

    def __init__(self, start: float, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._start = start
        self._loop = loop

    def now(self) -> float:
        loop = self._loop or asyncio.get_running_loop()
        return self._start + loop.time()


class FixedClock(SystemClock):
    """Stands still until told otherwise; for unit tests and for replay of a log."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        """Move forward by so many domain seconds."""
        self.at += seconds

    async def sleep(self, seconds: float) -> None:
        self.at += max(0.0, seconds)
        await asyncio.sleep(0)


def iso(at: float) -> str:
    """RFC 3339 text of an instant, UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def utc(at: float) -> datetime:
    """Aware datetime of an instant."""
    return datetime.fromtimestamp(at, UTC)
