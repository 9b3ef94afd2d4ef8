"""Warm-up: the adaptive controller beside every shipped table, over every shipped provider model and perturbed ones.

    python benchmarks/warmup_plans.py [--seeds N] [--first-seed N] [--daily N] [--days N] [--plans NAME …]
                                      [--models NAME …] [--perturbed K [--only even|odd] [--family NAME]]
                                      [--models-dir DIR] [--jobs N] [--markdown] [--save FILE] [--read FILE …]

Each run is one lane with one model (service.simulate_fast): the service's admission, steps, controller, retries, rests,
rules and guard against the providers' engine by the handful.  Run r draws from Random(f"{r} {model}"), the same for
every plan, so that plans are compared pair by pair.

Choosing and checking are kept apart.  Factors are chosen on seeds from 1000 on of the shipped models and on the even
ones of `--perturbed K`, models whose parameters are drawn at random around the shipped ones (`perturb`).  They are
checked on seeds 0 to 199, on the odd ones, and on models of other files (`--models-dir tests/sim/models`).

Prints JSON lines, one for each plan and model: means and 95 % intervals (normal, over seeds) of inboxed mail, refusals
for rate, low reputation and blocks, complaints; and of the paired differences adaptive − plan.  `--markdown` prints the
tables of docs/warmup-quality.md.  45 days at any volume take 0.02 to 0.2 s of one core.  What `--save` holds is not
done again, so that a long run may be stopped and gone on with.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.resources import files
from multiprocessing import Pool
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from config.load import load_rules
from config.plans import Plan
from sandbox.simulated import Incident, Shares, SimulationModel, parse_model, shipped_models
from service.simulate import SETTINGS
from service.simulate_fast import FastLane

RULES = load_rules(SETTINGS)
COLUMNS = ("inboxed", "refused", "blocked", "complaints", "sent", "reached")
ADAPTIVE = "adaptive"
BLOCK = 10  # seeds that are run together: every plan and model has its first ones before any has the next


def shipped_plans() -> dict[str, Plan]:
    """Every plan that ships, by name."""
    folder = files("config") / "data" / "plans"
    found = [Plan.model_validate(tomllib.loads(f.read_text("utf-8"))) for f in folder.iterdir()]
    return {plan.name: plan for plan in sorted(found, key=lambda plan: plan.name)}


def perturb(model: SimulationModel, rng: Random, name: str) -> SimulationModel:
    """Another model of the same schema: each number drawn around the shipped one, incidents moved."""
    built = model.built()

    def about(value: float, spread: float, low: float = 0.0, high: float = math.inf) -> float:
        return min(high, max(low, value * math.exp(rng.gauss(0, spread))))

    habit, people = built.reputation, model.audience
    below = about(habit.junk_below, 0.15, 0.15, 0.6)
    defer = min(below * 0.8, about(habit.defer_below, 0.2, 0.05, 0.4))
    changed: dict[str, Any] = {
        "volume": {
            "floor": round(about(built.volume.floor, 0.7, 20)), "tolerance": about(built.volume.tolerance, 0.3, 1.15),
            "memory": about(built.volume.memory, 0.03, 0.7, 0.99),
        },
        "reputation": {
            "start": about(habit.start, 0.15, max(0.3, below * 1.05), 0.9), "wanted": about(habit.wanted, 0.4),
            "complaint": about(habit.complaint, 0.4), "unknown_user": about(habit.unknown_user, 0.4),
            "burst": about(habit.burst, 0.6), "heal_per_day": about(habit.heal_per_day, 0.4, 0, 0.3),
            "junk_below": below, "defer_below": defer, "block_below": defer * 0.5,
        },
        "complaints": {
            name: about(getattr(built.complaints, name), 0.4, 0, 1)
            for name in ("engaged", "casual", "sleeping", "delay_median_hours")
        },
        "greylisting": {"share": about(built.greylisting.share, 0.4, 0, 0.8)},
    }  # fmt: skip
    behaviour = dict(model.behaviour)
    for part, values in changed.items():
        behaviour[part] = {**behaviour.get(part, {}), **values}
    audience = Shares(
        engaged=about(people.engaged, 0.2, 0.05, 1), casual=about(people.casual, 0.2, 0.01, 1),
        sleeping=about(people.sleeping, 0.3, 0.01, 1), dead=about(people.dead, 0.5, 0, 0.1),
        annoyed=about(people.annoyed, 0.5, 0, 0.05),
    )  # fmt: skip
    incidents: list[Incident] = [
        incident.model_copy(update={"day": max(2, incident.day + rng.randint(-4, 8)),
                                    "days": max(1, incident.days + rng.randint(-1, 2))})
        for incident in model.incidents
    ]  # fmt: skip
    return model.model_copy(update={"name": name, "behaviour": behaviour, "audience": audience, "incidents": incidents})


def perturbed_models(count: int, family: str = "perturbed") -> list[SimulationModel]:
    """`count` models, turn by turn around each shipped one.  Another `family` draws others."""
    shipped = list(shipped_models().values())
    return [
        perturb(shipped[i % len(shipped)], Random(f"{family} {i}"), f"{shipped[i % len(shipped)].name}_p{i}")
        for i in range(count)
    ]


def chosen_models(
    perturbed: int, only: str | None, folder: Path | None, family: str = "perturbed"
) -> list[SimulationModel]:
    """The shipped ones, perturbed ones (all, the even or the odd ones), or those of a folder."""
    if folder is not None:
        return [parse_model(file.read_text("utf-8"), file.name) for file in sorted(folder.glob("*.toml"))]
    if not perturbed:
        return list(shipped_models().values())
    start, step = {"even": (0, 2), "odd": (1, 2)}.get(only or "", (0, 1))
    return perturbed_models(perturbed, family)[start::step]


def run(task: tuple[Plan, SimulationModel, int, int, int]) -> dict[str, float]:
    """One run's sums."""
    plan, model, seed, daily, days = task
    lane = FastLane(plan, RULES, model, daily, f"{seed} {model.name}")
    reached, before = 0, 0
    for day in range(days):
        lane.day(day)
        sent = lane.totals["sent"] + lane.totals["bounced"]
        if not reached and sent - before >= 0.95 * daily:
            reached = day + 1
        before = sent
    sums = lane.totals
    return {
        "inboxed": sums["inboxed"], "refused": sums["limited"] + sums["low"], "blocked": sums["blocked"],
        "complaints": sums["complaints"], "sent": sums["sent"], "reached": reached or days + 1,
    }  # fmt: skip


def _cell(task: tuple[Plan, SimulationModel, range, int, int]) -> tuple[str, str, int, list[dict[str, float]]]:
    plan, model, seeds, daily, days = task
    return plan.name, model.name, seeds.start, [run((plan, model, seed, daily, days)) for seed in seeds]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """(mean, half width of its 95 % interval)."""
    return fmean(values), 1.96 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--daily", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=45)
    parser.add_argument("--first-seed", type=int, default=0, help="a multiple of 10")
    parser.add_argument("--perturbed", type=int, default=0)
    parser.add_argument("--only", choices=["even", "odd"], help="of the perturbed models")
    parser.add_argument("--family", default="perturbed", help="other perturbed models, never looked at before")
    parser.add_argument("--models-dir", type=Path, help="model files in place of the shipped ones")
    parser.add_argument("--plans", nargs="*", default=[])
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--read", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    blocks: dict[tuple[str, str], dict[int, list[dict[str, float]]]] = defaultdict(dict)
    if given.save and given.save.exists():
        given.read.append(given.save)  # what an earlier call has done is not done again
    for path in given.read:
        for line in path.read_text("utf-8").splitlines():
            plan, model, first, rows = json.loads(line)
            blocks[plan, model][first] = rows
    if given.save or not given.read:
        plans = [p for p in shipped_plans().values() if not given.plans or p.name in given.plans]
        models = chosen_models(given.perturbed, given.only, given.models_dir, given.family)
        models = [m for m in models if not given.models or m.name.partition("_p")[0] in given.models]
        end = given.first_seed + given.seeds
        tasks = [
            (plan, model, range(first, min(first + BLOCK, end)), given.daily, given.days)
            for first in range(given.first_seed, end, BLOCK) for model in models for plan in plans
            if first not in blocks[plan.name, model.name]
        ]  # fmt: skip
        with Pool(given.jobs) as pool:
            for plan, model, first, rows in pool.imap_unordered(_cell, tasks):
                blocks[plan, model][first] = rows
                if given.save:
                    with given.save.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([plan, model, first, rows]) + "\n")
    results = {cell: [row for _, part in sorted(found.items()) for row in part] for cell, found in blocks.items()}
    fewest = min(map(len, results.values()))
    results = {cell: rows[:fewest] for cell, rows in results.items()}
    if given.markdown:
        print("\n".join(markdown(results)))
    else:
        for (plan, model), rows in sorted(results.items()):
            print(json.dumps(summary(plan, model, rows, results.get((ADAPTIVE, model), []))))


def summary(
    plan: str, model: str, rows: Sequence[dict[str, float]], adaptive: Sequence[dict[str, float]]
) -> dict[str, object]:
    """Means with intervals, and the paired differences."""
    line: dict[str, object] = {"plan": plan, "model": model, "runs": len(rows)}
    for column in COLUMNS:
        mean, half = interval([row[column] for row in rows])
        line[column] = [round(mean, 1), round(half, 1)]
    if adaptive and plan != ADAPTIVE:
        for column in ("inboxed", "refused", "blocked", "complaints"):
            mean, half = interval([a[column] - row[column] for a, row in zip(adaptive, rows, strict=True)])
            line[f"adaptive_{column}"] = [round(mean, 1), round(half, 1)]
    return line


def markdown(results: dict[tuple[str, str], list[dict[str, float]]]) -> Iterable[str]:
    """A table of every plan over all models, and one of adaptive against the best table for each model."""
    by_plan: dict[str, list[dict[str, float]]] = defaultdict(list)
    models = sorted({model for _, model in results})
    plans = sorted({plan for plan, _ in results})
    for plan in plans:
        for model in models:
            by_plan[plan] += results[plan, model]
    ours = by_plan[ADAPTIVE]
    yield "| plan | inboxed | refused | blocked | complaints | complaints / 100,000 inboxed | refused, blocked | won |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for plan in sorted(plans, key=lambda p: (p != ADAPTIVE, -fmean(row["inboxed"] for row in by_plan[p]))):
        rows = by_plan[plan]
        cells = []
        for column, digits in (("inboxed", 0), ("refused", 0), ("blocked", 1), ("complaints", 0)):
            mean, half = interval([row[column] for row in rows])
            cells.append(f"{mean:,.{digits}f} ± {half:,.{digits}f}")
        inboxed = max(1.0, sum(row["inboxed"] for row in rows))
        for names in (("complaints",), ("refused", "blocked")):
            cells.append(f"{1e5 * sum(row[n] for row in rows for n in names) / inboxed:,.1f}")
        wins = fmean(a["inboxed"] > row["inboxed"] for a, row in zip(ours, rows, strict=True))
        cells.append("" if plan == ADAPTIVE else f"{wins:.0%}")
        yield f"| {plan} | {' | '.join(cells)} |"
    yield ""
    yield "| model | adaptive | best table | its | adaptive − it | refused, blocked: a. | t. | complaints: a. | t. |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for model in models:
        own = results[ADAPTIVE, model]
        best = max((p for p in plans if p != ADAPTIVE), key=lambda p: fmean(r["inboxed"] for r in results[p, model]))
        other = results[best, model]
        mean, half = interval([a["inboxed"] - b["inboxed"] for a, b in zip(own, other, strict=True)])
        a, b = (fmean(r["inboxed"] for r in rows) for rows in (own, other))
        bad = [fmean(r["refused"] + r["blocked"] for r in rows) for rows in (own, other)]
        angry = [fmean(r["complaints"] for r in rows) for rows in (own, other)]
        yield (
            f"| {model} | {a:,.0f} | {best} | {b:,.0f} | {mean:+,.0f} ± {half:,.0f} ({mean / max(1, b):+.1%}) | "
            f"{bad[0]:,.0f} | {bad[1]:,.0f} | {angry[0]:,.0f} | {angry[1]:,.0f} |"
        )


if __name__ == "__main__":
    main()
