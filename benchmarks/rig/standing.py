"""One stream under all compared rules, hour by hour, for benchmarks/decisions.py: what each rule's statistic reached.

Contract: `healthy` and `bad` are functions of (case, seed, run) alone.  Every rule sees the same drawn mail.  The
monitor's own code (monitor.rules.RuleTally, monitor.delays.fit) says each value that is returned; it is not asked at
hours at which it cannot say anything new: where nothing bad arrived (its evidence only falls), and where `Lens`, the
same sum over start days from a table of known terms, stays below the highest value so far.  `Lens` never decides: at
every hour at which it comes within `SLACK` of that value, RuleTally is asked.  Fitted delays are fitted only when asked
for; until then the reports' own shares, which lie below the fitted ones at each age, give the bound.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from random import Random

from config.tables import Rule
from core.lane import Attribution, Lane, Provider, SendingDomain, Source, Stream, Traffic
from core.metrics import Metric
from core.state import CounterKey
from monitor.delays import AGES, HORIZON, LEAST, LOOK_BACK, Lateness, fit
from monitor.evidence import DelayEnvelope, log_detector, log_e_delayed, log_e_rate
from monitor.rules import RuleTally

YEAR, GOOD_DAYS, MOST_BAD_DAYS = 365, 60, 60
LIMIT = 365.0  # penstock's: days between false alarms of a rule with a budget of its own
FIRST = 480_000  # the first cohort, at midnight
REFIT_HOURS = 5 * 24
BEGUN = 1 - 1 / 3600  # a look is at the last second of an hour: so much of it has passed
SLACK = 1e-6  # in the logarithm, many times what the order of a sum changes
RULES = ("penstock", "penstock+delay", "penstock+fitted", "naive", "wilson", "momentum", "ses")
PROVIDER = "yahoo"
TRAFFIC = Traffic(
    lane=Lane(source=Source("a"), sending_domain=SendingDomain("d.example"), provider=Provider(PROVIDER)),
    stream=Stream("bulk"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A standing stream.  `published` are (rule, its limit in words, the limit)."""

    name: str
    signal: str
    threshold: float
    an_hour: int
    delay_hours: float
    published: tuple[tuple[str, str, float], ...]


def poisson(mean: float, rng: Random) -> int:
    """A Poisson number; by addition of small ones, so that any mean below some thousands is exact."""
    total = 0
    while mean > 0:
        part, limit, product = min(mean, 20.0), math.exp(-min(mean, 20.0)), rng.random()
        while product > limit:
            total += 1
            product *= rng.random()
        mean -= part
    return total


def hours(
    case: Case, rate: Callable[[int], float], count: int, rng: Random
) -> Iterator[tuple[int, Sequence[tuple[int, int]]]]:
    """(hour, arrivals as (cohort, bad events)) of a stream whose true rate may change."""
    coming: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for hour in range(count):
        n = poisson(case.an_hour * rate(hour), rng)
        if not case.delay_hours:
            yield hour, [(hour, n)] if n else ()
            continue
        for _ in range(n):
            coming[hour + int(rng.expovariate(1 / case.delay_hours) + rng.random())][hour] += 1
        yield hour, sorted(coming.pop(hour, {}).items())


class Lens:
    """The detector's sum over start days from known terms.  `shares[b]` of the bad events about mail of `b` hours
    back can have come; None: the plain form, without delays."""

    def __init__(self, case: Case, shares: Sequence[float] | None, most_hours: int) -> None:
        self._p0, self._delayed = case.threshold, shares is not None
        each = [case.an_hour * (shares[b] if shares and b < len(shares) else 1) for b in range(most_hours)]
        self._exposure = list(accumulate(each, initial=0))
        self._known: dict[tuple[int, int], float] = {}

    def log_r(self, starts: Sequence[tuple[int, int]], *, above: bool = False) -> float:
        """`starts` are (bad, hours) since each start day, latest first.  `above`: with the whole window's term in any
        case, so that the sum is never below the one under larger shares."""
        chosen = [s for s in starts if s[0] > self._p0 * self._exposure[s[1]]]
        if not chosen or (above and chosen[-1] != starts[-1]):
            chosen.append(starts[-1])
        return log_detector(map(self._term, chosen))

    def _term(self, start: tuple[int, int]) -> float:
        found = self._known.get(start)
        if found is None:
            exposure = self._exposure[start[1]]
            found = self._known[start] = (
                log_e_delayed(start[0], exposure, self._p0)
                if self._delayed
                else log_e_rate(start[0], int(exposure), self._p0)
            )
        return found


@cache
def _lens(case: Case, *, delayed: bool) -> Lens:
    """What all runs of a process share: no delays, or the true ones."""
    shares = _hourly(_true_envelope(case)) if delayed else None
    return Lens(case, shares, _rule(case).window_days * 24)


def _hourly(envelope: DelayEnvelope) -> list[float]:
    return [envelope.share(BEGUN + back) for back in range(math.ceil(envelope.end))]


def _true_envelope(case: Case) -> DelayEnvelope:
    """The exponential's distribution function, each hour's value at its end: an upper envelope."""
    return DelayEnvelope(tuple((float(h), 1 - math.exp(-(h + 1) / case.delay_hours)) for h in range(1, 240)))


def _rule(case: Case) -> Rule:
    return Rule(
        name="r", signal=case.signal, by=["provider", "stream"], threshold=case.threshold,
        false_alarm_days=LIMIT, minimum_bad=3,
    )  # fmt: skip


class Book:
    """The mail of one stream so far."""

    def __init__(self, case: Case) -> None:
        self.case, self.rule = case, _rule(case)
        self.index = -1
        self.arrivals: list[tuple[int, int, int]] = []  # (hour of arrival, cohort, bad events)
        self._came = [0]  # by the end of each hour
        self._bad_of_day: dict[int, int] = defaultdict(int)

    def add(self, index: int, arrived: Sequence[tuple[int, int]]) -> None:
        """One hour's mail and what came back in it."""
        self.index = index
        came = self._came[-1]
        for cohort, n in arrived:
            self.arrivals.append((index, cohort, n))
            self._bad_of_day[cohort // 24] += n
            came += n
        self._came.append(came)

    @property
    def now(self) -> float:
        """The last second of the hour."""
        return (FIRST + self.index + 1) * 3600.0 - 1

    def starts(self) -> list[tuple[int, int]]:
        """(bad, hours) since each day of the rule's window, latest first."""
        today, bad, found = self.index // 24, 0, []
        for day in range(today, max(-1, today - self.rule.window_days), -1):
            bad += self._bad_of_day.get(day, 0)
            found.append((bad, self.index - 24 * day + 1))
        return found

    def others(self) -> dict[str, float]:
        """The compared rules' statistics."""
        case, p0 = self.case, self.case.threshold
        seen = min(24, self.index + 1)
        n = seen * case.an_hour
        return {
            "naive": self._rate(self.index % 24 + 1, 1000),
            "wilson": (self._sum(seen) / n - p0) / math.sqrt(p0 * (1 - p0) / n),
            "momentum": self._rate(1, 2000) if case.signal == "hard_bounce_rate" else self._rate(25, 20_000),
            "ses": self._rate(math.ceil(10_000 / case.an_hour), 9_999),
        }

    def _sum(self, back: int) -> int:
        return self._came[-1] - self._came[max(0, len(self._came) - 1 - back)]

    def _rate(self, back: int, least: int) -> float:
        n = self.case.an_hour * min(back, self.index + 1)
        return self._sum(back) / n if n >= least else 0.0


class Asked:
    """RuleTally over a book, fed when it is asked."""

    def __init__(self, book: Book, envelopes: Mapping[str, DelayEnvelope]) -> None:
        self._book, self.tally = book, RuleTally(book.rule, envelopes=envelopes)
        self._hours = self._arrivals = 0

    def e_value(self) -> float:
        """Of the present hour; 0 below the rule's least number of bad events."""
        book, tally, signal = self._book, self.tally, self.tally.signal
        oldest = (book.index // 24 - book.rule.window_days + 1) * 24
        tally.forget(book.now)
        for hour in range(max(self._hours, oldest), book.index + 1):
            tally.add(_key(hour, signal.total[0]), book.case.an_hour)
        for _, cohort, n in book.arrivals[self._arrivals :]:
            if cohort >= oldest:
                tally.add(_key(cohort, signal.bad[0]), n)
        self._hours, self._arrivals = book.index + 1, len(book.arrivals)
        (scope,) = tally.scopes()
        verdict = tally.verdict(scope, None, book.now)
        return verdict.evidence.e_value if verdict.counted_bad >= book.rule.minimum_bad else 0.0


def _key(cohort: int, metric: Metric) -> CounterKey:
    return CounterKey(attribution=Attribution(traffic=TRAFFIC, cohort=FIRST + cohort), metric=metric)


class Fitted:
    """Delays as the service fits them from the reports of the past, anew every few days; fitted when needed."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._at = self._reports = 0  # the last refit: its hour, and how many arrivals were known
        self._found: dict[str, DelayEnvelope] | None = {}
        self._lens = _lens(book.case, delayed=False)

    def refit(self) -> None:
        """At the end of an hour: from now on the delays are those that the arrivals so far show."""
        self._at, self._reports, self._found = self._book.index, len(self._book.arrivals), None
        ages = [0] * (HORIZON + 1)
        last = self._at + BEGUN - HORIZON
        for at, cohort, n in self._book.arrivals:
            if last - LOOK_BACK <= cohort <= last and at - cohort < HORIZON:
                ages[at - cohort + 1] += n
        came = list(accumulate(ages))  # by the age in hours
        if came[-1] < LEAST:
            self._found, self._lens = {}, _lens(self._book.case, delayed=False)
            return
        ends = [next(age for age in AGES if age > back) for back in range(AGES[-1])]
        self._lens = self._lens_of([came[end] / came[-1] for end in ends])

    def log_r(self, starts: Sequence[tuple[int, int]]) -> float:
        """Never below the service's own; the same once `envelopes` was asked for."""
        return self._lens.log_r(starts, above=self._found is None)

    def envelopes(self) -> dict[str, DelayEnvelope]:
        """The service's own fit of what was known at the last refit."""
        if self._found is None:
            self._found = fit(self._lateness(), (FIRST + self._at + 1) * 3600.0 - 1)
            self._lens = self._lens_of(_hourly(self._found[PROVIDER]))
        return self._found

    def _lateness(self) -> Iterator[Lateness]:
        for at, cohort, n in self._book.arrivals[: self._reports]:
            for _ in range(n):
                yield Lateness(provider=PROVIDER, cohort=FIRST + cohort, at=(FIRST + at + 1) * 3600.0 - 1)

    def _lens_of(self, shares: Sequence[float]) -> Lens:
        return Lens(self._book.case, shares, self._book.rule.window_days * 24)


class Watch:
    """All rules over one stream.  `top` holds each one's highest value; one that has reached `enough` rests."""

    def __init__(self, case: Case, enough: float = math.inf) -> None:
        self._book, self._enough = Book(case), enough
        self.top = dict.fromkeys(RULES, 0.0)
        self._fitted = Fitted(self._book) if case.delay_hours else None
        self._lenses: dict[str, Callable[[Sequence[tuple[int, int]]], float]] = {
            "penstock": _lens(case, delayed=False).log_r
        }
        self._asked = {"penstock": Asked(self._book, {})}
        if self._fitted is not None:
            self._lenses |= {"penstock+delay": _lens(case, delayed=True).log_r, "penstock+fitted": self._fitted.log_r}
            self._asked |= {
                "penstock+delay": Asked(self._book, {PROVIDER: _true_envelope(case)}),
                "penstock+fitted": Asked(self._book, {}),
            }

    def hour(self, index: int, arrived: Sequence[tuple[int, int]]) -> None:
        """Count one hour."""
        self._book.add(index, arrived)
        if self._fitted is not None and index % REFIT_HOURS == 0:
            self._fitted.refit()

    def look(self) -> dict[str, float]:
        """The statistics that are higher now than ever before; to be asked when something bad arrived."""
        found = {name: value for name, value in self._book.others().items() if value > self.top[name]}
        starts = self._book.starts()
        if starts[-1][0] >= self._book.rule.minimum_bad:
            for name, asked in self._asked.items():
                if self.top[name] < self._enough and self._may_be_new(name, starts):
                    value = asked.e_value()
                    if value > self.top[name]:
                        found[name] = value
        self.top |= found
        return found

    @property
    def rests(self) -> bool:
        """Every rule of ours has reached `enough`."""
        return all(self.top[name] >= self._enough for name in self._asked)

    def _may_be_new(self, name: str, starts: Sequence[tuple[int, int]]) -> bool:
        least = math.log(self.top[name]) - SLACK if self.top[name] > 0 else -math.inf
        if self._lenses[name](starts) < least:
            return False
        if name == "penstock+fitted" and self._fitted is not None:
            self._asked[name].tally.envelopes = self._fitted.envelopes()
            return self._fitted.log_r(starts) >= least
        return True


def healthy(case: Case, seed: int, run: int) -> dict[str, float]:
    """Each rule's maximum over a healthy year: half the threshold, looked at every hour."""
    watch = Watch(case)
    rng = Random(f"{seed} healthy {case.name} {run}")
    for hour, arrived in hours(case, lambda _: case.threshold / 2, YEAR * 24, rng):
        watch.hour(hour, arrived)
        if arrived:
            watch.look()
    return watch.top


def bad(case: Case, multiple: int, seed: int, run: int) -> dict[str, list[tuple[int, float]]]:
    """Each rule's new heights after the change to a multiple of the threshold: (hours since, value).  Ours end at
    LIMIT.  60 days at most; ten when all of ours have reached it ("never" of others says so)."""
    change = GOOD_DAYS * 24
    watch = Watch(case, LIMIT)
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in RULES}
    rng = Random(f"{seed} bad {case.name} {multiple} {run}")
    true = case.threshold

    def rate(hour: int) -> float:
        return true * multiple if hour >= change else true / 2

    for hour, arrived in hours(case, rate, change + MOST_BAD_DAYS * 24, rng):
        watch.hour(hour, arrived)
        if hour < change:
            continue
        if arrived:
            for name, value in watch.look().items():
                found[name].append((hour + 1 - change, value))
        if hour > change + 24 * 10 and watch.rests:
            break
    return found
