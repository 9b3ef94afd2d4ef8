"""The service's clock, shared with the commands.

A sandbox runs a day in seconds, so a command that writes into its log must use its clock.  The service notes its
clock in storage every second (domain instant, rate, real instant); a command continues from there.  When the note is
older than `STALE` real seconds the service is down: its domain clock stands still until it is started again.
"""

from __future__ import annotations

import json

from core.clock import FixedClock, ScaledClock, SystemClock
from core.ports import Clock, Meta

KEY = "clock"
STALE = 10.0


async def note_clock(meta: Meta, clock: Clock) -> None:
    """Write the note."""
    await meta.put(KEY, json.dumps({"now": clock.now(), "rate": clock.rate, "real": SystemClock().now()}))


async def clock_of(meta: Meta) -> SystemClock:
    """The clock to use beside a service: the machine's unless the note says otherwise."""
    text = await meta.get(KEY)
    if text is None:
        return SystemClock()
    note = json.loads(text)
    if note["rate"] == 1.0:
        return SystemClock()
    passed = SystemClock().now() - note["real"]
    if not 0 <= passed <= STALE:
        return FixedClock(note["now"])
    return ScaledClock(note["now"] + passed * note["rate"], note["rate"])


async def resumed_clock(meta: Meta, start: float, rate: float) -> ScaledClock:
    """A scaled clock that goes on where the last run stopped, or begins at `start`."""
    text = await meta.get(KEY)
    return ScaledClock(json.loads(text)["now"] if text else start, rate)
