"""What really happened in a simulation, seen from the providers' side, and whether each pause was justified.

Contract: the provider's verdicts are counted as they fall, together with the *expected* numbers of dead addresses and
of complaints (from the model's audience, never from the dice), by provider, campaign and hour.  A pause is justified
when the expected rate of the mail that its evidence counted, or of any day of it, is above the rule's threshold; its
delay is counted from the first hour of the first such day.  `to_json` is the schema of docs/simulation.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from config.tables import Rule
from core.events import GateChanged, GateState, StepChanged, StepMove
from core.lane import DAY, HOUR, Scope, cohort_of
from sandbox.behaviour import Behaviour
from sandbox.host import Judged
from sandbox.model import Complaint, Situation
from sandbox.simulated import Expected, SimulationModel, day_of_address, expected

HOURS_A_DAY = int(DAY // HOUR)
_CLOSED = (GateState.PAUSED, GateState.HARD_STOPPED)
_TAKEN = frozenset({Situation.ACCEPTED, Situation.UNKNOWN_USER, Situation.MAILBOX_FULL})
_REPUTATION = frozenset({Situation.BLOCKED, Situation.LOW_REPUTATION})
FEWEST = 100  # a provider's day with fewer messages is no trouble that a rule could be asked to see


@dataclass(slots=True)
class Cell:
    """Mail that ended, with the expected numbers; and attempts, with what the provider refused of them."""

    mail: int = 0
    tried: int = 0
    blocked: int = 0
    deferred: int = 0
    taken: int = 0
    dead: float = 0.0
    complaints: float = 0.0

    def rate(self, signal: str) -> float:
        """The true rate that a signal tries to see."""
        if signal == "complaint_rate":
            return self.complaints / self.taken if self.taken else 0.0
        # a refusal is no chance that the sender has to guess: the provider's word is the truth
        if signal in ("block_rate", "deferral_rate"):
            refused = self.blocked if signal == "block_rate" else self.deferred
            return refused / self.tried if self.tried else 0.0
        return self.dead / self.mail if self.mail else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRow:
    """One provider's day."""

    day: int
    provider: str
    cap: int
    sent: int
    deferred: int
    blocked: int
    bounced: int
    inboxed: int
    junked: int
    complaints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRow:
    """One closing of a gate.  `delay_hours` and `delay_mail` are -1 for a false one."""

    day: float
    rule: str
    scope: str
    state: str
    justified: bool
    true_rate: float
    threshold: float
    e_value: float
    delay_hours: float
    delay_mail: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer."""

    days: tuple[DayRow, ...]
    pauses: tuple[PauseRow, ...]
    missed: tuple[str, ...]
    days_to_target: dict[str, int]
    steps_back: dict[str, int]
    reply_rules: dict[str, int] = field(default_factory=dict)  # how often each acted

    def to_json(self) -> dict[str, Any]:
        """As documented."""
        rows = self.days
        sums = {
            name: sum(getattr(row, name) for row in rows)
            for name in ("sent", "deferred", "blocked", "bounced", "inboxed", "junked", "complaints")
        }
        return {
            "days": [asdict(row) for row in rows],
            "pauses": [asdict(row) for row in self.pauses],
            "false_pauses": sum(not row.justified for row in self.pauses),
            "missed": list(self.missed),
            "days_to_target": self.days_to_target,
            "steps_back": self.steps_back,
            "reply_rules": self.reply_rules,
            "total": sums,
        }


class Truth:
    """See the module.  `start` is the first day's midnight."""

    def __init__(self, models: Sequence[SimulationModel], behaviours: Mapping[str, Behaviour], start: float) -> None:
        self._models = {model.provider: model for model in models}
        self._behaviours = behaviours
        self._start = start
        self._days: dict[tuple[int, str], Counter[str]] = {}
        self._expected: dict[tuple[str, int], Expected] = {}
        self._cells: dict[tuple[str, str, int], Cell] = {}

    def judged(self, seen: Judged) -> None:
        """One verdict of a provider."""
        verdict, provider = seen.verdict, seen.provider
        sums = self._days.setdefault((self._day(seen.at), provider), Counter())
        sums[_column(verdict.situation)] += 1
        if verdict.accepted:
            sums["junked" if verdict.junk else "inboxed"] += 1
            sums["complaints"] += isinstance(verdict.later, Complaint)
        drawn = day_of_address(seen.recipient)
        if seen.recipient.startswith("seed.") or not drawn:
            return
        key = (provider, f"day-{drawn:03d}", cohort_of(seen.at))
        cell = self._cells.setdefault(key, Cell())
        cell.tried += 1
        cell.blocked += verdict.situation in _REPUTATION
        cell.deferred += verdict.situation not in _TAKEN and verdict.situation is not Situation.BLOCKED
        if verdict.situation not in _TAKEN:
            return
        odds = self._odds(provider, drawn)
        cell.mail += 1
        cell.dead += odds.dead
        if verdict.accepted:
            cell.taken += 1
            cell.complaints += 0.0 if verdict.junk else odds.complaint

    def counted(self, provider: str, at: float, drawn: int, **columns: int) -> None:
        """Many verdicts at once: the columns of DayRow, about mail that was drawn for day `drawn`."""
        self._days.setdefault((self._day(at), provider), Counter()).update(columns)
        ended = columns["sent"] + columns["bounced"]
        cell = self._cells.setdefault((provider, f"day-{drawn:03d}", cohort_of(at)), Cell())
        odds = self._odds(provider, drawn)
        cell.tried += ended + columns["deferred"] + columns["blocked"]
        cell.blocked += columns["blocked"]
        cell.deferred += columns["deferred"]
        cell.mail += ended
        cell.dead += ended * odds.dead
        cell.taken += columns["sent"]
        cell.complaints += columns["inboxed"] * odds.complaint

    def _odds(self, provider: str, drawn: int) -> Expected:
        key = (provider, drawn)
        if key not in self._expected:
            self._expected[key] = expected(self._models[provider], self._behaviours[provider], drawn)
        return self._expected[key]

    def result(
        self, moves: Sequence[GateChanged | StepChanged], rules: Mapping[str, Rule], *, days: int, daily: int
    ) -> Result:
        """Everything, once the run is over.  `moves` in order."""
        caps: dict[tuple[int, str], int] = {}
        back: Counter[str] = Counter()
        for move in moves:
            if isinstance(move, StepChanged):
                # the day's own cap: what stops new mail within it comes later
                caps.setdefault((self._day(move.day * DAY), move.lane.provider), move.cap_after)
                back[move.lane.provider] += move.move is StepMove.STEPPED_BACK
        weights = sum(model.weight for model in self._models.values())
        rows: list[DayRow] = []
        reached: dict[str, int] = {}
        for day in range(1, days + 1):
            for provider, model in self._models.items():
                sums = self._days.get((day, provider), Counter())
                names = ("sent", "deferred", "blocked", "bounced", "inboxed", "junked", "complaints")
                rows.append(
                    DayRow(
                        day=day, provider=provider, cap=caps.get((day, provider), 0),
                        **{name: sums[name] for name in names},
                    )
                )  # fmt: skip
                # bounced mail was sent too, and what is put off today is not there yet
                if sums["sent"] + sums["bounced"] >= 0.95 * daily * model.weight / weights:
                    reached.setdefault(provider, day)
        closings = [m for m in moves if isinstance(m, GateChanged) and m.after in _CLOSED and m.by == "guard"]
        pauses = tuple(self._pause(m, rules) for m in closings if m.evidence is not None)
        return Result(
            days=tuple(rows), pauses=pauses, missed=tuple(self._missed(closings, rules)),
            days_to_target={p: reached.get(p, -1) for p in self._models}, steps_back=dict(back),
        )  # fmt: skip

    def _pause(self, move: GateChanged, rules: Mapping[str, Rule]) -> PauseRow:
        assert move.evidence is not None
        rule = rules[move.evidence.rule]
        whole = self._sum(move.scope, move.evidence.since, cohort_of(move.at))
        first, worst = -1, whole.rate(rule.signal)
        for begin in range(move.evidence.since, cohort_of(move.at) + 1, HOURS_A_DAY):
            rate = self._sum(move.scope, begin, min(begin + HOURS_A_DAY - 1, cohort_of(move.at))).rate(rule.signal)
            worst = max(worst, rate)
            if rate > rule.threshold and first < 0:
                first = begin
        justified = worst > rule.threshold
        first = self._first_hour(move.scope, max(first, move.evidence.since))
        return PauseRow(
            day=round((move.at - self._start) / DAY + 1, 2), rule=rule.name, scope=move.scope.key,
            state=move.after.value, justified=justified, true_rate=round(worst, 6), threshold=rule.threshold,
            e_value=round(move.evidence.e_value, 1),
            delay_hours=round((move.at - first * HOUR) / HOUR, 2) if justified else -1.0,
            delay_mail=self._sum(move.scope, first, cohort_of(move.at)).mail if justified else -1,
        )  # fmt: skip

    def _missed(self, closings: Sequence[GateChanged], rules: Mapping[str, Rule]) -> list[str]:
        """Provider-days at twice a threshold or worse, without any closing on the day or the three after it."""
        found = []
        for provider in self._models:
            for day in sorted({(hour * HOUR - self._start) // DAY for p, _, hour in self._cells if p == provider}):
                first = cohort_of(self._start) + int(day) * HOURS_A_DAY
                cell = self._sum(Scope(provider=provider), first, first + HOURS_A_DAY - 1)
                near = [
                    c for c in closings
                    if c.scope.provider in ("", provider) and 0 <= c.at / HOUR - first <= 4 * HOURS_A_DAY
                ]  # fmt: skip
                silent = self._behaviours[provider].complaints.form == "none"
                for signal in sorted({r.signal for r in rules.values() if r.action == "pause"}):
                    limit = min(r.threshold for r in rules.values() if r.signal == signal and r.action == "pause")
                    if signal not in ("complaint_rate", "hard_bounce_rate") or (silent and signal == "complaint_rate"):
                        continue
                    if cell.mail >= FEWEST and cell.rate(signal) >= 2 * limit and not near:
                        found.append(f"day {int(day) + 1}, {provider}: {signal} {cell.rate(signal):.2%}")
        return found

    def _sum(self, scope: Scope, first: int, last: int) -> Cell:
        total = Cell()
        for (provider, campaign, hour), cell in self._cells.items():
            if not first <= hour <= last:
                continue
            if scope.provider in ("", provider) and scope.campaign in ("", campaign):
                total.mail += cell.mail
                total.tried += cell.tried
                total.blocked += cell.blocked
                total.deferred += cell.deferred
                total.taken += cell.taken
                total.dead += cell.dead
                total.complaints += cell.complaints
        return total

    def _first_hour(self, scope: Scope, since: int) -> int:
        """The first hour from `since` on in which the scope sent anything."""
        hours = [
            hour for provider, campaign, hour in self._cells
            if hour >= since and scope.provider in ("", provider) and scope.campaign in ("", campaign)
        ]  # fmt: skip
        return min(hours, default=since)

    def _day(self, at: float) -> int:
        return int((at - self._start) // DAY) + 1


def _column(situation: Situation) -> str:
    match situation:
        case Situation.ACCEPTED:
            return "sent"
        case Situation.UNKNOWN_USER | Situation.TOO_LARGE:
            return "bounced"
        case Situation.BLOCKED:
            return "blocked"
        case _:
            return "deferred"
