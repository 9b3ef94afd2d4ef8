"""How good the decisions are: false pauses of healthy mail, and how fast bad mail is paused, beside published rules.

    python benchmarks/decisions.py [--runs N] [--years N] [--campaigns N] [--seed S] [--only standing|campaign]
                                   [--jobs N] [--save FILE]

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

All rules judge the same drawn mail (benchmarks/rig/standing.py).  `--save` keeps each run's outcome in a file, from
which a later call takes what is there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.rig.standing import LIMIT, RULES, Case, bad, healthy
from monitor.evidence import log_e_rate, log_e_rate_bound

ROOT = Path(__file__).resolve().parents[1]
MULTIPLES = (3, 5, 10)
BLOCK = 5  # runs that a process does before it hands them over

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


def campaign(p0: float, true: float, size: int, seed: int, run: int) -> dict[str, list[tuple[int, float]]]:
    """Each rule's new heights in one campaign, looked at at each bad event, without delay: (messages so far, value).

    A rule that has reached `most` rests: no limit is above it."""
    rng, sent, events = Random(f"{seed} campaign {p0} {true} {run}"), 0, 0
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in ("penstock", "naive", "wilson", "ses")}
    top = dict.fromkeys(found, -math.inf)
    most = {"penstock": math.log(10_000), "naive": 3 * p0, "wilson": 10.0, "ses": 5 * p0}
    while True:
        sent += 1 + int(math.log(1 - rng.random()) / math.log1p(-true))
        if sent > size:
            return found
        events += 1
        rate = events / sent
        now = {
            "naive": rate if sent >= 1000 else 0.0,
            "wilson": (rate - p0) / math.sqrt(p0 * (1 - p0) / sent) if events >= 3 else 0.0,
            "ses": rate if sent >= 10_000 else 0.0,
        }
        if events >= 3 and most["penstock"] > top["penstock"] < log_e_rate_bound(events, sent, p0) + 1e-9:
            now["penstock"] = log_e_rate(events, sent, p0)
        for name, value in now.items():
            if most[name] > top[name] < value:
                top[name] = value
                found[name].append((sent, value))


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


class Runs:
    """Outcomes of runs, kept in a file as they come: whoever is stopped goes on where it was.

    A file holds what one version of the monitor said; another version's is refused (SystemExit)."""

    def __init__(self, file: Path | None, seed: int, jobs: int) -> None:
        self._file, self._seed, self._jobs = file, seed, jobs
        self._known: dict[str, dict[int, Any]] = defaultdict(dict)
        self._version = version()
        for line in file.read_text(encoding="utf-8").splitlines() if file and file.exists() else ():
            with contextlib.suppress(json.JSONDecodeError):  # the last line of a run that was killed
                row = json.loads(line)
                if row["version"] != self._version:
                    raise SystemExit(f"{file} holds runs of other code ({row['version']}): give another file")
                if row["seed"] == seed:
                    self._known[row["of"]][row["run"]] = row["found"]

    def of(self, name: str, run: Callable[[int, int], Any], count: int) -> list[Any]:
        """The outcomes of `run(seed, r)` for r below `count`, in order."""
        known = self._known[name]
        missing = [r for r in range(count) if r not in known]
        with Pool(self._jobs) as pool:
            for r, found in pool.imap_unordered(partial(_numbered, run, self._seed), missing, chunksize=BLOCK):
                known[r] = found
                if self._file is not None:
                    with self._file.open("a", encoding="utf-8") as out:
                        row = {"of": name, "seed": self._seed, "version": self._version, "run": r, "found": found}
                        out.write(json.dumps(row) + "\n")
        return [known[r] for r in range(count)]


def _numbered(run: Callable[[int, int], Any], seed: int, r: int) -> tuple[int, Any]:
    return r, run(seed, r)


def version() -> str:
    """Of the code that decides what a run says."""
    names = ["benchmarks/decisions.py", "benchmarks/rig/standing.py"]
    names += [f"monitor/{name}.py" for name in ("delays", "evidence", "rules", "signals", "tally")]
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in names)).hexdigest()[:12]


def first_at(heights: Sequence[Sequence[float]], limit: float) -> float:
    """When a statistic first reached the limit; inf when it never did."""
    return next((at for at, value in heights if value >= limit), math.inf)


def standing(runs: Runs, years: int, changes: int) -> None:
    """Figures 1 and 2 for standing streams."""
    for case in CASES:
        tops = runs.of(f"healthy {case.name}", partial(healthy, case), years)
        for name, text, limit in case.published:
            hits = sum(year[name] >= limit for year in tops)
            low, high = wilson(hits, years)
            tell(figure=1, case=case.name, rule=name, limit=text, false_years=hits, runs=years,
                 share=round(hits / years, 4), low=round(low, 4), high=round(high, 4))  # fmt: skip
        names = [name for name in RULES if any(year[name] > 0 for year in tops)]
        limits = {f"{name}|equal": quantile([y[name] for y in tops], 0.95) * (1 + 1e-9) for name in names}
        limits |= {f"{name}|{text}": limit for name, text, limit in case.published}
        if any(limit > LIMIT for key, limit in limits.items() if key.startswith("penstock")):
            raise SystemExit("a healthy stream in twenty reaches more than our own limit: runs do not look so far")
        for multiple in MULTIPLES:
            heights = runs.of(f"bad {case.name} {multiple}", partial(bad, case, multiple), changes)
            for key, limit in limits.items():
                name, _, text = key.partition("|")
                tell(figure=2, case=case.name, multiple=multiple, rule=name, limit=text, at=round(limit, 5),
                     runs=changes, unit="hours", **spread([first_at(run[name], limit) for run in heights]))  # fmt: skip


def campaigns(runs: Runs, count: int) -> None:
    """Figures 1 and 2 for campaigns, in messages."""
    for p0, size in ((0.001, 100_000), (0.02, 50_000)):

        def drawn(multiple: float, p0: float = p0, size: int = size) -> list[Any]:
            true = p0 * multiple
            return runs.of(f"campaign {p0} {multiple}", partial(campaign, p0, true, size), count)

        plain = {"penstock": math.log(100), "naive": p0, "wilson": 2.326, "ses": 5 * p0}
        good = drawn(0.5)
        for multiple, drawn_here in ((0.5, good), (1, drawn(1))):  # the promise holds up to the threshold itself
            for name, limit in plain.items():
                hits = sum(first_at(run[name], limit) < math.inf for run in drawn_here)
                low, high = wilson(hits, count)
                tell(figure=1, case=f"campaign, {p0:.1%}", true=p0 * multiple, rule=name, limit="published",
                     false_runs=hits, runs=count, share=round(hits / count, 4), low=round(low, 4),
                     high=round(high, 4))  # fmt: skip
        tops = {name: [run[name][-1][1] if run[name] else -math.inf for run in good] for name in plain}
        equal = {name: quantile(tops[name], 0.99) + 1e-9 for name in tops}
        for multiple in MULTIPLES:
            heights = drawn(multiple)
            for name in tops:
                for text, limit in (("published", plain[name]), ("equal", equal[name])):
                    tell(figure=2, case=f"campaign, {p0:.1%}", multiple=multiple, rule=name, limit=text,
                         at=round(limit, 5), runs=count, unit="messages",
                         **spread([first_at(run[name], limit) for run in heights]))  # fmt: skip


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="bad standing streams of each case and multiple")
    parser.add_argument("--years", type=int, help="healthy standing streams; default: as --runs")
    parser.add_argument("--campaigns", type=int, help="campaigns of each kind; default: ten times --runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["standing", "campaign"])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--save", type=Path, help="keep each run's outcome here, and take from here what is there")
    given = parser.parse_args()
    runs = Runs(given.save, given.seed, given.jobs)
    if given.only != "standing":
        campaigns(runs, given.campaigns or 10 * given.runs)
    if given.only != "campaign":
        standing(runs, given.years or given.runs, given.runs)


if __name__ == "__main__":
    main()
