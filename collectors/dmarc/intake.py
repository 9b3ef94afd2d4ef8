"""Takes report mails in: parse off the event loop, store each report once, tell the log.

Contract: `report(content, mail_from)` stores every report of a mail and returns how many were new.  A new one gives one
DmarcReportStored; a repeated one (same reporter, domain, id and period) gives nothing; a mail or file that is no report
gives ReportUnverified with the defect.  Parsing runs in an executor: a large report takes seconds and must not hold
the loop.  Never raises for what is in the mail; raises what storage raises, and then the mail should be retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from collectors.dmarc.defects import Refusal
from collectors.dmarc.mail import parse_report_mail
from collectors.dmarc.parse import Result, parse_aggregate
from core.events import DmarcReportStored, Event, ReportUnverified
from core.ports import Clock, DmarcReports, EventLog
from core.state import DmarcReport


class DmarcIntake:
    """The collector of aggregate reports.  `executor` None takes the loop's own."""

    def __init__(self, *, store: DmarcReports, log: EventLog, clock: Clock, executor: Executor | None = None) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._executor = executor

    async def report(self, content: bytes, mail_from: str) -> int:
        """Take one report mail.  How many reports in it were new."""
        return await self._take(lambda: parse_report_mail(content), mail_from)

    async def upload(self, payload: bytes, filename: str, by: str) -> int:
        """Take one file that a person or a program handed in.  How many reports in it were new."""
        return await self._take(lambda: parse_aggregate(payload, filename), by)

    async def _take(self, parse: Callable[[], list[Result]], sender: str) -> int:
        results = await asyncio.get_running_loop().run_in_executor(self._executor, parse)
        new = 0
        for result in results:
            now = self._clock.now()
            event: Event | None
            if isinstance(result, Refusal):
                event = _unverified(result, sender, now)
            elif await self._store.store(result, sender, now):
                event = stored_event(result, now)
                new += 1
            else:
                event = None
            # one by one: what is stored is in the log before the next file is looked at
            if event is not None:
                await self._log.append([event])
        return new


def stored_event(report: DmarcReport, now: float) -> DmarcReportStored:
    """What the log keeps of a report."""
    return DmarcReportStored(
        at=now,
        reporter=report.reporter,
        domain=report.domain,
        report_id=report.report_id,
        begin=report.begin,
        end=report.end,
        records=len(report.records),
        counted=sum(record.count for record in report.records),
        aligned=sum(record.count for record in report.records if record.aligned),
        refused=len(report.refused),
    )


def _unverified(refusal: Refusal, sender: str, now: float) -> ReportUnverified:
    return ReportUnverified(
        at=now,
        kind="dmarc",
        problem=f"{refusal.defect}: {refusal.problem}",
        sender=sender,
        to="",
        summary=str(refusal)[:500],
    )
