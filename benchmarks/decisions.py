"""How good the decisions are: false pauses of healthy mail, and how fast bad mail is paused, beside published rules.

    python benchmarks/decisions.py [--runs N] [--seed S] [--only standing|campaign] [--jobs N]

Prints JSON lines; the tables of docs/decisions-quality.md are made of them.  Seeds are fixed: run r of a case draws
from Random(f"{seed} {case} {r}").  The monitor's own code is asked (monitor.rules.RuleTally, monitor.evidence), at
the end of every hour in which something bad arrived; others are written down here as they are published:

- naive: today's rate above the threshold with at least 1,000 messages today;
- wilson: lower bound (99 %, one-sided) of the last 24 hours' rate above the threshold;
- momentum: rate of the last 24 hours, 20,000 messages at least; complaints 0.2 % throttle, 0.5 % suspend; bounces of
  the last hour, 2,000 messages at least, 3 % and 10 %;
- ses: rate of the last 10,000 messages ("representative volume" is not published); complaints 0.1 % review, 0.5 %
  pause; bounces 5 % and 10 %.

Healthy: a year at half the threshold.  Bad: 60 good days, then a multiple of the threshold.  Complaints come after an
exponential delay of 24 hours in the mean.  For comparison at an equal false-alarm rate each rule's own limit is set to
the 95 % quantile of its yearly maximum in healthy years, so that each pauses one healthy stream in twenty a year.
A run of 200 takes about ten minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from config.tables import Rule
from core.lane import Attribution, Lane, Provider, SendingDomain, Source, Stream, Traffic
from core.metrics import Metric
from core.state import CounterKey
from monitor.delays import Lateness, fit
from monitor.evidence import DelayEnvelope, log_e_rate
from monitor.rules import RuleTally

YEAR, GOOD_DAYS, MOST_BAD_DAYS = 365, 60, 60
FIRST = 480_000  # the first cohort, at midnight
TRAFFIC = Traffic(
    lane=Lane(source=Source("a"), sending_domain=SendingDomain("d.example"), provider=Provider("yahoo")),
    stream=Stream("bulk"),
)
MULTIPLES = (3, 5, 10)
REFIT_HOURS = 5 * 24
RULES = ("penstock", "penstock+delay", "penstock+fitted", "naive", "wilson", "momentum", "ses")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A standing stream.  `published` are (rule, its limit), pausing limits first."""

    name: str
    signal: str
    threshold: float
    an_hour: int
    delay_hours: float
    published: tuple[tuple[str, str, float], ...]


CASES = (
    Case(
        name="complaints", signal="complaint_rate", threshold=0.001, an_hour=833, delay_hours=24.0,
        published=(
            ("penstock", "R >= 365 (default)", 365), ("penstock+delay", "R >= 365 (default)", 365),
            ("penstock+fitted", "R >= 365 (default)", 365),
            ("naive", "> 0.1 %", 0.001), ("wilson", "> 0.1 %", 2.326), ("momentum", "0.2 % throttle", 0.002),
            ("momentum", "0.5 % suspend", 0.005), ("ses", "0.1 % review", 0.001), ("ses", "0.5 % pause", 0.005),
        ),
    ),
    Case(
        name="hard bounces", signal="hard_bounce_rate", threshold=0.02, an_hour=2000, delay_hours=0.0,
        published=(
            ("penstock", "R >= 365 (default)", 365), ("naive", "> 2 %", 0.02), ("wilson", "> 2 %", 2.326),
            ("momentum", "3 % throttle", 0.03), ("momentum", "10 % suspend", 0.1), ("ses", "5 % review", 0.05),
            ("ses", "10 % pause", 0.1),
        ),
    ),
)  # fmt: skip


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


class Watch:
    """All rules over one stream, hour by hour."""

    def __init__(self, case: Case) -> None:
        rule = Rule(
            name="r", signal=case.signal, by=["provider", "stream"], threshold=case.threshold,
            false_alarm_days=365, minimum_bad=3,
        )  # fmt: skip
        # the exponential's distribution function, each hour's value at its end: an upper envelope
        points = (
            tuple((float(h), 1 - math.exp(-(h + 1) / case.delay_hours)) for h in range(1, 240))
            if case.delay_hours
            else ()
        )
        self._case = case
        self._plain = RuleTally(rule)
        self._aware = RuleTally(rule, envelopes={"yahoo": DelayEnvelope(points)}) if points else None
        # what the service does: delays fitted from the reports of the past, anew every few days
        self._fitted = RuleTally(rule) if points else None
        self._reports: list[Lateness] = []
        signal = self._plain.signal
        self._bad, self._total = signal.bad[0], signal.total[0]
        self._sent: list[int] = []
        self._came: list[int] = []

    def hour(self, index: int, sent: int, arrived: Sequence[tuple[int, int]]) -> dict[str, float]:
        """`arrived` are (cohort, bad events).  What each rule's statistic is now; nothing bad: nothing new."""
        self._sent.append(sent)
        self._came.append(sum(n for _, n in arrived))
        now = (FIRST + index + 1) * 3600.0 - 1
        if self._fitted is not None:
            self._reports += [
                Lateness(provider="yahoo", cohort=FIRST + cohort, at=now) for cohort, n in arrived for _ in range(n)
            ]
            if index % REFIT_HOURS == 0:
                self._fitted.envelopes = fit(self._reports, now)
        for tally in (self._plain, self._aware, self._fitted):
            if tally is None:
                continue
            tally.add(_key(FIRST + index, self._total), sent)
            for cohort, n in arrived:
                tally.add(_key(FIRST + cohort, self._bad), n)
            if index % 24 == 0:
                tally.forget(now)
        if not arrived:
            return {}
        found: dict[str, float] = {}
        for name, tally in (
            ("penstock", self._plain), ("penstock+delay", self._aware), ("penstock+fitted", self._fitted)
        ):  # fmt: skip
            if tally is not None:
                (scope,) = tally.scopes()
                verdict = tally.verdict(scope, None, now)
                enough = verdict.counted_bad >= tally.rule.minimum_bad
                found[name] = verdict.evidence.e_value if enough else 0.0
        today = index % 24 + 1
        found["naive"] = self._rate(today, 1000)
        hours, p0 = min(24, index + 1), self._case.threshold
        n = sum(self._sent[-hours:])
        found["wilson"] = (sum(self._came[-hours:]) / n - p0) / math.sqrt(p0 * (1 - p0) / n)
        found["momentum"] = self._rate(1, 2000) if self._case.signal == "hard_bounce_rate" else self._rate(25, 20_000)
        found["ses"] = self._rate(math.ceil(10_000 / self._case.an_hour), 9_999)
        return found

    def _rate(self, hours: int, least: int) -> float:
        n = sum(self._sent[-hours:])
        return sum(self._came[-hours:]) / n if n >= least else 0.0


def _key(cohort: int, metric: Metric) -> CounterKey:
    return CounterKey(attribution=Attribution(traffic=TRAFFIC, cohort=cohort), metric=metric)


def hours(
    case: Case, rate: Callable[[int], float], count: int, rng: Random
) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """(hour, arrivals) of a stream whose true rate may change."""
    coming: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for hour in range(count):
        for _ in range(poisson(case.an_hour * rate(hour), rng)):
            later = int(rng.expovariate(1 / case.delay_hours) + rng.random()) if case.delay_hours else 0
            coming[hour + later][hour] += 1
        yield hour, sorted(coming.pop(hour, {}).items())


def healthy(case: Case, seed: int, run: int) -> dict[str, float]:
    """Each rule's maximum over a healthy year."""
    watch, top = Watch(case), dict.fromkeys(RULES, 0.0)
    rng = Random(f"{seed} healthy {case.name} {run}")
    for hour, arrived in hours(case, lambda _: case.threshold / 2, YEAR * 24, rng):
        for name, value in watch.hour(hour, case.an_hour, arrived).items():
            top[name] = max(top[name], value)
    return top


def bad(case: Case, multiple: int, limits: dict[str, float], seed: int, run: int) -> dict[str, float]:
    """Hours from the change to each limit's being reached; inf when it never was."""
    change = GOOD_DAYS * 24
    watch, found = Watch(case), dict.fromkeys(limits, math.inf)
    rng = Random(f"{seed} bad {case.name} {multiple} {run}")
    true = case.threshold

    def rate(hour: int) -> float:
        return true * multiple if hour >= change else true / 2

    for hour, arrived in hours(case, rate, change + MOST_BAD_DAYS * 24, rng):
        values = watch.hour(hour, case.an_hour, arrived)
        if hour < change:
            continue
        for name, limit in limits.items():
            if values.get(name.partition("|")[0], 0.0) >= limit and found[name] == math.inf:
                found[name] = hour + 1 - change
        if math.inf not in found.values():
            break
        if hour > change + 24 * 10 and all(found[n] < math.inf for n in limits if n.startswith("penstock")):
            break  # the rest is only told as "more than ten days"
    return found


def campaign(p0: float, true: float, size: int, seed: int, run: int) -> dict[str, list[tuple[int, float]]]:
    """Each rule's statistic at each bad event of one campaign, without delay: (messages so far, value)."""
    rng, sent, events = Random(f"{seed} campaign {p0} {true} {run}"), 0, 0
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in ("penstock", "naive", "wilson", "ses")}
    while True:
        sent += 1 + int(math.log(1 - rng.random()) / math.log1p(-true))
        if sent > size:
            return found
        events += 1
        rate = events / sent
        found["penstock"].append((sent, log_e_rate(events, sent, p0) if events >= 3 else -math.inf))
        found["naive"].append((sent, rate if sent >= 1000 else 0.0))
        found["wilson"].append((sent, (rate - p0) / math.sqrt(p0 * (1 - p0) / sent) if events >= 3 else 0.0))
        found["ses"].append((sent, rate if sent >= 10_000 else 0.0))


def wilson(hits: int, runs: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z, share = 1.96, hits / runs
    middle = share + z * z / (2 * runs)
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs))
    return max(0.0, (middle - half) / (1 + z * z / runs)), min(1.0, (middle + half) / (1 + z * z / runs))


def spread(values: Sequence[float]) -> dict[str, float | str]:
    """Median with the 95 % interval by order statistics."""
    ordered, n = sorted(values), len(values)
    half = 0.98 * math.sqrt(n)
    low, high = ordered[max(0, int(n / 2 - half))], ordered[min(n - 1, int(n / 2 + half))]
    return {k: round(v, 2) if v < math.inf else "never" for k, v in
            (("median", statistics.median_low(ordered)), ("low", low), ("high", high))}  # fmt: skip


def quantile(values: Sequence[float], share: float) -> float:
    """The value that at most 1 - share of the runs exceed."""
    return sorted(values)[min(len(values) - 1, math.ceil(len(values) * share))]


def tell(**row: object) -> None:
    """One line of the result."""
    print(json.dumps({"benchmark": "decisions", **row}, ensure_ascii=False), flush=True)


def standing(runs: int, seed: int, jobs: int) -> None:
    """Figures 1 and 2 for standing streams."""
    with Pool(jobs) as pool:
        for case in CASES:
            years = pool.map(partial(healthy, case, seed), range(runs), chunksize=1)
            for name, text, limit in case.published:
                hits = sum(year[name] >= limit for year in years)
                low, high = wilson(hits, runs)
                tell(figure=1, case=case.name, rule=name, limit=text, false_years=hits, runs=runs,
                     share=round(hits / runs, 4), low=round(low, 4), high=round(high, 4))  # fmt: skip
            names = [name for name in RULES if any(year[name] > 0 for year in years)]
            limits = {f"{name}|equal": quantile([y[name] for y in years], 0.95) * (1 + 1e-9) for name in names}
            limits |= {f"{name}|{text}": limit for name, text, limit in case.published}
            for multiple in MULTIPLES:
                delays = pool.map(partial(bad, case, multiple, limits, seed), range(runs), chunksize=1)
                for key, limit in limits.items():
                    name, _, text = key.partition("|")
                    tell(figure=2, case=case.name, multiple=multiple, rule=name, limit=text,
                         at=round(limit, 5), runs=runs, unit="hours", **spread([d[key] for d in delays]))  # fmt: skip


def campaigns(runs: int, seed: int, jobs: int) -> None:
    """Figures 1 and 2 for campaigns, in messages."""
    with Pool(jobs) as pool:
        for p0, size in ((0.001, 100_000), (0.02, 50_000)):
            good = pool.map(partial(campaign, p0, p0 / 2, size, seed), range(runs), chunksize=8)
            tops = {name: [max((v for _, v in run[name]), default=-math.inf) for run in good] for name in good[0]}
            plain = {"penstock": math.log(100), "naive": p0, "wilson": 2.326, "ses": 5 * p0}
            edge = pool.map(partial(campaign, p0, p0, size, seed), range(runs), chunksize=8)
            for true, runs_true in ((p0 / 2, good), (p0, edge)):  # what is promised holds up to the threshold itself
                for name, limit in plain.items():
                    hits = sum(any(v >= limit for _, v in run[name]) for run in runs_true)
                    low, high = wilson(hits, runs)
                    tell(figure=1, case=f"campaign, {p0:.1%}", true=true, rule=name, limit="published",
                         false_runs=hits, runs=runs, share=round(hits / runs, 4), low=round(low, 4),
                         high=round(high, 4))  # fmt: skip
            equal = {name: quantile(tops[name], 0.99) + 1e-9 for name in tops}
            for multiple in MULTIPLES:
                runs_bad = pool.map(partial(campaign, p0, p0 * multiple, size, seed), range(runs), chunksize=8)
                for name in tops:
                    for text, limit in (("published", plain[name]), ("equal", equal[name])):
                        firsts = [next((m for m, v in run[name] if v >= limit), math.inf) for run in runs_bad]
                        tell(figure=2, case=f"campaign, {p0:.1%}", multiple=multiple, rule=name, limit=text,
                             at=round(limit, 5), runs=runs, unit="messages", **spread(firsts))  # fmt: skip


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="of standing streams; campaigns run ten times as often")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["standing", "campaign"])
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.only != "standing":
        campaigns(10 * arguments.runs, arguments.seed, arguments.jobs)
    if arguments.only != "campaign":
        standing(arguments.runs, arguments.seed, arguments.jobs)


if __name__ == "__main__":
    main()
