"""The story of the sandbox: steady mail, a growing newsletter, and two mistakes of the marketing department.

Contract: `step(now)` injects what is due and returns; `run` calls it every few domain minutes.  The story is data
(`sandbox/data/scenario.toml`, schema below).  It follows the sender's own pace: a provider gets as much newsletter as
it took yesterday, times the growth, less what still waits; an incident goes on only while its mail is really being
tried, so that a closed gate ends it (for good, after some hours) instead of piling up.
`dump`/`load` carry the position over a restart.
When the service cannot take mail (Unavailable) the step ends, and the next one tries again.
"""

from __future__ import annotations

import logging
import tomllib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from random import Random
from typing import Any, Literal

from pydantic import Field

from config.model import Part
from core.clock import iso
from core.errors import Unavailable
from core.lane import DAY, HOUR, day_of
from core.ports import Clock
from sandbox.audience import Audience
from sandbox.host import Judged

STEP_SECONDS = 300.0
GIVE_UP_AFTER = 3 * HOUR  # an incident whose mail is not tried any more was stopped: somebody noticed
FORGET_AFTER = 2 * DAY  # mail that was never tried by then was refused or suppressed
_log = logging.getLogger(__name__)


class Newsletter(Part):
    """The daily campaign; `start` and `target` are recipients a day by provider."""

    stream: str
    hour: float = Field(ge=0, lt=24)
    chunk: int = Field(ge=1, le=5000)
    growth: float = Field(gt=1)
    start: dict[str, int]
    target: dict[str, int]
    subject: str
    text: str
    html: str = ""


class Steady(Part):
    """Mail in small portions all day, to engaged people of every provider."""

    name: str
    stream: str
    every_minutes: float = Field(gt=0)
    recipients: int = Field(ge=1)
    subject: str
    text: str


class Incident(Part):
    """A campaign that should not have been; see the data file."""

    name: str
    list: Literal["lapsed", "bought"]
    provider: str
    stream: str
    day: int = Field(ge=0)
    hour: float = Field(ge=0, lt=24)
    lasts_hours: float = Field(gt=0)
    every_days: int = Field(ge=1)
    size: int = Field(ge=1)
    chunk: int = Field(ge=1)
    newsletter_share: float = Field(1.0, ge=0, le=1)
    subject: str
    text: str


class Story(Part):
    sender: str
    service_sender: str
    newsletter: Newsletter
    steady: list[Steady]
    incidents: list[Incident]


def shipped_story() -> Story:
    """The story of `make run`."""
    return Story.model_validate(tomllib.loads((files("sandbox") / "data" / "scenario.toml").read_text("utf-8")))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioMail:
    """One injection: the same text to all `recipients`."""

    stream: str
    campaign: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    html: str = ""


Inject = Callable[[ScenarioMail], Awaitable[None]]


class _Running:
    """An incident under way: what is left to inject and what was injected but not tried."""

    def __init__(self, started: float, left: deque[str]) -> None:
        self.started = started
        self.left = left
        self.untried: set[str] = set()
        self.tried_at = 0.0  # when mail of it was last tried, 0 before the first


class Scenario:
    """Plays one story.  `seeds` are seed mailboxes by provider: they get the newsletter like everybody."""

    def __init__(
        self,
        story: Story,
        *,
        audience: Audience,
        clock: Clock,
        inject: Inject,
        seed: int,
        seeds: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._story = story
        self._audience = audience
        self._clock = clock
        self._inject = inject
        self._seed = seed
        self._seeds = dict(seeds or {})
        self._first_day = -1
        self._letter_day = -1
        self._due: dict[str, float] = {}
        self._place: dict[str, int] = {}
        self._queue: deque[ScenarioMail] = deque()
        self._running: dict[str, _Running] = {}
        self._done: dict[str, int] = {}
        self._waiting: dict[str, dict[str, float]] = {name: {} for name in story.newsletter.start}
        self._tried: dict[str, dict[int, int]] = {}

    async def run(self) -> None:
        """Play for ever."""
        while True:
            await self.step(self._clock.now())
            await self._clock.sleep(STEP_SECONDS)

    async def step(self, now: float) -> None:
        """Inject what is due at `now`."""
        if self._first_day < 0:
            self._first_day = day_of(now)
        try:
            await self._steady(now)
            self._letters(now)
            while self._queue:
                await self._send(self._queue[0], now)
                self._queue.popleft()
            for incident in self._story.incidents:
                await self._incident(incident, now)
        except Unavailable as error:
            _log.info("the service takes no mail for now: %s", error)

    def observe(self, judged: Judged) -> None:
        """A provider judged a recipient: that mail no longer waits."""
        days = self._tried.setdefault(judged.provider, {})
        day = day_of(judged.at)
        days[day] = days.get(day, 0) + 1
        for old in [d for d in days if d < day - 1]:
            del days[old]
        self._waiting.setdefault(judged.provider, {}).pop(judged.recipient, None)
        for running in self._running.values():
            if judged.recipient in running.untried:
                running.untried.discard(judged.recipient)
                running.tried_at = judged.at

    def dump(self) -> dict[str, Any]:
        """The position in the story, JSON-able."""
        return {
            "first_day": self._first_day,
            "letter_day": self._letter_day,
            "due": self._due,
            "place": self._place,
            "done": self._done,
            "running": {name: [r.started, len(r.left)] for name, r in self._running.items()},
            "tried": {name: {str(d): n for d, n in days.items()} for name, days in self._tried.items()},
        }

    def load(self, stored: Mapping[str, Any]) -> None:
        """Take up what `dump` gave."""
        self._first_day = int(stored["first_day"])
        self._letter_day = int(stored["letter_day"])
        self._due = {k: float(v) for k, v in stored["due"].items()}
        self._place = {k: int(v) for k, v in stored["place"].items()}
        self._done = {k: int(v) for k, v in stored["done"].items()}
        self._tried = {k: {int(d): int(n) for d, n in days.items()} for k, days in stored["tried"].items()}
        for incident in self._story.incidents:
            if incident.name in stored["running"]:
                started, left = stored["running"][incident.name]
                addresses = self._addresses(incident, self._done.get(incident.name, 0))
                self._running[incident.name] = _Running(started, deque(addresses[len(addresses) - left :]))

    async def _send(self, mail: ScenarioMail, now: float) -> None:
        await self._inject(mail)
        _log.debug("injected %s %s: %d", mail.stream, mail.campaign, len(mail.recipients))

    async def _steady(self, now: float) -> None:
        for steady in self._story.steady:
            due = self._due.setdefault(steady.name, now)
            # after a long stop only the newest portion is sent: nobody wants a week of receipts at once
            if now < due:
                continue
            # drawn anew from the portion's own time: the same people after a restart
            rng = Random(f"{self._seed} {steady.name} {due}")
            recipients = tuple(dict.fromkeys(self._someone(rng) for _ in range(steady.recipients)))
            mail = ScenarioMail(
                stream=steady.stream,
                campaign="",
                sender=self._story.service_sender,
                recipients=recipients,
                subject=steady.subject,
                text=steady.text,
            )
            await self._send(mail, now)
            self._due[steady.name] = max(due + steady.every_minutes * 60, now)

    def _someone(self, rng: Random) -> str:
        letter = self._story.newsletter
        provider = rng.choices(list(letter.start), list(letter.start.values()))[0]
        readers = self._audience.readers(provider)
        return readers[rng.randrange(max(1, len(readers) // 2))]  # the first half: engaged ones

    def _letters(self, now: float) -> None:
        letter, day = self._story.newsletter, day_of(now)
        if self._letter_day >= day or now < day * DAY + letter.hour * HOUR:
            return
        self._letter_day = day
        campaign = f"letter-{iso(now)[5:10]}"
        for provider in letter.start:
            recipients = [*self._seeds.get(provider, []), *self._readers_of(provider, now)]
            waiting = self._waiting.setdefault(provider, {})
            waiting.update(dict.fromkeys(recipients, now))
            for at in range(0, len(recipients), letter.chunk):
                self._queue.append(
                    ScenarioMail(
                        stream=letter.stream,
                        campaign=campaign,
                        sender=self._story.sender,
                        recipients=tuple(recipients[at : at + letter.chunk]),
                        subject=letter.subject,
                        text=letter.text,
                        html=letter.html,
                    )
                )

    def _readers_of(self, provider: str, now: float) -> list[str]:
        """Today's readers at one provider: everybody in turn, as many as the sender's pace allows."""
        letter, day = self._story.newsletter, day_of(now)
        waiting = self._waiting.setdefault(provider, {})
        for address in [a for a, at in waiting.items() if at < now - FORGET_AFTER]:
            del waiting[address]
        yesterday = self._tried.get(provider, {}).get(day - 1, 0)
        wish = min(letter.target[provider], max(letter.start[provider], int(yesterday * letter.growth)))
        # the pace is that of all mail: what goes out in small portions is part of it
        share = letter.start[provider] / sum(letter.start.values())
        wish -= int(share * sum(s.recipients * 1440 / s.every_minutes for s in self._story.steady))
        for incident in self._story.incidents:
            if incident.provider == provider and self._occurs(incident, day):
                wish = int(wish * incident.newsletter_share)
        readers = self._audience.readers(provider)
        count = max(0, min(wish - len(waiting), len(readers)))
        place = self._place.get(provider, 0)
        self._place[provider] = (place + count) % max(1, len(readers))
        return [readers[(place + n) % len(readers)] for n in range(count)]

    def _occurs(self, incident: Incident, day: int) -> bool:
        since = day - self._first_day - incident.day
        return since >= 0 and since % incident.every_days == 0

    def _addresses(self, incident: Incident, occurrence: int) -> list[str]:
        return self._audience.listed(incident.list, incident.provider, occurrence, incident.size)

    async def _incident(self, incident: Incident, now: float) -> None:
        running = self._running.get(incident.name)
        if running is None:
            occurrence = (day_of(now) - self._first_day - incident.day) // incident.every_days
            begins = day_of(now) * DAY + incident.hour * HOUR
            over = begins + incident.lasts_hours * HOUR
            if not self._occurs(incident, day_of(now)) or not begins <= now < over:
                return
            if self._done.get(incident.name, -1) >= occurrence:
                return
            running = _Running(now, deque(self._addresses(incident, occurrence)))
            self._running[incident.name] = running
            self._done[incident.name] = occurrence
        stopped = 0 < running.tried_at < now - GIVE_UP_AFTER and running.untried
        if not running.left or stopped or now > running.started + incident.lasts_hours * HOUR:
            del self._running[incident.name]
            return
        if len(running.untried) > incident.chunk // 3:
            return
        chunk = tuple(running.left[n] for n in range(min(incident.chunk, len(running.left))))
        mail = ScenarioMail(
            stream=incident.stream,
            campaign=f"{incident.name}-{iso(running.started)[5:10]}",
            sender=self._story.sender,
            recipients=chunk,
            subject=incident.subject,
            text=incident.text,
        )
        running.untried.update(chunk)
        try:
            await self._send(mail, now)
        except Unavailable:
            running.untried.difference_update(chunk)
            raise
        for _ in chunk:
            running.left.popleft()
