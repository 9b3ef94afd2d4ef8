"""Watches blocklists for the addresses of our sources and for our sending domains.

Contract: `look()` asks each trusted zone once an interval about each subject, within the zone's daily budget, and
appends a ListingChanged event for every change.  A zone is trusted only after its self-test: what must be listed is,
what must not be is not (RFC 5782 section 5); until then, and after a failure, everything there is Unknown: what was
listed stays listed, nothing becomes listed, and the zone counts as blind.  The state lies in Meta, so a restart asks
nothing twice.  Events are appended before the state is stored: after a crash between the two an event may stand twice.

A subject with the value '' stands for a source whose addresses cannot be known now: what was known of it is kept.
`ask` gives the A records of a name, raising NameMissing or ResolverFailed.  Keys of zones never reach a text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from collectors.dns.listings import META, Health, Ledger, Mark, read
from collectors.dns.zones import Answer, Clean, Listed, Subject, Unknown, Zone, read_answer
from core.events import Event, ListingChanged
from core.lane import day_of
from core.ports import Clock, EventLog, Meta, NameMissing, ResolverFailed

Ask = Callable[[str], Awaitable[list[str]]]
Subjects = Callable[[], Awaitable[list[Subject]]]
MAX_TEXT = 300
RETRY_SECONDS = 300.0  # a blind zone is tested again after so long, at the earliest


class ListingWatch:
    """See the module.  `interval` in domain seconds; `texts` gives the TXT records of a name."""

    def __init__(
        self,
        *,
        zones: Sequence[Zone],
        subjects: Subjects,
        ask: Ask,
        texts: Ask,
        log: EventLog,
        meta: Meta,
        clock: Clock,
        interval: float,
    ) -> None:
        self._zones = tuple(zones)
        self._subjects = subjects
        self._ask = ask
        self._texts = texts
        self._log = log
        self._meta = meta
        self._clock = clock
        self._interval = interval

    async def ledger(self) -> Ledger:
        """What is known, as last stored by whichever node looks."""
        return read(await self._meta.get(META))

    async def look(self) -> Ledger:
        """Ask what is due, tell what changed, and store it."""
        now = self._clock.now()
        known = await self.ledger()
        subjects = _with_remembered(await self._subjects(), known)
        events = _forget(known, self._zones, subjects, now)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._zone(zone, subjects, known, now)) for zone in self._zones]
        for task in tasks:
            events += task.result()
        if events:
            await self._log.append(events)
        await self._meta.put(META, known.dump())
        return known

    async def _zone(self, zone: Zone, subjects: Sequence[Subject], known: Ledger, now: float) -> list[Event]:
        mine = [subject for subject in subjects if zone.takes(subject)]
        health = known.health(zone.label)
        if health.day != day_of(now):
            health.day, health.queries = day_of(now), 0
        due = [s for s in mine if now - known.mark(s.kind, s.name, s.value, zone.label).asked >= self._interval]
        if not due or not await self._trusted(zone, health, now):
            return []
        events: list[Event] = []
        answers: dict[str, Answer] = {}  # two sources may share an address
        for subject in due:
            if subject.value not in answers:
                answers[subject.value] = await self._look_up(zone, subject.value, health)
            answer = answers[subject.value]
            mark = known.mark(subject.kind, subject.name, subject.value, zone.label)
            mark.delist = zone.row.delist
            match answer:
                case Unknown(reason):
                    _blind(health, reason, now)
                    break
                case Listed():
                    events += await self._listed(zone, mark, answer, health, now)
                case Clean():
                    events += _clean(mark, now)
        return events

    async def _trusted(self, zone: Zone, health: Health, now: float) -> bool:
        wait = min(self._interval, RETRY_SECONDS) if health.blind_since else self._interval
        if now - health.tested < wait:
            return not health.blind_since
        health.tested = now
        problem = await self._self_test(zone, health)
        if problem:
            _blind(health, problem, now)
            return False
        health.blind_since, health.problem = 0.0, ""
        return True

    async def _self_test(self, zone: Zone, health: Health) -> str:
        """'' when the zone lists what it must and nothing else."""
        must, must_not = zone.tests
        for value, wanted in ((must, Listed), (must_not, Clean)):
            answer = await self._look_up(zone, value, health)
            if isinstance(answer, Unknown):
                return answer.reason
            if not isinstance(answer, wanted):
                return f"it lists {value}, so it lists everything" if wanted is Clean else f"it does not list {value}"
        return ""

    async def _look_up(self, zone: Zone, value: str, health: Health) -> Answer:
        if health.queries >= zone.row.max_queries_per_day:
            return Unknown("the day's query budget is spent")
        health.queries += 1
        try:
            addresses = await self._ask(zone.query(value))
        except NameMissing:
            return Clean()
        except ResolverFailed as error:
            return Unknown(zone.hidden(str(error))[:MAX_TEXT])
        return read_answer(zone.row, addresses)

    async def _listed(self, zone: Zone, mark: Mark, answer: Listed, health: Health, now: float) -> list[Event]:
        news = not mark.listed or mark.codes != list(answer.codes)
        mark.asked, mark.codes, mark.weight = now, list(answer.codes), answer.weight
        if not mark.listed:
            mark.since = now
        if not news:
            return []
        mark.text = answer.text
        if health.queries < zone.row.max_queries_per_day:
            health.queries += 1
            mark.text = f"{answer.text}. {await self._said(zone, mark.subject)}".rstrip(". ")
        return [_event(mark, now, listed=True)]

    async def _said(self, zone: Zone, value: str) -> str:
        """The zone's own words about a listing."""
        try:
            texts = await self._texts(zone.query(value))
        except (NameMissing, ResolverFailed):
            return ""
        return zone.hidden(" ".join(" ".join(texts[:3]).split()))[:MAX_TEXT]


def _with_remembered(subjects: Sequence[Subject], known: Ledger) -> list[Subject]:
    """Sources whose addresses cannot be known now keep those that they had: ignorance ends no listing."""
    unknown = {(subject.kind, subject.name) for subject in subjects if not subject.value}
    remembered = {
        Subject(kind=mark.kind, name=mark.name, value=mark.subject)
        for mark in known.marks.values()
        if (mark.kind, mark.name) in unknown
    }
    return [*(s for s in subjects if s.value), *sorted(remembered, key=lambda s: (s.name, s.value))]


def _clean(mark: Mark, now: float) -> list[Event]:
    was = mark.listed
    event = _event(mark, now, listed=False)
    mark.asked, mark.since, mark.codes, mark.text, mark.weight = now, 0.0, [], "", "warn"
    return [event] if was else []


def _blind(health: Health, reason: str, now: float) -> None:
    health.problem = reason
    health.tested = now
    if not health.blind_since:
        health.blind_since = now


def _event(mark: Mark, now: float, *, listed: bool) -> ListingChanged:
    return ListingChanged(
        at=now, kind=mark.kind, name=mark.name, subject=mark.subject, zone=mark.zone, listed=listed,
        codes=tuple(mark.codes), text=mark.text,
    )  # fmt: skip


def _forget(known: Ledger, zones: Sequence[Zone], subjects: Sequence[Subject], now: float) -> list[Event]:
    """Drop zones and subjects that are watched no more; a listing of theirs ends by that."""
    labels = {zone.label for zone in zones}
    for label in known.zones.keys() - labels:
        del known.zones[label]
    wanted = {(subject.kind, subject.name, subject.value) for subject in subjects}
    events: list[Event] = []
    for key, mark in list(known.marks.items()):
        if mark.zone in labels and (mark.kind, mark.name, mark.subject) in wanted:
            continue
        if mark.listed:
            mark.text = "it is not watched any more"
            events.append(_event(mark, now, listed=False))
        del known.marks[key]
    return events
