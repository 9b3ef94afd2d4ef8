"""Follows the event log for what feedback means over time.  One transaction a batch.

Contract: `tick()` takes in everything up to the log's head, then looks at the guards of places and asks DNS again about
domains that were called unknown.  Counts, records, suppressions, lifted suppressions, their events and the place in the
log are committed together.  It runs under a lease in one process at a time; another process that took over in between
is noticed by the moved cursor, and memory is read again.  SMTP replies and bounce mails come through the same log, so
they count alike.

Outages: while a place's guard is up, suppressions made because somebody was unknown there are taken back within one
tick, and those of the window before it when it goes up.  Mail to such an address that was dropped between suppression
and lift stays dropped.  Failure: an exception leaves storage as it was; the next tick begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from config.model import Suppression as Policy
from core.classify import BounceClass, Classifier
from core.errors import StorageConflict
from core.events import Event, Logged, OutageChanged, SuppressionReason
from core.feedback import FeedbackChanges, FeedbackStore, SoftRecord, Tally
from core.lane import DAY, HOUR, day_of
from core.ports import Clock, EventLog, NameMissing, NullMx, Resolver, ResolverFailed, Suppressions
from core.state import Suppression
from core.tokens import MessageId
from monitor.feedback import soft
from monitor.feedback.fold import Fold, addresses
from monitor.feedback.outage import Past, Place, is_outage, is_over, suspicious

BATCH = 2000
BY = "outage guard"
PAST_DAYS = 7
KEPT_DAYS = 15
_READ_BACK = 20_000  # events that rebuild the windows after a start
_ASK_EVERY = 20 * HOUR
_FOLLOWED = ("Delivered", "Bounced", "BounceReceived")


class Follower:
    """See the module.  `resolver` None: nobody asks DNS, and no domain is suppressed for being unknown."""

    def __init__(
        self,
        *,
        log: EventLog,
        store: FeedbackStore,
        suppressions: Suppressions,
        classifier: Classifier,
        policy: Policy,
        clock: Clock,
        resolver: Resolver | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._suppressions = suppressions
        self._classifier = classifier
        self._policy = policy
        self._clock = clock
        self._resolver = resolver
        self._window = policy.outage_minutes * 60
        self._cursor = -1
        self._places: dict[str, Place] = {}
        self._day = 0

    @property
    def outages(self) -> dict[str, float]:
        """Places whose guard is up, since when."""
        return {place.name: place.up_since for place in self._places.values() if place.up_since}

    async def tick(self) -> int:
        """Catch up.  How many events were taken in."""
        taken = 0
        while True:
            n = await self.step()
            taken += n
            if n < BATCH:
                break
        await self._ask_domains()
        await self._forget()
        return taken

    async def step(self) -> int:
        """One batch; 0 at the head of the log."""
        cursor = await self._store.cursor()
        if cursor != self._cursor:
            await self._start(cursor)
        batch = await self._log.read(cursor, BATCH)
        self._cursor = -1  # until the commit, memory is ahead of storage
        after = batch[-1].seq if batch else cursor
        changes = await self._changes([logged.event for logged in batch])
        if batch or changes.events:
            try:
                await self._store.commit(cursor, after, changes, self._clock.now())
            except StorageConflict:
                return len(batch)  # somebody else leads; the next step reads everything again
        self._cursor = after
        return len(batch)

    async def _start(self, cursor: int) -> None:
        now = self._clock.now()
        self._places = {}
        for logged in reversed(await self._log.recent(_FOLLOWED, _READ_BACK)):
            if logged.seq <= cursor and logged.event.at >= now - self._window:
                self._replay(logged.event)
        for name, since in guards(await self._log.recent(["OutageChanged"], 500)).items():
            self._places.setdefault(name, Place(name=name)).up_since = since

    def _replay(self, event: Event) -> None:
        fold = Fold(self._policy, self._classifier, self._places, {})
        fold.take(event)  # only the windows are kept

    async def _changes(self, events: Sequence[Event]) -> FeedbackChanges:
        known = await self._store.records(addresses(events)) if events else []
        fold = Fold(self._policy, self._classifier, self._places, {(one.address, one.kind): one for one in known})
        for event in events:
            fold.take(event)
        changes = fold.done()
        if self._policy.outage_guard:
            await self._guard(changes, fold.refused)
        now = self._clock.now()
        for place in [*self._places.values()]:
            place.forget(now - self._window)
            if place.idle:
                del self._places[place.name]
        return changes

    async def _guard(self, changes: FeedbackChanges, refused: Iterable[tuple[str, str]]) -> None:
        now = self._clock.now()
        up = set(self.outages)
        wanted = {address for name, address in refused if name in up}
        await self._lift(changes, wanted, now - self._window)
        for place in self._places.values():
            if place.up_since:
                why = is_over(place, self._policy, now)
                if why:
                    changes.events.append(self._told(place, Past(refused=0, answered=0), why, 0, began=False))
                    place.up_since = 0.0
                    place.refusals.clear()  # they spoke for the outage that is over
                continue
            place.forget(now - self._window)
            if not suspicious(place, self._policy):
                continue
            past = await self._past(place, changes, now)
            if not is_outage(past, self._policy):
                continue
            place.up_since = now
            place.last.clear()
            lifted = await self._lift(changes, {address for _, address in place.refusals}, now - self._window)
            why = "nearly everybody is unknown at once"
            changes.events.append(self._told(place, past, why, lifted, began=True))

    async def _past(self, place: Place, changes: FeedbackChanges, now: float) -> Past:
        """Answers of the days before, less what lies in the window."""
        since = day_of(now) - PAST_DAYS
        sums = {}
        for tally in (Tally.DELIVERED, Tally.UNKNOWN):
            stored = sum((await self._store.days(tally, since, place.name)).values())
            fresh = sum(n for (t, name, _), n in changes.days.items() if t is tally and name == place.name)
            sums[tally] = stored + fresh
        good = max(0, sums[Tally.DELIVERED] - len(place.successes))
        bad = max(0, sums[Tally.UNKNOWN] - len(place.refusals))
        return Past(refused=bad, answered=good + bad)

    async def _lift(self, changes: FeedbackChanges, wanted: Iterable[str], since: float) -> int:
        found = await self._suppressions.check(set(wanted) - changes.lift.keys(), "")
        mine = {
            address
            for address, entry in found.items()
            if entry.reason is SuppressionReason.HARD_BOUNCE and entry.stream == "" and entry.at >= since - 1
        }
        changes.lift.update(dict.fromkeys(mine, BY))
        return len(mine)

    def _told(self, place: Place, past: Past, reason: str, lifted: int, *, began: bool) -> OutageChanged:
        return OutageChanged(
            at=self._clock.now(), place=place.name, began=began, refused=len(place.refusals), answered=place.answered,
            past_refused=past.refused, past_answered=past.answered, lifted=lifted, reason=reason,
            samples=tuple(place.samples),
        )  # fmt: skip

    # --- domains that were called unknown ----------------------------------------------------------
    async def _ask_domains(self) -> None:
        if self._resolver is None or self._cursor < 0:
            return
        now = self._clock.now()
        due = await self._store.due(BounceClass.UNKNOWN_DOMAIN, now - _ASK_EVERY)
        changes = FeedbackChanges()
        answers: dict[str, bool | None] = {}
        for record in due:
            domain = record.address.rpartition("@")[2]
            if domain not in answers:
                answers[domain] = await self._missing(domain)
            self._judge(record, answers[domain], now, changes)
        if changes.records:
            try:
                await self._store.commit(self._cursor, self._cursor, changes, now)
            except StorageConflict:
                return

    def _judge(self, record: SoftRecord, missing: bool | None, now: float, changes: FeedbackChanges) -> None:
        key = (record.address, record.kind)
        if missing is None:
            changes.records[key] = replace(record, asked_at=now)
            return
        if not missing:
            changes.records[key] = None  # the name lives: what was said about it was not true, or no longer is
            return
        text = f"our own DNS: {record.address.rpartition('@')[2]} does not exist (NXDOMAIN)"
        failure = soft.Failure(at=now, address=record.address, kind=record.kind, message_id="", text=text, later=False)
        again = soft.failed(replace(record, delivered_at=0.0), failure, forget_after=self._policy.forget_days * DAY)
        changes.records[key] = replace(again, asked_at=now)
        if soft.exhausted(again, soft.limits(self._policy)[record.kind]):
            entry = Suppression(
                address=record.address, stream="", reason=SuppressionReason.HARD_BOUNCE, at=now,
                evidence=soft.evidence(again),
            )  # fmt: skip
            changes.suppress.append((entry, MessageId(record.last_id) if record.last_id else None))
            changes.records[key] = None

    async def _missing(self, domain: str) -> bool | None:
        """True when DNS proves, now, that the name does not exist or takes no mail; None when it does not answer."""
        assert self._resolver is not None
        try:
            await self._resolver.mx(domain)
        except (NameMissing, NullMx):
            return True
        except ResolverFailed:
            return None
        return False

    async def _forget(self) -> None:
        now = self._clock.now()
        if day_of(now) == self._day:
            return
        self._day = day_of(now)
        await self._store.forget(
            records_before=now - self._policy.forget_days * DAY, delivered_before=now - soft.GRACE,
            day_before=day_of(now) - KEPT_DAYS,
        )  # fmt: skip


def guards(events: Sequence[Logged]) -> dict[str, float]:
    """Places whose guard is up after these events (newest first), since when."""
    found: dict[str, float] = {}
    for logged in events:
        event = logged.event
        if isinstance(event, OutageChanged) and event.place not in found:
            found[event.place] = event.at if event.began else 0.0
    return {name: since for name, since in found.items() if since}
