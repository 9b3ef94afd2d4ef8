"""The form of a result: one JSON line a figure.

    {"benchmark","subject","metric","unit","median","min","max","runs","durability"}

A subject that cannot be measured here is told as a line `NOT MEASURED: …` with the package that it needs.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

SQLITE = "SQLite WAL, synchronous=FULL: an fsync a commit, answered after it"
NONE = "nothing is stored"


def report(
    benchmark: str, subject: str, metric: str, unit: str, values: Sequence[float], *, durability: str = SQLITE
) -> None:
    """Print one figure."""
    line = {
        "benchmark": benchmark, "subject": subject, "metric": metric, "unit": unit,
        "median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3),
        "runs": len(values), "durability": durability,
    }  # fmt: skip
    print(json.dumps(line), flush=True)


def not_measured(subject: str, why: str) -> None:
    """Say that a subject is absent, and what would bring it."""
    print(f"NOT MEASURED: {subject}: {why}", flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
