"""Localisation: of the mail of a scope that alarms, the narrowest parts that explain the excess.  Pure.

Contract: `culprits` takes the counts of the scope by traffic and gives the parts to close instead of the whole: each
has the trouble by itself, the rest shows none, and they differ so clearly that the split is no accident of having
looked at many.  One part if one explains it, else up to MAX_CULPRITS; none when nothing narrower explains it: then the
scope as it stands is the answer.

Why this costs no false alarms: only a scope that has alarmed is split, and what is closed is less than the whole.  What
is asked for the difference is a likelihood ratio (two rates against one) of at least DIFFERENCE times the number of
parts that were looked at, so that among a hundred healthy campaigns chance does not name a culprit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from core.lane import Scope, Traffic
from monitor.evidence import log_e_rate

DIMENSIONS = ("list_source", "campaign", "provider", "source", "sending_domain", "stream")
MAX_DIMENSIONS = 2  # a part is narrower by one dimension or by two
MAX_CULPRITS = 3
MAX_PARTS = 20_000
DIFFERENCE = 20.0
OWN_EVIDENCE = 20.0  # what the part's own evidence must reach; the whole has passed the rule's limit
CLEAN = 2.0  # evidence of the rest up to which it counts as clean

Counts = Mapping[Traffic, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The part to close, and the rest that goes on."""

    scope: Scope
    bad: int
    total: int
    rest_bad: int
    rest_total: int
    clearness: float = 0.0  # log of the likelihood ratio: two rates against one

    def explains(self, threshold: float) -> bool:
        """True when without this part nothing speaks against the rest."""
        return log_e_rate(self.rest_bad, self.rest_total, threshold) <= math.log(CLEAN)


def culprits(whole: Scope, counts: Counts, threshold: float) -> tuple[Part, ...]:
    """See the module.  `counts`: (bad, total) of all traffic inside `whole`; `threshold`: the rule's rate, 0 … 1."""
    found: list[Part] = []
    left = dict(counts)
    for _ in range(MAX_CULPRITS):
        likely = _likely(whole, left, threshold)
        best = _best(whole, left, likely, threshold)
        if best is not None:
            return beside(counts, [*found, best])
        if not likely:
            return ()
        worst = max(likely, key=lambda part: (part.clearness, -part.total, part.scope.key))
        found.append(worst)
        left = {traffic: told for traffic, told in left.items() if not worst.scope.covers(traffic)}
    return ()


def _best(whole: Scope, counts: Counts, likely: Sequence[Part], threshold: float) -> Part | None:
    """Of the parts that explain the excess: named by as little as will do, and by more only where that is clear."""
    explaining = [part for part in likely if part.explains(threshold)]
    named = _parts_named(whole) + 1
    simple = [part for part in explaining if _parts_named(part.scope) == named]
    # least mail held; then by name, so that a replay gives the same
    best = min(simple or explaining, key=lambda part: (part.total, part.scope.key), default=None)
    if best is None or best not in simple:
        return best
    inside = {traffic: told for traffic, told in counts.items() if best.scope.covers(traffic)}
    narrower = [
        part
        for part in _likely(best.scope, inside, threshold)
        if part.explains(threshold) and _parts_named(part.scope) == named + 1
    ]
    return min(narrower, key=lambda part: (part.total, part.scope.key), default=best)


def _parts_named(scope: Scope) -> int:
    return sum(bool(getattr(scope, name)) for name in DIMENSIONS)


def _likely(whole: Scope, counts: Counts, threshold: float) -> list[Part]:
    """Parts that are in trouble by themselves and clearly worse than the rest."""
    bad = sum(b for b, _ in counts.values())
    total = sum(max(n, b) for b, n in counts.values())
    parts = [told for told in _parts(whole, counts) if told[1] > 0 and told[2] < total]
    if not parts or len(parts) > MAX_PARTS:
        return []
    wanted = math.log(DIFFERENCE * len(parts))
    found = []
    for scope, part_bad, part_total in parts:
        rest_bad, rest_total = bad - part_bad, total - part_total
        if (
            rest_bad * part_total < part_bad * rest_total
            and (clear := _log_ratio(part_bad, part_total, rest_bad, rest_total)) >= wanted
            and log_e_rate(part_bad, part_total, threshold) >= math.log(OWN_EVIDENCE)
        ):
            found.append(
                Part(
                    scope=scope, bad=part_bad, total=part_total, rest_bad=rest_bad, rest_total=rest_total,
                    clearness=clear,
                )
            )  # fmt: skip
    return found


def beside(counts: Counts, parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts, each with the rest that remains beside all of them."""
    rest = [told for traffic, told in counts.items() if not any(part.scope.covers(traffic) for part in parts)]
    bad, total = sum(b for b, _ in rest), sum(max(n, b) for b, n in rest)
    return tuple(replace(part, rest_bad=bad, rest_total=total) for part in parts)


def _parts(whole: Scope, counts: Counts) -> Iterator[tuple[Scope, int, int]]:
    free = [name for name in DIMENSIONS if not getattr(whole, name)]
    for size in range(1, MAX_DIMENSIONS + 1):
        for names in combinations(free, size):
            sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
            for traffic, (bad, total) in counts.items():
                into = sums[_values(traffic, names)]
                into[0] += bad
                into[1] += max(total, bad)
            for values, (bad, total) in sums.items():
                if all(values):
                    yield _narrow(whole, names, values), bad, total


def _narrow(whole: Scope, names: Sequence[str], values: Sequence[str]) -> Scope:
    told = {name: str(getattr(whole, name)) for name in DIMENSIONS} | dict(zip(names, values, strict=True))
    return Scope(**told, spare=whole.spare)


def _values(traffic: Traffic, names: Sequence[str]) -> tuple[str, ...]:
    told = {
        "source": traffic.lane.source,
        "sending_domain": traffic.lane.sending_domain,
        "provider": traffic.lane.provider,
        "stream": traffic.stream,
        "campaign": traffic.campaign,
        "list_source": traffic.list_source,
    }
    return tuple(str(told[name]) for name in names)


def _log_ratio(bad: int, total: int, rest_bad: int, rest_total: int) -> float:
    """log of the likelihood of two rates over that of one."""
    together = _log_best(bad + rest_bad, total + rest_total)
    return _log_best(bad, total) + _log_best(rest_bad, rest_total) - together


def _log_best(bad: int, total: int) -> float:
    """log likelihood at the most likely rate."""
    if bad <= 0 or bad >= total:
        return 0.0
    return bad * math.log(bad / total) + (total - bad) * math.log1p(-bad / total)
