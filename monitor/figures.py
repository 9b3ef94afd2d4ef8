"""Signals as figures for people: each by the scopes asked for, with interval and maturity.  Pure.

Contract: `figures` divides what `monitor.signals` says, over cohorts since ≤ c ≤ now.  Nothing is guessed: where a
signal says nothing the rate is None and `unknown` says why; it is never 0.  `maturity` is the share of events that can
have come by now (0–1): a rate of young mail is too low by about that factor for what comes late.  Rates that depend on
the kind of mail (opens, clicks) are always told by stream, so that triggered and bulk mail are not mixed.  Providers
that the table does not know are told together as `other`.  Intervals are 95 % Wilson score intervals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from core.lane import HOUR, Scope, Traffic
from core.rates import wilson
from core.state import CounterKey
from monitor.evidence import DelayEnvelope
from monitor.signals import SIGNALS, Signal

DIMENSIONS = ("source", "sending_domain", "provider", "stream", "campaign", "list_source")
LANE = ("source", "sending_domain", "provider")
OTHER = "other"
MATURE = 0.9  # from here on a rate is called mature


class Unknown(StrEnum):
    """Why there is no rate."""

    NO_MAIL = "no_mail"  # nothing of its denominator was counted
    NO_FEEDBACK = "no_feedback"  # the provider sends no complaint reports
    NOT_TRACKED = "not_tracked"  # the stream has no pixel, or no tracked links
    NO_SEEDS = "no_seeds"  # no seed mail was sent there


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One signal of one scope.  `bad` of `total`; for good signals (opens) `bad` is what one wants."""

    signal: str
    scope: Scope
    bad: int = 0
    total: int = 0
    maturity: float = 1.0
    unknown: Unknown | None = None

    @property
    def rate(self) -> float | None:
        return min(1.0, self.bad / self.total) if self.unknown is None else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.bad, self.total) if self.unknown is None else None

    @property
    def mature(self) -> bool:
        return self.unknown is None and self.maturity >= MATURE


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known besides counters: silent providers, streams that are tracked, reporting delays."""

    no_feedback: frozenset[str] = frozenset()
    opens: frozenset[str] = frozenset()
    clicks: frozenset[str] = frozenset()
    envelopes: Mapping[str, DelayEnvelope] = field(default_factory=dict)


@dataclass(slots=True)
class _Sum:
    bad: int = 0
    total: int = 0
    came: float = 0.0
    silent: bool = False


def figures(
    counters: Mapping[CounterKey, int],
    *,
    by: Sequence[str],
    known: Known,
    since: int,
    now: float,
    signals: Iterable[str] = tuple(SIGNALS),
    transactional: Sequence[str] = (),
) -> list[Figure]:
    """Every wanted signal of every scope with mail since cohort `since`, sorted by signal and scope.

    `transactional` streams are left out unless `by` names the stream."""
    wanted = [name for name in SIGNALS if name in set(signals)]
    sums: dict[tuple[str, Scope], _Sum] = defaultdict(_Sum)
    seen: set[Scope] = set()
    for key, n in counters.items():
        traffic, cohort = key.attribution.traffic, key.attribution.cohort
        if cohort < since or not traffic.lane.provider or (traffic.stream in transactional and "stream" not in by):
            continue
        seen.add(scope_of(traffic, by))
        for name in wanted:
            signal = SIGNALS[name]
            is_bad, is_total = key.metric in signal.bad, key.metric in signal.total
            if not (is_bad or is_total):
                continue
            into = sums[name, scope_of(traffic, _dimensions(by, signal))]
            if not _says(signal, traffic, known):
                into.silent = True
                continue
            into.bad += n if is_bad else 0
            if is_total:
                into.total += n
                into.came += n * _come(signal, str(traffic.lane.provider), now / HOUR - cohort, known)
    for name in wanted:
        if _dimensions(by, SIGNALS[name]) == tuple(by):
            for scope in seen:
                sums.setdefault((name, scope), _Sum())
    return sorted((_figure(name, scope, found) for (name, scope), found in sums.items()),
                  key=lambda f: (wanted.index(f.signal), f.scope.key))  # fmt: skip


def scope_of(traffic: Traffic, by: Sequence[str]) -> Scope:
    """The named parts of this traffic."""
    provider = str(traffic.lane.provider)
    values = {
        "source": str(traffic.lane.source), "sending_domain": str(traffic.lane.sending_domain),
        "provider": OTHER if provider.startswith("other:") else provider, "stream": str(traffic.stream),
        "campaign": str(traffic.campaign), "list_source": traffic.list_source,
    }  # fmt: skip
    named: dict[str, Any] = {name: values[name] for name in by}
    return Scope(**named)


def _dimensions(by: Sequence[str], signal: Signal) -> tuple[str, ...]:
    apart = signal.needs in ("opens", "clicks") and "stream" not in by
    return (*by, "stream") if apart else tuple(by)


def _says(signal: Signal, traffic: Traffic, known: Known) -> bool:
    provider = str(traffic.lane.provider)
    if signal.feedback:
        return provider not in known.no_feedback and not (provider.startswith("other:") and OTHER in known.no_feedback)
    if signal.needs in ("opens", "clicks"):
        return traffic.stream in (known.opens if signal.needs == "opens" else known.clicks)
    return True


def _come(signal: Signal, provider: str, age: float, known: Known) -> float:
    """The share of a cohort's events that can have come at an age in hours."""
    if signal.feedback and provider in known.envelopes:
        return known.envelopes[provider].share(age)
    return 1.0 if signal.mature_hours <= 0 else min(1.0, max(0.0, age / signal.mature_hours))


def _figure(name: str, scope: Scope, found: _Sum) -> Figure:
    signal = SIGNALS[name]
    if found.total > 0:
        return Figure(
            signal=name, scope=scope, bad=found.bad, total=found.total, maturity=min(1.0, found.came / found.total)
        )
    why = Unknown.NO_MAIL
    if signal.needs == "seeds":
        why = Unknown.NO_SEEDS
    elif found.silent:
        why = Unknown.NO_FEEDBACK if signal.feedback else Unknown.NOT_TRACKED
    return Figure(signal=name, scope=scope, maturity=0.0, unknown=why)
