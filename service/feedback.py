"""Wires feedback over time: the follower of the log, report mailboxes, what alerts need to know, reaction times.

Contract: `jobs` are for the timetable (real seconds), which gives each a lease; what is known is read from storage, so
that every node can tell it.  Findings about whole days are looked for at most every half minute.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from alerts.conditions import Observed, Unmatched, Unverified
from alerts.feedback import BlindMailbox, FeedbackSeen, ShiftedClasses, SilentSource
from collectors.report_mailbox import ReportMailbox
from collectors.returnmail import ReturnMail
from config.model import Settings
from config.secrets import read_secret
from core.classify import Classifier
from core.events import ComplaintReceived, OutageChanged
from core.feedback import Tally
from core.lane import DAY, HOUR, day_of
from core.ports import Clock, EventLog, Resolver
from monitor.feedback.follower import Follower, guards
from monitor.feedback.watch import PAST, quantiles, rises, shifts, silences
from service.job import Job
from storage.stores import Stores

_FOLLOW_EVERY = 1.0
_FINDINGS_KEPT = 30.0
_COMPLAINTS = 500
_SAMPLES = 5


class FeedbackDesk:
    """See the module.  Raises InvalidInput when a password cannot be read."""

    def __init__(
        self,
        *,
        settings: Settings,
        stores: Stores,
        classifier: Classifier,
        resolver: Resolver,
        returns: ReturnMail,
        clock: Clock,
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._poll = settings.inbound.mailbox_poll_seconds
        self._follower = Follower(
            log=stores.log, store=stores.feedback, suppressions=stores.suppressions, classifier=classifier,
            policy=settings.suppression, clock=clock, resolver=resolver,
        )  # fmt: skip
        self._boxes = [
            ReportMailbox(box, read_secret(box.password_file), returns, clock, max_size=settings.inbound.max_size)
            for box in settings.report_mailboxes
        ]
        self._kept: tuple[float, FeedbackSeen, tuple[Unmatched, ...], frozenset[str]] | None = None

    @property
    def jobs(self) -> list[Job]:
        """What the timetable has to run."""
        boxes = [Job(name=f"report mailbox {box.name}", seconds=self._poll, work=box.look) for box in self._boxes]
        return [Job(name="feedback", seconds=_FOLLOW_EVERY, work=self._follower.tick), *boxes]

    async def complete(self, seen: Observed, now: float) -> Observed:
        """`seen` with what feedback over time tells: for alerts.conditions."""
        kept = self._kept
        if kept is None or not 0 <= time.monotonic() - kept[0] < _FINDINGS_KEPT:
            kept = self._kept = (time.monotonic(), *await self._findings(now))
        blind = tuple(
            BlindMailbox(name=box.name, since=box.blind_since, problem=box.problem)
            for box in self._boxes
            if box.blind_since
        )
        return replace(
            seen,
            feedback=replace(kept[1], outages=await outages(self._stores.log), blind=blind),
            unmatched=kept[2],
            unverified=tuple(one for one in seen.unverified if one.kind in kept[3] or _loud(one)),
        )

    async def _findings(self, now: float) -> tuple[FeedbackSeen, tuple[Unmatched, ...], frozenset[str]]:
        store, today = self._stores.feedback, day_of(now)
        since = today - PAST
        silent: tuple[SilentSource, ...] = ()
        sent = await store.days(Tally.DELIVERED, today - 1)
        if sum(sent.values()):  # without mail of ours nobody has anything to report
            silent = tuple(
                SilentSource(source=one.name, since=(one.last_day + 1) * DAY, usual=one.usual)
                for one in silences(await store.days(Tally.REPORT, since), today)
            )
        shifted = tuple(
            ShiftedClasses(provider=one.provider, since=today * DAY, count=one.now, classes=one.classes)
            for one in shifts(await store.days(Tally.CLASS, since), today)
        )
        unknown = await store.clusters(now - DAY, 500)
        unmatched = tuple(
            Unmatched(
                provider=one.name, count=one.today, since=today * DAY,
                samples=tuple(f"{c.count} × {c.sample}" for c in unknown if c.provider == one.name)[:_SAMPLES],
            )
            for one in rises(await store.days(Tally.UNMATCHED, since), today)
        )  # fmt: skip
        rising = frozenset(one.name for one in rises(await store.days(Tally.UNVERIFIED, since), today))
        return FeedbackSeen(silent=silent, shifted=shifted), unmatched, rising


def _loud(one: Unverified) -> bool:
    """So many that their own past excuses nothing."""
    return one.count >= 200


async def outages(log: EventLog) -> tuple[OutageChanged, ...]:
    """Outages that last, by what the log says."""
    events = await log.recent(["OutageChanged"], 500)
    up = guards(events)
    return tuple(
        logged.event
        for logged in events
        if isinstance(logged.event, OutageChanged)
        and logged.event.began
        and up.get(logged.event.place) == logged.event.at
    )


async def reaction_lines(log: EventLog, now: float) -> list[str]:
    """Prometheus lines: how late complaints come and how fast they take effect, over the last 24 hours."""
    told = [
        logged.event
        for logged in await log.recent(["ComplaintReceived"], _COMPLAINTS)
        if isinstance(logged.event, ComplaintReceived) and now - logged.event.at < 24 * HOUR
    ]
    return [
        *_summary(
            "penstock_complaint_age_seconds", "From delivery of a message to the complaint about it.",
            [event.at - event.sent_at for event in told if event.sent_at],
        ),
        *_summary(
            "penstock_complaint_reaction_seconds", "From the date of a complaint to its effect.",
            [event.at - event.reported_at for event in told if event.reported_at],
        ),
    ]  # fmt: skip


def _summary(name: str, text: str, values: Sequence[float]) -> list[str]:
    bounded = [max(0.0, value) for value in values]
    return [
        f"# HELP {name} {text}",
        f"# TYPE {name} summary",
        *(f'{name}{{quantile="{q}"}} {value:.3f}' for q, value in quantiles(bounded).items()),
        f"{name}_sum {sum(bounded):.3f}",
        f"{name}_count {len(bounded)}",
    ]
