"""Finds in the stored reports what somebody should be told; looks at most once in a real minute.

Contract: only reports that count are looked at, so that no forger can ring a bell; a figure with too few messages is no
finding.  How many files cannot be read is the one exception: it is told as such.
"""

from __future__ import annotations

import time
from collections import defaultdict

from alerts.reports import ReportTrouble, Trouble
from core.events import ReportUnverified
from core.lane import DAY, day_of
from core.reports import Dim, ReportHead, SourceKind
from service.report_views import Views
from service.reports import Reports

LOOK_EVERY = 60.0  # real seconds
RECENT_DAYS = 3  # reports of a day come for so long
MANY = 100  # messages from which a share says something
REGULAR = 5  # reports from which a reporter is missed
UNREADABLE_MANY = 10
_OF_ORIGIN = ("unaligned:", "conflict:")


class ReportWatch:
    """See the module."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._views = Views(reports)
        self._found: tuple[ReportTrouble, ...] = ()
        self._looked = float("-inf")

    async def seen(self) -> tuple[ReportTrouble, ...]:
        """What is to be told now."""
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            self._found = (
                *await self._new_sources(), *await self._drops(), *await self._missing(), *await self._policies(),
                *await self._unreadable(),
            )  # fmt: skip
        return self._found

    def _today(self) -> int:
        return day_of(self._reports.clock.now())

    async def _new_sources(self) -> list[ReportTrouble]:
        today, least = self._today(), self._reports.settings.reports.new_source_messages
        found = []
        for tally, name in await self._views.sources(30):
            fresh = tally.first_day >= today - RECENT_DAYS
            if name.kind is not SourceKind.UNKNOWN or not fresh or tally.messages < least:
                continue
            domains = await self._views.drill([Dim.POLICY_DOMAIN], [(Dim.SOURCE, tally.key[0])], 30, 1)
            found.append(
                ReportTrouble(
                    trouble=Trouble.NEW_SOURCE, subject=tally.key[0], since=tally.first_day * DAY,
                    domain=domains[0].key[0] if domains else "", count=tally.messages,
                    share=tally.aligned / tally.messages,
                )
            )  # fmt: skip
        # a domain that is new to reports altogether has new sources only: that is no news
        older = await self._views.drill([], [], 30, 1)
        return found if older and older[0].first_day < today - RECENT_DAYS else []

    async def _drops(self) -> list[ReportTrouble]:
        limit = self._reports.settings.reports.alignment_drop
        days: dict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
        for tally in await self._views.drill([Dim.POLICY_DOMAIN, Dim.DAY], [], 12, 5000):
            days[tally.key[0]][int(tally.key[1])] = (tally.messages, tally.aligned)
        found = []
        for domain, sums in days.items():
            newest = max(sums)
            messages, aligned = sums[newest]
            week = [sums[day] for day in sums if newest - 8 < day < newest]
            total, good = sum(n for n, _ in week), sum(n for _, n in week)
            if min(messages, total) >= MANY and good / total - aligned / messages >= limit:
                found.append(
                    ReportTrouble(
                        trouble=Trouble.ALIGNMENT_DROP, subject=domain, since=newest * DAY, count=messages,
                        share=aligned / messages, before=f"{good / total:.1%}",
                    )
                )  # fmt: skip
        return found

    async def _missing(self) -> list[ReportTrouble]:
        return [
            ReportTrouble(
                trouble=Trouble.REPORTER_MISSING, subject=one.name, since=(one.last_day + 1) * DAY, count=one.missing
            )
            for one in await self._views.reporters(30)
            if one.missing and one.reports >= REGULAR
        ]

    async def _policies(self) -> list[ReportTrouble]:
        by_domain: dict[str, list[ReportHead]] = defaultdict(list)
        for head in await self._reports.stores.dmarc.heads(1000, counting=True):
            if head.policy and head.day >= self._today() - 14:
                by_domain[head.domain].append(head)
        found = []
        for domain, heads in by_domain.items():
            heads.sort(key=lambda head: head.end)
            newest = heads[-1]
            before = next((head for head in reversed(heads) if head.policy != newest.policy), None)
            # receivers that still hold the old record do not count: the change must be the newer one, and recent
            if before is None or before.end >= newest.begin:
                continue
            first = next(head for head in heads if head.end > before.end)
            if first.day >= self._today() - RECENT_DAYS:
                found.append(
                    ReportTrouble(
                        trouble=Trouble.POLICY_CHANGED, subject=domain, since=first.end, before=before.policy,
                        after=newest.policy,
                    )
                )  # fmt: skip
        return found

    async def _unreadable(self) -> list[ReportTrouble]:
        now = self._reports.clock.now()
        counts = [0, 0]
        for logged in await self._reports.stores.log.recent(["ReportUnverified"], 2000):
            event = logged.event
            age = now - event.at
            if (
                isinstance(event, ReportUnverified)
                and event.kind == "dmarc"
                and age < 2 * DAY
                and not event.problem.startswith(_OF_ORIGIN)
            ):
                counts[int(age // DAY)] += 1
        today, before = counts
        if today < UNREADABLE_MANY or today < 2 * before:
            return []
        return [
            ReportTrouble(
                trouble=Trouble.UNREADABLE, subject="dmarc", since=now // DAY * DAY, count=today, before=str(before)
            )
        ]
