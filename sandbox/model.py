"""The engine behind every emulated provider: one recipient of one sender, judged now.

Contract: pure and deterministic.  No I/O, no clock, no randomness of its own: `now` and `rng` come in, so that the
same calls give the same verdicts.  State is what the provider remembers of each sender (an *identity*: address and
return-path domain): a hidden reputation, today's and the usual volume, and greylisted recipients.
`dump`/`load` carry the standing of senders over a restart as JSON-able data.

Order of judgement, as the field knows it: block, low reputation, volume, greylisting, unknown user, full mailbox, size,
then acceptance into inbox or spam folder.  Mail in the spam folder earns neither complaints nor merit.
"""

from __future__ import annotations

import heapq
import math
import zlib
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, TypeAlias

from core.lane import HOUR, day_of
from core.reply import Reply, Stage, parse_reply
from sandbox.behaviour import Answer, Behaviour
from sandbox.people import Engagement, Person

MAX_GREYLISTED = 20_000


class Situation(StrEnum):
    """Which of the provider's answers was given; names a field of `behaviour.Replies`."""

    GREETING = "greeting"
    ACCEPTED = "accepted"
    UNKNOWN_USER = "unknown_user"
    MAILBOX_FULL = "mailbox_full"
    GREYLISTED = "greylisted"
    RATE_LIMITED = "rate_limited"
    LOW_REPUTATION = "low_reputation"
    BLOCKED = "blocked"
    TOO_LARGE = "too_large"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_MESSAGES = "too_many_messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """What the provider sees of one recipient of one message.  `size` in bytes, 0 when not announced."""

    ip: str
    sender_domain: str  # of the envelope sender
    recipient: str
    person: Person
    size: int = 0

    @property
    def identity(self) -> str:
        return f"{self.ip} {self.sender_domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """The person will press "spam" after so many seconds."""

    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LateBounce:
    """A bounce mail follows after so many seconds, although the session said 250."""

    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Nothing follows."""


Later: TypeAlias = Complaint | LateBounce | Nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the provider answers, where the mail lies (`junk`) and what follows later."""

    situation: Situation
    stage: Stage
    lines: tuple[str, ...]
    closes: bool = False
    junk: bool = False
    later: Later = Nothing()

    @property
    def accepted(self) -> bool:
        return self.situation is Situation.ACCEPTED

    @property
    def reply(self) -> Reply:
        return parse_reply(list(self.lines), self.stage)


@dataclass(slots=True)
class Standing:
    """What the provider remembers of one sender.  `usual` is a decaying peak of daily volume."""

    reputation: float
    day: int
    today: int = 0
    usual: float = 0.0


class ProviderModel:
    """One provider's memory and judgement.  Not thread-safe."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._standings: dict[str, Standing] = {}
        self._greylist: dict[tuple[str, str], float] = {}
        self._resentment: list[tuple[float, str]] = []  # complaints that are still to come, as a heap
        self._serial = 0

    def greet(self, ip: str, open_connections: int) -> Verdict:
        """The first words to a new connection; `open_connections` of that address, without the new one."""
        if open_connections >= self.behaviour.limits.connections:
            return self.answer(Situation.TOO_MANY_CONNECTIONS, ip=ip)
        return self.answer(Situation.GREETING, ip=ip)

    def judge(self, facts: MailFacts, now: float, rng: Random) -> Verdict:
        """The verdict over one recipient of one message.  Counts it."""
        standing = self._standing(facts.identity, now)
        refused = self._refusal(facts, standing, now, rng)
        if refused is not None:
            return self.answer(refused, ip=facts.ip, recipient=facts.recipient)
        standing.today += 1
        later: Later = Nothing()
        if not facts.person.exists:
            self._move_down(standing, self.behaviour.reputation.unknown_user)
            if rng.random() >= self.behaviour.bounces.late_share:
                return self.answer(Situation.UNKNOWN_USER, ip=facts.ip, recipient=facts.recipient)
            later = LateBounce(after=self.behaviour.bounces.late_hours * HOUR * rng.uniform(0.5, 2))
            return self.answer(Situation.ACCEPTED, ip=facts.ip, recipient=facts.recipient, later=later)
        if facts.person.full:
            return self.answer(Situation.MAILBOX_FULL, ip=facts.ip, recipient=facts.recipient)
        if facts.size > self.behaviour.limits.max_size:
            return self.answer(Situation.TOO_LARGE, ip=facts.ip, recipient=facts.recipient)
        junk = rng.random() < self.junk_share(standing.reputation)
        if not junk:
            if facts.person.engagement is Engagement.ENGAGED:
                self._move_up(standing, self.behaviour.reputation.wanted)
            later = self._complaint(facts, now, rng)
        return self.answer(Situation.ACCEPTED, ip=facts.ip, recipient=facts.recipient, junk=junk, later=later)

    def junk_share(self, reputation: float) -> float:
        """Share of a sender's mail that goes to the spam folder."""
        habit = self.behaviour.reputation
        return 1 / (1 + math.exp(max(-60.0, min(60.0, (reputation - habit.junk_below) / habit.junk_width))))

    def reputation(self, ip: str, sender_domain: str, now: float) -> float:
        """The hidden value, for tests and for the truth in a simulation's report."""
        return self._standing(f"{ip} {sender_domain}", now).reputation

    def answer(
        self,
        situation: Situation,
        *,
        ip: str = "",
        recipient: str = "",
        junk: bool = False,
        later: Later | None = None,
    ) -> Verdict:
        """The provider's own words for a situation."""
        spoken: Answer = getattr(self.behaviour.replies, situation.value)
        self._serial += 1
        words = {
            "ip": ip,
            "recipient": recipient,
            "domain": recipient.rpartition("@")[2],
            "host": self.behaviour.mx[0],
            "id": f"{zlib.crc32(f'{self.behaviour.name}{self._serial}'.encode()):08x}{self._serial:05d}",
        }
        return Verdict(
            situation=situation,
            stage=spoken.stage,
            lines=tuple(line.format_map(words) for line in spoken.lines),
            closes=spoken.closes,
            junk=junk,
            later=later or Nothing(),
        )

    def dump(self) -> dict[str, Any]:
        """The standing of every sender, JSON-able."""
        return {k: [s.reputation, s.day, s.today, s.usual] for k, s in self._standings.items()}

    def load(self, stored: dict[str, Any]) -> None:
        """Take up what `dump` gave."""
        for identity, (reputation, day, today, usual) in stored.items():
            self._standings[identity] = Standing(float(reputation), int(day), int(today), float(usual))

    def _refusal(self, facts: MailFacts, standing: Standing, now: float, rng: Random) -> Situation | None:
        habit, volume = self.behaviour.reputation, self.behaviour.volume
        if standing.reputation < habit.block_below:
            return Situation.BLOCKED
        if standing.reputation < habit.defer_below:
            depth = (habit.defer_below - standing.reputation) / (habit.defer_below - habit.block_below)
            if rng.random() < depth:
                return Situation.LOW_REPUTATION
        # only mail that got through counts into today's volume: a sender that retries is not punished twice
        excess = (standing.today + 1) / max(volume.floor, volume.tolerance * standing.usual) - 1
        if excess > 0:
            self._move_down(standing, habit.burst)
            if rng.random() < min(0.95, 4 * excess):
                return Situation.RATE_LIMITED
        if self._greylists(facts, now):
            return Situation.GREYLISTED
        return None

    def _greylists(self, facts: MailFacts, now: float) -> bool:
        habit = self.behaviour.greylisting
        if zlib.crc32(facts.recipient.encode()) % 1000 >= habit.share * 1000:
            return False
        key = (facts.identity, facts.recipient)
        if key not in self._greylist:
            if len(self._greylist) >= MAX_GREYLISTED:
                self._greylist.pop(next(iter(self._greylist)))
            self._greylist[key] = now
            return True
        return now < self._greylist[key] + habit.minutes * 60

    def _complaint(self, facts: MailFacts, now: float, rng: Random) -> Later:
        habit = self.behaviour.complaints
        if rng.random() >= (habit.annoyed if facts.person.annoyed else getattr(habit, facts.person.engagement)):
            return Nothing()
        hours = min(habit.delay_max_hours, habit.delay_median_hours * rng.lognormvariate(0.0, habit.delay_spread))
        heapq.heappush(self._resentment, (now + hours * HOUR, facts.identity))
        return Complaint(after=hours * HOUR)

    def _standing(self, identity: str, now: float) -> Standing:
        while self._resentment and self._resentment[0][0] <= now:
            _, resented = heapq.heappop(self._resentment)
            self._move_down(self._roll(resented, now), self.behaviour.reputation.complaint)
        return self._roll(identity, now)

    def _roll(self, identity: str, now: float) -> Standing:
        day, habit = day_of(now), self.behaviour.reputation
        standing = self._standings.get(identity)
        if standing is None:
            standing = self._standings[identity] = Standing(habit.start, day)
        if day > standing.day:
            days = day - standing.day
            standing.usual = max(standing.today, standing.usual * self.behaviour.volume.memory) * (
                self.behaviour.volume.memory ** (days - 1)
            )
            healed = 1 - (1 - habit.heal_per_day) ** days
            standing.reputation += (habit.start - standing.reputation) * healed
            standing.day, standing.today = day, 0
        return standing

    def _weight(self, standing: Standing) -> float:
        return 1 / max(self.behaviour.reputation.floor_volume, standing.usual, standing.today)

    def _move_up(self, standing: Standing, by: float) -> None:
        standing.reputation += (1 - standing.reputation) * min(1.0, by * self._weight(standing))

    def _move_down(self, standing: Standing, by: float) -> None:
        standing.reputation *= math.exp(-by * self._weight(standing))
