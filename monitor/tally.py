"""Counts of one rule, grouped by its dimensions: by hour and by day of each scope, and what is judged apart.

Contract: `add` takes counters in any order and pieces; `forget` drops what lies before the rule's window.  A scope's
scope of the rule (`scope_of`) is the narrowest one that is kept apart, else the rule's own grouping.

What is not counted: transactional streams where the rule spares them, mail without a campaign under a rule by
campaign, and for complaints the providers that send no reports (their silence would dilute the rate).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from config.tables import Rule
from core.lane import DAY, HOUR, Attribution, Scope, Traffic, cohort_of, day_of
from core.metrics import Metric
from core.state import CounterKey
from monitor.evidence import DelayEnvelope
from monitor.signals import SIGNALS

HOURS_A_DAY = int(DAY // HOUR)


@dataclass(slots=True)
class Sum:
    """Counts of some span of time."""

    bad: int = 0
    total: int = 0
    attempted: int = 0
    by_provider: dict[str, int] = field(default_factory=dict)  # totals, where reports come late


class ScopeTally:
    """Counts of one scope by hour and by day."""

    __slots__ = ("days", "hours", "providers", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.hours: dict[int, Sum] = {}
        self.days: dict[int, Sum] = {}
        self.providers: set[str] = set()

    def total(self) -> int:
        """Of all days."""
        return sum(s.total for s in self.days.values())

    @property
    def counts(self) -> bool:
        """False when nothing is left in it."""
        return any(s.bad or s.total or s.attempted for s in self.days.values())


class Tally:
    """One rule with its counts.  `no_feedback` names providers without complaint reports ('other' for unknown ones)."""

    def __init__(
        self,
        rule: Rule,
        *,
        transactional: Sequence[str] = (),
        no_feedback: frozenset[str] = frozenset(),
        envelopes: Mapping[str, DelayEnvelope] | None = None,
    ) -> None:
        self.rule = rule
        self.signal = SIGNALS[rule.signal]
        self._spare = (*(transactional if rule.spare_transactional else ()), *rule.spare)
        self._no_feedback = no_feedback
        self.envelopes: Mapping[str, DelayEnvelope] = dict(envelopes or {})  # may be replaced at any time
        self._tallies: dict[str, ScopeTally] = {}
        self._able: set[str] = set()
        self._scope_of: dict[Traffic, Scope | None] = {}
        self.apart: dict[str, Scope] = {}  # narrower scopes that are judged by themselves (monitor.narrowing)
        wanted = {*self.signal.bad, *self.signal.total, Metric.ATTEMPTED}
        # metric → whether it counts as bad, as total, as a first attempt
        self.metrics: dict[str, tuple[bool, bool, bool]] = {
            metric: (metric in self.signal.bad, metric in self.signal.total, metric is Metric.ATTEMPTED)
            for metric in wanted
        }

    @property
    def standing(self) -> bool:
        """True for streams without an end; campaigns end."""
        return "campaign" not in self.rule.by

    @property
    def sharing(self) -> int:
        """K: how many scopes share the false-alarm budget; at least 1."""
        return max(1, len(self._able))

    def scopes(self) -> list[Scope]:
        """Every scope with counts in the window."""
        return [tally.scope for tally in self._tallies.values()]

    def scope(self, key: str) -> Scope | None:
        """The scope of that key, None when it has no counts."""
        tally = self._tallies.get(key)
        return tally.scope if tally else None

    def scope_of(self, traffic: Traffic) -> Scope | None:
        """Under which scope this traffic is judged; None when the rule does not count it."""
        try:  # one hash of the traffic: this is asked for each counter under each rule
            return self._scope_of[traffic]
        except KeyError:
            if len(self._scope_of) > 100_000:
                self._scope_of.clear()
            found = self._scope_of[traffic] = self._find_scope(traffic)
            return found

    def whole_of(self, scope: Scope) -> Scope:
        """The rule's own grouping around a scope of it."""
        return Scope(**{name: getattr(scope, name) for name in self.rule.by}, spare=scope.spare)

    def add(self, key: CounterKey, n: int) -> Scope | None:
        """Count; the scope that changed, None when the rule does not look at this counter."""
        scope = self.scope_of(key.attribution.traffic) if key.metric in self.metrics else None
        if scope is not None:
            self.count(scope, scope.key, key.attribution, key.metric, n)
        return scope

    def count(self, scope: Scope, name: str, under: Attribution, metric: str, n: int) -> None:
        """Count under a scope that was asked for before and its key; `metric` is one of `metrics`."""
        is_bad, is_total, is_first = self.metrics[metric]
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = ScopeTally(scope)
        cohort = under.cohort
        hour, day = tally.hours.get(cohort), tally.days.get(cohort // HOURS_A_DAY)
        if hour is None:
            hour = tally.hours[cohort] = Sum()
        if day is None:
            day = tally.days[cohort // HOURS_A_DAY] = Sum()
        if is_bad:
            hour.bad += n
            day.bad += n
        if is_first:
            hour.attempted += n
            day.attempted += n
        if is_total:
            hour.total += n
            day.total += n
            if self.signal.feedback:
                provider = str(under.traffic.lane.provider)
                hour.by_provider[provider] = hour.by_provider.get(provider, 0) + n
                tally.providers.add(provider)
        if name not in self._able and tally.total() >= self.rule.minimum_bad:
            self._able.add(name)

    def keep_apart(self, scopes: Sequence[Scope], counters: Mapping[CounterKey, int]) -> set[str]:
        """Judge exactly these narrower scopes by themselves; keys of the scopes whose counts that changed.

        `counters` are all that was ever added."""
        wanted = {scope.key: scope for scope in sorted(scopes, key=lambda s: (-s.key.count(","), s.key))}
        if wanted.keys() == self.apart.keys():
            return set()
        other = [scope for key, scope in (wanted | self.apart).items() if (key in wanted) != (key in self.apart)]
        moved = [(k, n) for k, n in counters.items() if any(s.covers(k.attribution.traffic) for s in other)]
        for key, n in moved:
            self.add(key, -n)
        self.apart = wanted
        self._scope_of.clear()
        changed = {scope.key for key, n in moved if (scope := self.add(key, n)) is not None}
        self._tallies = {key: tally for key, tally in self._tallies.items() if key in wanted or tally.counts}
        self._able &= self._tallies.keys()
        return changed

    def counts_by_traffic(
        self,
        scope: Scope,
        counters: Mapping[CounterKey, int],
        since: int,
        share: Callable[[Attribution], float] = lambda _: 1.0,
    ) -> dict[Traffic, tuple[int, int]]:
        """(bad, total) of the scope's mail by traffic, from the cohort `since` on; of the total the `share`, 0 … 1."""
        sums: dict[Traffic, list[float]] = {}
        for key, n in counters.items():
            if key.attribution.cohort < since or (counts_as := self.metrics.get(key.metric)) is None:
                continue
            traffic = key.attribution.traffic
            if self.scope_of(traffic) == scope:
                into = sums.setdefault(traffic, [0, 0])
                into[0] += n if counts_as[0] else 0
                into[1] += n * share(key.attribution) if counts_as[1] else 0
        return {traffic: (int(bad), math.ceil(total - 1e-6)) for traffic, (bad, total) in sums.items() if bad or total}

    def forget(self, now: float) -> None:
        """Drop what lies before the window."""
        first = self.first_day(now)
        for name, tally in list(self._tallies.items()):
            for day in [d for d in tally.days if d < first]:
                del tally.days[day]
                for hour in range(day * HOURS_A_DAY, (day + 1) * HOURS_A_DAY):
                    tally.hours.pop(hour, None)
            if not tally.days:
                del self._tallies[name]
        self._able = {n for n, t in self._tallies.items() if t.total() >= self.rule.minimum_bad}

    def recent(self, scope: Scope, hours: int, now: float) -> tuple[int, int]:
        """(bad, total) of the last `hours` cohorts."""
        tally, last = self._tallies.get(scope.key), cohort_of(now)
        sums = [] if tally is None else [s for h, s in tally.hours.items() if last - hours < h <= last]
        return sum(s.bad for s in sums), sum(s.total for s in sums)

    def of(self, scope: Scope) -> ScopeTally:
        """The counts of a scope; empty ones when it has none."""
        return self._tallies.get(scope.key) or ScopeTally(scope)

    def first_day(self, now: float) -> int:
        """Of the rule's window."""
        return day_of(now) - self.rule.window_days + 1

    def _find_scope(self, traffic: Traffic) -> Scope | None:
        if traffic.stream in self._spare:
            return None
        if self.signal.feedback and self._is_silent(traffic.lane.provider):
            return None
        for scope in self.apart.values():
            if scope.covers(traffic):
                return scope
        values = {
            "source": str(traffic.lane.source),
            "sending_domain": str(traffic.lane.sending_domain),
            "provider": str(traffic.lane.provider),
            "stream": str(traffic.stream),
            "campaign": str(traffic.campaign),
            "list_source": traffic.list_source,
        }
        named = {name: values[name] for name in self.rule.by}
        if not all(named.values()):  # an empty part would widen the scope to all traffic
            return None
        return Scope(**named, spare=self._spare)

    def _is_silent(self, provider: str) -> bool:
        return provider in self._no_feedback or (provider.startswith("other:") and "other" in self._no_feedback)
