"""The providers' engine by the handful: what `sandbox.model` decides message by message, drawn for many at once.

Contract: the same behaviour file, the same audience and incidents, the same order of judgement and the same movement
of reputation as sandbox.model, for one sender; only the dice are thrown for a handful in place of each message.  A
handful is small against the day's usual volume (`PART`), so that what it moves is small.  `attempt` stops at the first
refusal that a sender rests after (rate, reputation, block), as the sender's own rest would.  Pure: `now` and the
random numbers come in.  `tests/sim/test_volume.py` shows that both engines agree.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from random import Random

from core.lane import DAY, HOUR, day_of
from sandbox.behaviour import Behaviour
from sandbox.model import Situation
from sandbox.simulated import SimulationModel

PART = 0.05  # of the usual volume: the largest handful
CALM_PART = 0.25  # where reputation is far above every border: it moves no mail then, and its own movement is exact
CALM_WIDTHS = 8  # so many widths above the border of the spam folder
RATE_PART = 0.01  # of the tolerated volume, where it is exceeded: the chance of a refusal changes quickly there


@dataclass(slots=True, kw_only=True)
class Handful:
    """What became of the attempts.  `refused` is the refusal that ended it; its message is in none of the sums."""

    accepted: int = 0
    inboxed: int = 0
    junked: int = 0
    bounced: int = 0  # unknown users, refused at once
    late: int = 0  # unknown users, accepted first
    greylisted: int = 0
    complaints: int = 0
    refused: Situation | None = None

    @property
    def tried(self) -> int:
        """Attempts made."""
        return self.accepted + self.bounced + self.greylisted + (self.refused is not None)


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Who gets one day's mail: shares of all, of the living, of the calm living; a complaint's chance."""

    dead: float
    annoyed: float
    engaged: float
    complaint: float


@dataclass(slots=True)
class VolumeProvider:
    """One sender's standing with one provider.  `reports` are instants of complaint reports with their mail's tag."""

    model: SimulationModel
    behaviour: Behaviour
    start: float
    rng: Random
    reputation: float = 0.0
    today: int = 0
    usual: float = 0.0
    reports: list[tuple[float, int, int]] = field(default_factory=list)  # (at, campaign day, cohort), a heap
    returns: list[tuple[float, int, int]] = field(default_factory=list)  # late bounces, likewise
    _day: int = -1
    _resentment: list[float] = field(default_factory=list)
    _crowds: dict[int, _Crowd] = field(default_factory=dict)

    def attempt(self, n: int, now: float, campaign: int, cohort: int, *, first: bool = True) -> Handful:
        """Try up to `n` messages of one day's campaign, first or further attempts."""
        found = Handful()
        self._roll(now)
        habit, volume = self.behaviour.reputation, self.behaviour.volume
        share, junked = self._incidents(now)
        while n > 0:
            if share > 1:
                found.refused = Situation.BLOCKED
                return found
            if self.reputation < habit.block_below:
                found.refused = Situation.BLOCKED
                return found
            low = 0.0
            if self.reputation < habit.defer_below:
                low = (habit.defer_below - self.reputation) / (habit.defer_below - habit.block_below)
            limit = max(volume.floor, volume.tolerance * self.usual)
            weight = self._weight()
            calm = self.reputation > habit.junk_below + CALM_WIDTHS * habit.junk_width and not low
            part = max(1, min(n, int((CALM_PART if calm else PART) / weight)))
            excess = (self.today + 1) / limit - 1
            over = min(0.95, 4 * excess) if excess > 0 else 0.0
            if over:
                part = min(part, max(1, int(RATE_PART * limit)))
            elif self.today + part >= limit:
                part = max(1, min(part, int(limit - self.today)))
            passed, refused = self._run(part, share, low, over)
            tried = passed + (refused is not None)
            if over:
                self.reputation *= math.exp(-habit.burst * weight * tried)
            self._judge(passed, now, campaign, cohort, junked, first, found)
            n -= tried
            if refused is not None:
                found.refused = refused
                return found
        return found

    def junk_share(self, now: float) -> float:
        """Share of mail that goes to the spam folder now."""
        self._roll(now)
        habit = self.behaviour.reputation
        own = 1 / (1 + math.exp(max(-60.0, min(60.0, (self.reputation - habit.junk_below) / habit.junk_width))))
        return max(own, self._incidents(now)[1])

    def _run(self, part: int, share: float, low: float, over: float) -> tuple[int, Situation | None]:
        """How many of `part` pass before the first refusal, and which it is."""
        passing = (1 - share) * (1 - low) * (1 - over)
        if passing >= 1:
            return part, None
        passed = int(math.log(max(1e-300, self.rng.random())) / math.log(max(1e-300, passing)))
        if passed >= part:
            return part, None
        draw = self.rng.random() * (1 - passing)
        if draw >= share and draw < share + (1 - share) * low:
            return passed, Situation.LOW_REPUTATION
        return passed, Situation.RATE_LIMITED

    def _judge(
        self, n: int, now: float, campaign: int, cohort: int, junk_incident: float, first: bool, found: Handful
    ) -> None:
        habit, rng = self.behaviour.reputation, self.rng
        grey = draw(n, self.behaviour.greylisting.share, rng) if first else 0
        found.greylisted += grey
        n -= grey
        if n <= 0:
            return
        self.today += n
        weight = self._weight()
        crowd = self._crowds.get(campaign)
        if crowd is None:
            crowd = self._crowds[campaign] = self._crowd(campaign)
        dead = draw(n, crowd.dead, rng)
        if dead:
            self.reputation *= math.exp(-habit.unknown_user * weight * dead)
            late = draw(dead, self.behaviour.bounces.late_share, rng)
            found.bounced += dead - late
            found.late += late
            found.accepted += late
            for _ in range(late):
                after = self.behaviour.bounces.late_hours * HOUR * rng.uniform(0.5, 2)
                heapq.heappush(self.returns, (now + after, campaign, cohort))
        alive = n - dead
        own = 1 / (1 + math.exp(max(-60.0, min(60.0, (self.reputation - habit.junk_below) / habit.junk_width))))
        junked = draw(alive, max(own, junk_incident), rng)
        inboxed = alive - junked
        found.accepted += alive
        found.junked += junked
        found.inboxed += inboxed
        if not inboxed:
            return
        annoyed = draw(inboxed, crowd.annoyed, rng) if crowd.annoyed else 0
        wanted = (inboxed - annoyed) * crowd.engaged
        gain = min(1.0, habit.wanted * weight)
        self.reputation = 1 - (1 - self.reputation) * (1 - gain) ** wanted
        habits = self.behaviour.complaints
        angry = draw(inboxed - annoyed, crowd.complaint, rng) + (draw(annoyed, habits.annoyed, rng) if annoyed else 0)
        found.complaints += angry
        for _ in range(angry):
            hours = min(
                habits.delay_max_hours, habits.delay_median_hours * rng.lognormvariate(0.0, habits.delay_spread)
            )
            heapq.heappush(self._resentment, now + hours * HOUR)
            if habits.form != "none":
                heapq.heappush(self.reports, (now + hours * HOUR, campaign, cohort))

    def _crowd(self, campaign: int) -> _Crowd:
        people, habits = self.model.people(campaign), self.behaviour.complaints
        whole = people.engaged + people.casual + people.sleeping
        mixed = people.engaged * habits.engaged + people.casual * habits.casual + people.sleeping * habits.sleeping
        return _Crowd(
            dead=people.dead, annoyed=people.annoyed / max(1e-9, 1 - people.dead), engaged=people.engaged / whole,
            complaint=mixed / whole,
        )  # fmt: skip

    def _incidents(self, now: float) -> tuple[float, float]:
        """(share that is put off, 2 for all blocked; share silently junked) of the day."""
        share, junked = 0.0, 0.0
        if not self.model.incidents:
            return share, junked
        day = int((now - self.start) // DAY) + 1
        for incident in self.model.incidents:
            if incident.kind == "audience" or not incident.active(day):
                continue
            if incident.kind == "blocklisted":
                return 2.0, junked
            if incident.kind == "junk":
                junked = max(junked, incident.share)
            else:
                share = 1 - (1 - share) * (1 - incident.share)
        return share, junked

    def _roll(self, now: float) -> None:
        habit, memory = self.behaviour.reputation, self.behaviour.volume.memory
        while self._resentment and self._resentment[0] <= now:
            self._to_day(day_of(heapq.heappop(self._resentment)), memory)
            self.reputation *= math.exp(-habit.complaint * self._weight())
        self._to_day(day_of(now), memory)

    def _to_day(self, day: int, memory: float) -> None:
        habit = self.behaviour.reputation
        if self._day < 0:
            self.reputation, self._day = habit.start, day
        if day > self._day:
            days = day - self._day
            self.usual = max(self.today, self.usual * memory) * memory ** (days - 1)
            self.reputation += (habit.start - self.reputation) * (1 - (1 - habit.heal_per_day) ** days)
            self._day, self.today = day, 0

    def _weight(self) -> float:
        return 1 / max(self.behaviour.reputation.floor_volume, self.usual, self.today)


def draw(n: int, p: float, rng: Random) -> int:
    """A binomial number: exact for few, Poisson for rare, normal for many."""
    if n <= 0 or p <= 0:
        return 0
    if p >= 1:
        return n
    mean = n * p
    if p < 0.1 and mean < 15:
        limit, count, product = math.exp(-mean), 0, rng.random()
        while product > limit:
            count += 1
            product *= rng.random()
        return min(n, count)
    if n <= 12:
        return sum(rng.random() < p for _ in range(n))
    if p > 0.9:
        return n - draw(n, 1 - p, rng)
    return max(0, min(n, round(rng.gauss(mean, math.sqrt(mean * (1 - p))))))
