"""Aggregate reports of a world that cannot forge any: for simulations, which have no DNS to prove a mail with.

Contract: `report` stores every aggregate report of a mail as vouched for; what is none is left out.  The service itself
takes reports in through `collectors.reports.intake`, which asks for the origin.
"""

from __future__ import annotations

from collectors.dmarc.defects import Refusal
from collectors.dmarc.mail import parse_report_mail
from collectors.reports.intake import stored_event
from core.ports import Clock, EventLog
from core.reports import AggregateReports, Provenance, Stored, Trust

_TRUE = Provenance(trust=Trust.VOUCHED, why="simulated")


class DmarcIntake:
    """See the module."""

    def __init__(self, *, store: AggregateReports, log: EventLog, clock: Clock) -> None:
        self._store = store
        self._log = log
        self._clock = clock

    async def report(self, content: bytes, mail_from: str, peer: str = "") -> int:
        """How many reports in the mail were new."""
        new = 0
        for one in parse_report_mail(content):
            if isinstance(one, Refusal):
                continue
            now = self._clock.now()
            if await self._store.store(one, _TRUE, now) is Stored.NEW:
                await self._log.append([stored_event(one, now)])
                new += 1
        return new
