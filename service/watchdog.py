"""The progress watchdog: walks over every resident of the queue and puts back those that nobody would come for.

Contract: `look()` reads the next portion and judges it (core.progress); after the last one it begins anew, so that a
million messages are seen within an hour.  What it puts back leaves a PutBack event, which the alert `MailStrayed` and
`penstock explain message` tell; `total` counts since the start.  One node walks at a time (the timetable's lease).
"""

from __future__ import annotations

import logging

from config.model import Delivery
from core.lane import DAY, HOUR
from core.ports import Clock
from core.progress import Longest, Residents, judge

logger = logging.getLogger("penstock.watchdog")
PORTION = 5000
MOST = 500  # put back at once: each leaves an event
SECONDS = 10.0  # real seconds between portions


class Watchdog:
    """See the module."""

    def __init__(self, residents: Residents, delivery: Delivery, clock: Clock, *, portion: int = PORTION) -> None:
        self._residents = residents
        self._portion = portion
        self._clock = clock
        self._longest = Longest(
            # a row of the retry table may ask for two days at most
            retry=max(2 * DAY, delivery.max_retry_hours * HOUR, delivery.first_retry_minutes * 60) * 1.1,
            lease=clock.real(delivery.lease_seconds), route=HOUR,
        )  # fmt: skip
        self._after = ""
        self.total = 0
        self.rounds = 0  # how often every resident was seen

    async def look(self) -> int:
        """One portion.  How many were put back."""
        found = await self._residents.portion(self._after, self._portion)
        after = str(found[-1].message_id) if len(found) == self._portion else ""
        now = self._clock.now()
        strays = [(resident, stray) for resident in found if (stray := judge(resident, self._longest, now)) is not None]
        if len(strays) > MOST:
            strays = strays[:MOST]
            after = str(strays[-1][0].message_id)
        self._after = after
        self.rounds += not after
        if not strays:
            return 0
        done = await self._residents.put_back(strays, now)
        self.total += done
        if done:
            resident, stray = strays[0]
            logger.error("%d messages had no next step and were put back (%s: %s)", done, resident.message_id, stray)
        return done
