"""The simulation by the handful: weeks of any volume in some hundredths of a second (`penstock simulate --fast`).

Contract: admission, steps, controller, retry schedule, the rest after trouble, rules and guard are those of the
service; providers answer by handfuls (sandbox.volume), and the queue is counts.  Looks are taken every two hours,
at the end of each rest and of each day.  Each provider is simulated by itself: a rule that joins providers sees one.
What it costs hangs on the days and the trouble, not on the volume.  Result and truth are those of service.simulate.
"""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from config.reactions import load_retries
from config.replies import shipped_classifier
from config.tables import Plan, Rule
from core.classify import BounceClass, Group
from core.decision import Admit
from core.events import GateChanged, StepChanged
from core.lane import DAY, HOUR, cohort_of, day_of
from core.metrics import Metric
from core.state import Snapshot, StepState
from sandbox.behaviour import Behaviour
from sandbox.model import ProviderModel, Situation
from sandbox.simulated import SimulationModel
from sandbox.volume import VolumeProvider, draw
from sender.schedule import CALM, LaneRest, RetrySchedule
from sender.trouble import Outcome, Stops, judge
from service.simulate import SEEDS, SETTINGS, SOURCE, START, STREAM, Request, lane_of
from service.simulated_judges import Judges, traffic_of
from service.simulated_truth import Result, Truth
from warmup.admission import GateAdmission, lane_key
from warmup.figures import DayFigures, figures_of
from warmup.judge import first_step, next_step, within_day
from warmup.words import Closing, closings_of

_RETRIES = load_retries(SETTINGS)
LOOK = 2 * HOUR
LAST_LOOK = DAY - 150.0  # of a day, within its window: else a twelfth of each cap would never be used
Days = dict[int, dict[str, int]]
_COLUMN = {Situation.RATE_LIMITED: "limited", Situation.LOW_REPUTATION: "low", Situation.BLOCKED: "blocked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one of a provider's refusals means to the sender: by its own words, its own classifier."""

    deferred: bool
    stops: Stops
    bounce_class: BounceClass
    group: Group


@dataclass(slots=True, order=True)
class _Again:
    """Messages to be tried again."""

    at: float
    campaign: int
    cohort: int
    n: int
    attempts: int
    expires: float


def simulate_fast(request: Request) -> Result:
    """Run it, provider by provider."""
    truth = Truth(request.models, {m.provider: m.built() for m in request.models}, START)
    moves: list[GateChanged | StepChanged] = []
    weights = sum(model.weight for model in request.models)
    for model in request.models:
        daily = round(request.daily * model.weight / weights)
        lane = FastLane(request.plan, request.rules, model, daily, f"{request.seed} {model.name}", truth)
        for day in range(request.days):
            lane.day(day)
        moves += lane.moves
    rules = {rule.name: rule for rule in request.rules}
    moves.sort(key=lambda move: move.at)
    return truth.result(moves, rules, days=request.days, daily=request.daily)


@lru_cache(maxsize=64)
def built(name: str, text: str) -> Behaviour:
    """A model's behaviour, made once for many runs."""
    return SimulationModel.model_validate_json(text).built()


def said_by(model: SimulationModel, behaviour: Behaviour) -> dict[Situation, _Said]:
    """What the refusals of a model mean."""
    voice = ProviderModel(behaviour)
    found = {}
    for situation in (
        Situation.RATE_LIMITED, Situation.LOW_REPUTATION, Situation.BLOCKED, Situation.GREYLISTED,
        Situation.UNKNOWN_USER,
    ):  # fmt: skip
        reply = voice.answer(situation, ip=SOURCE, recipient="somebody@example.net").reply
        diagnosis = shipped_classifier().classify(reply, model.provider)
        verdict = judge(reply, diagnosis)
        found[situation] = _Said(
            deferred=verdict.outcome is Outcome.DEFERRED, stops=verdict.stops,
            bounce_class=diagnosis.bounce_class, group=diagnosis.group,
        )  # fmt: skip
    return found


class FastLane:
    """One lane with one provider.  `sums` are (day, provider) → the columns of simulated_truth.DayRow."""

    def __init__(
        self,
        plan: Plan,
        rules: Sequence[Rule],
        model: SimulationModel,
        daily: int,
        seed: str,
        truth: Truth | None = None,
    ) -> None:
        self._plan = plan.model_copy(update={"sources": [], "sending_domains": []})
        self._model, self._daily, self._truth = model, daily, truth
        self._lane = lane_of(model.provider)
        behaviour = built(model.name, model.model_dump_json())
        self.provider = VolumeProvider(model, behaviour, START, Random(f"{seed} provider"))
        self._rng = Random(f"{seed} sender")
        self._said = said_by(model, behaviour)
        self._admission = GateAdmission([self._plan], SETTINGS)
        self._schedule = RetrySchedule(SETTINGS.delivery, self._rng, _RETRIES)
        self._rest = LaneRest()
        silent = behaviour.complaints.form == "none"
        self._words = {rule.name: rule.warmup for rule in rules}
        self._judges = Judges(rules, silent, self._lane.provider)
        self._fresh: deque[list[int]] = deque()  # [campaign day, messages]
        self._again: list[_Again] = []
        self._used: dict[tuple[str, int], int] = {}
        self._days: Days = {}
        self._state: StepState | None = None
        self.moves: list[GateChanged | StepChanged] = []
        self.totals: Counter[str] = Counter()
        given = SETTINGS.stream(STREAM)
        assert given is not None
        self._max_age = given.max_age_hours * HOUR

    @property
    def state(self) -> StepState | None:
        """The lane's step."""
        return self._state

    def day(self, index: int) -> None:
        """One day; 0 is the first."""
        begin = START + index * DAY
        self._take_step(begin)
        assert self._state is not None
        wanted = self._daily if self._state.finished else min(self._daily, self._state.cap)
        queued = sum(n for _, n in self._fresh) + sum(again.n for again in self._again)
        if (fresh := max(0, wanted - queued)) > 0:
            self._fresh.append([index + 1, fresh])
        seeds = SEEDS if wanted > 10 * SEEDS else 0
        now = begin
        while now < begin + DAY:
            self._expire(now)
            sent = self._turn(now)
            if seeds and sent:
                self._see(seeds, index + 1, now)
                seeds = 0
            now = self._next(now)
            self._arrivals(now)
            if self._plan.controller == "adaptive":
                self._within_day(now, index + 1)
            for event in self._judges.look(now):
                self.moves.append(event)

    # --- one look ----------------------------------------------------------------------------------------------------
    def _turn(self, now: float) -> int:
        """Send what may go now, until a refusal makes the pair rest.  How much was accepted."""
        if not self._fresh and not (self._again and self._again[0].at <= now):
            return 0
        accepted, snapshot = 0, self._snapshot()
        stuck: set[int] = set()  # campaigns that a gate or a cap holds
        while self._rest.until(SOURCE, self._lane.provider) <= now:
            retry = next((a for a in self._again if a.at <= now and a.campaign not in stuck), None)
            line = None if retry else next((f for f in self._fresh if f[0] not in stuck), None)
            if retry is not None:
                campaign, fresh, retries = retry.campaign, 0, retry.n
            elif line is not None:
                campaign, fresh, retries = line[0], line[1], 0
            else:
                break
            decision = self._admission.decide(traffic_of(self._lane, campaign), fresh, retries, snapshot, now)
            if not isinstance(decision, Admit):
                stuck.add(campaign)
                continue
            n = min(decision.messages, fresh + retries)
            bounds = decision.retry_allowances if retry else decision.allowances
            for key, period, cap in bounds:
                n = min(n, cap - self._used.get((key, period), 0))
            if n <= 0:
                stuck.add(campaign)
                continue
            done, taken = self._send(n, now, campaign, retry, line)
            for key, period, cap in bounds:
                used = self._used[key, period] = self._used.get((key, period), 0) + done
                if used >= cap and not retry:  # the next answer would be to wait
                    stuck.add(campaign)
            accepted += taken
        return accepted

    def _send(self, n: int, now: float, campaign: int, retry: _Again | None, line: list[int] | None) -> tuple[int, int]:
        """(attempts made, accepted)."""
        cohort = retry.cohort if retry else cohort_of(now)
        found = self.provider.attempt(n, now, campaign, cohort, first=retry is None)
        attempts = retry.attempts + 1 if retry else 1
        expires = retry.expires if retry else now + self._max_age
        counts: defaultdict[str, int] = defaultdict(int)
        counts[Metric.DELIVERED] = found.accepted
        counts[Metric.HARD_BOUNCED] = found.bounced
        if found.refused is not None:
            said = self._said[found.refused]
            if said.stops is Stops.SITE:
                self._rest.trouble(SOURCE, self._lane.provider, said.group, now)
            elif said.stops is Stops.SITE_IF_REPEATED:
                for _ in range(min(CALM, found.accepted)):
                    self._rest.success(SOURCE, self._lane.provider)
                self._rest.repeated(SOURCE, self._lane.provider, said.group, now)
            counts[Metric.BLOCKED] += said.group is Group.REPUTATION
            counts[Metric.BLOCKED_FIRST] += said.group is Group.REPUTATION and retry is None
            if said.deferred:
                self._later(1, said, now, campaign, cohort, attempts, expires)
                counts[Metric.DEFERRED] += retry is None
                counts[Metric.PUT_OFF] += retry is None
            else:
                counts[Metric.SOFT_BOUNCED] += 1
        elif found.accepted:
            self._rest.success(SOURCE, self._lane.provider)
        if found.greylisted:
            said = self._said[Situation.GREYLISTED]
            self._later(found.greylisted, said, now, campaign, cohort, attempts, expires)
            counts[Metric.DEFERRED] += found.greylisted
            counts[Metric.PUT_OFF] += found.greylisted * (said.bounce_class is not BounceClass.GREYLISTED)
        if retry is None:
            counts[Metric.ATTEMPTED] = found.tried
            assert line is not None
            line[1] -= found.tried
            if line[1] <= 0:
                self._fresh.remove(line)
        else:
            retry.n -= found.tried
            if retry.n <= 0:
                self._again.remove(retry)
        self._count(counts, campaign, cohort)
        if self._truth is not None:
            self._truth.counted(
                self._model.provider, now, campaign, sent=found.accepted, inboxed=found.inboxed, junked=found.junked,
                bounced=found.bounced, complaints=found.complaints,
                deferred=found.greylisted + (found.refused in (Situation.RATE_LIMITED, Situation.LOW_REPUTATION)),
                blocked=int(found.refused is Situation.BLOCKED),
            )  # fmt: skip
        sums = self.totals
        sums["sent"] += found.accepted
        sums["inboxed"] += found.inboxed
        sums["junked"] += found.junked
        sums["bounced"] += found.bounced
        sums["complaints"] += found.complaints
        if found.refused is not None:
            sums[_COLUMN.get(found.refused, "other")] += 1
        return found.tried, found.accepted

    def _later(
        self, n: int, said: _Said, now: float, campaign: int, cohort: int, attempts: int, expires: float
    ) -> None:
        at = self._schedule.retry_at(attempts, said.bounce_class, now, expires, provider=self._lane.provider)
        if at is not None:
            at = math.ceil(at / LOOK) * LOOK  # together at the next look: each costs
            for again in self._again:
                if (again.at, again.campaign, again.cohort, again.attempts) == (at, campaign, cohort, attempts):
                    again.n += n
                    return
            insort(self._again, _Again(at, campaign, cohort, n, attempts, expires))

    def _expire(self, now: float) -> None:
        if self._again and any(again.expires <= now for again in self._again):
            self._again = [again for again in self._again if again.expires > now]

    def _next(self, now: float) -> float:
        """The next look: of every LOOK, or the end of a rest while something may be sent."""
        hour = (now // LOOK + 1) * LOOK
        last = now // DAY * DAY + LAST_LOOK
        if now < last < hour:
            hour = last
        rest = self._rest.until(SOURCE, self._lane.provider)
        waiting = bool(self._fresh) or bool(self._again and self._again[0].at <= hour)
        if now < rest < hour and waiting:
            return rest + 0.1
        return hour

    def _snapshot(self) -> Snapshot:
        assert self._state is not None
        return Snapshot(gates=self._judges.shut, steps={self._lane: self._state}, used=self._used)

    def _see(self, seeds: int, campaign: int, now: float) -> None:
        spam = draw(seeds, self.provider.junk_share(now), self._rng)
        self._count({Metric.SEED_SPAM: spam, Metric.SEED_INBOX: seeds - spam}, campaign, cohort_of(now))

    def _arrivals(self, now: float) -> None:
        """Complaint reports and late bounces that came by now."""
        for heap, metric in ((self.provider.reports, Metric.COMPLAINED), (self.provider.returns, Metric.HARD_BOUNCED)):
            came: dict[tuple[int, int], int] = {}
            while heap and heap[0][0] <= now:
                at, campaign, cohort = heapq.heappop(heap)
                if metric is Metric.COMPLAINED:
                    self._judges.reported(cohort, at)
                came[campaign, cohort] = came.get((campaign, cohort), 0) + 1
            for (campaign, cohort), n in came.items():
                self._count({metric: n}, campaign, cohort)

    def _count(self, counts: Mapping[str, int], campaign: int, cohort: int) -> None:
        day = self._days.get(cohort // 24)
        if day is None:
            day = self._days[cohort // 24] = defaultdict(int)
        for metric, n in counts.items():
            day[metric] += n
        self._judges.add(counts, campaign, cohort)

    # --- the day's turn ----------------------------------------------------------------------------------------------
    def _take_step(self, now: float) -> None:
        self._used = {key: n for key, n in self._used.items() if key[1] >= day_of(now) - 1}
        if self._state is None:
            self._state, event = first_step(self._lane, self._plan, now)
        else:
            said = list(reversed(self._judges.said[-1000:]))
            closings = closings_of(said, self._lane, self._state.day, day_of, self._words)
            self._state, event = next_step(self._state, self._plan, self._figures(closings), now)
        self.moves.append(event)

    def _within_day(self, now: float, campaign: int) -> None:
        state = self._state
        assert state is not None
        if state.control.braked or day_of(now) != state.day or state.finished or state.day not in self._days:
            return
        used = self._used.get((lane_key(self._lane), state.day), 0)
        moved = within_day(state, self._plan, self._figures(), used, now)
        if moved is None:
            return
        self._state, event = moved
        self.moves.append(event)
        waiting = sum(n for _, n in self._fresh)
        if (more := min(self._daily, self._state.cap) - used - waiting) > 0:  # never more in a day than is wished
            self._fresh.append([campaign, more])

    def _figures(self, closings: tuple[Closing, ...] = ()) -> DayFigures:
        assert self._state is not None
        first = self._state.day - 15
        return figures_of(self._state, {d: sums for d, sums in self._days.items() if d >= first}, closings)
