"""Judges each rule of the table over counters: grouped by its dimensions, since the gate's epoch, less its base.

Contract: `RuleTally.add` takes counters in any order and pieces; `verdict` is pure in (counts, gate, now) and says how
strong the evidence is and which limit it was held against.  A scope without data is QUIET with a denominator of 0.

False alarms, declared: a rule by `campaign` uses the plain e-value of the campaign, so each healthy campaign is paused
with a chance of at most `false_alarm_chance`.  Any other rule watches standing streams with the Shiryaev–Roberts
detector over daily aggregates, limit `false_alarm_days` × K, where K scopes share the budget: those that had enough
mail in the window to be able to alarm.  Slowing has limits of its own: `warn_at` (× K).  A rate is never enough
without `minimum_bad` bad events, or below `minimum_effect` times the threshold.

A rule with `evidence = "window"` is the plain kind: the rate of the last `window_hours` cohorts above the threshold,
with `minimum_total` messages.  It promises nothing; monitor.windows says how often it errs.

What is not counted: transactional streams where the rule spares them, mail without a campaign under a rule by
campaign, and for complaints the providers that send no reports (their silence would dilute the rate).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from config.tables import Rule
from core.events import Evidence
from core.lane import DAY, HOUR, Scope, Traffic, cohort_of, day_of
from core.metrics import Metric
from core.state import CounterKey, Gate
from monitor.evidence import AT_ONCE, DelayEnvelope, log_detector, log_e_delayed, log_e_rate
from monitor.signals import SIGNALS

HOURS_A_DAY = int(DAY // HOUR)
_BIGGEST = 690.0  # math.exp of more overflows; e^690 is beyond any limit


class Level(StrEnum):
    """How strong the evidence is."""

    QUIET = "quiet"
    WARN = "warn"  # strong enough to slow
    ALARM = "alarm"  # strong enough to close
    HARD = "hard"  # as strong even against the hard limit: only a person opens again


class Epoch(Protocol):
    """From where evidence counts: a Gate, or what a rule without a gate found last."""

    @property
    def epoch(self) -> int: ...
    @property
    def base_bad(self) -> int: ...
    @property
    def base_total(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One rule's finding about one scope.

    `calm` is QUIET by a clear margin: what slows and what opens differ.  `attempted` are first attempts that ended
    since the epoch; `here_*` is what the present cohort holds (a new epoch starts from there).
    """

    rule: Rule
    scope: Scope
    level: Level
    evidence: Evidence
    calm: bool
    counted_bad: int
    counted_total: int
    attempted: int
    here_bad: int
    here_total: int


@dataclass(slots=True)
class _Sum:
    bad: int = 0
    total: int = 0
    attempted: int = 0
    by_provider: dict[str, int] = field(default_factory=dict)  # totals, where reports come late


class _ScopeTally:
    """Counts of one scope by hour and by day."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.hours: dict[int, _Sum] = {}
        self.days: dict[int, _Sum] = {}
        self.providers: set[str] = set()

    def total(self) -> int:
        return sum(s.total for s in self.days.values())

    @property
    def counts(self) -> bool:
        """False when nothing is left in it."""
        return any(s.bad or s.total or s.attempted for s in self.days.values())


class RuleTally:
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
        self._signal = SIGNALS[rule.signal]
        self._spare = (*(transactional if rule.spare_transactional else ()), *rule.spare)
        self._no_feedback = no_feedback
        self.envelopes: Mapping[str, DelayEnvelope] = dict(envelopes or {})  # may be replaced at any time
        self._tallies: dict[str, _ScopeTally] = {}
        self._able: set[str] = set()
        self._scope_of: dict[Traffic, Scope | None] = {}
        self._apart: dict[str, Scope] = {}  # narrower scopes that are judged by themselves (monitor.narrowing)

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

    def add(self, key: CounterKey, n: int) -> Scope | None:
        """Count; the scope that changed, None when the rule does not look at this counter."""
        signal, metric = self._signal, key.metric
        is_bad, is_total = metric in signal.bad, metric in signal.total
        wanted = is_bad or is_total or metric == Metric.ATTEMPTED
        scope = self.scope_of(key.attribution.traffic) if wanted else None
        if scope is None:
            return None
        name = scope.key
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = _ScopeTally(scope)
        cohort = key.attribution.cohort
        for sums, at in ((tally.hours, cohort), (tally.days, cohort // HOURS_A_DAY)):
            into = sums.get(at)
            if into is None:
                into = sums[at] = _Sum()
            into.bad += n if is_bad else 0
            into.total += n if is_total else 0
            into.attempted += n if metric == Metric.ATTEMPTED else 0
            if signal.feedback and is_total:
                provider = str(key.attribution.traffic.lane.provider)
                into.by_provider[provider] = into.by_provider.get(provider, 0) + n
                tally.providers.add(provider)
        if name not in self._able and tally.total() >= self.rule.minimum_bad:
            self._able.add(name)
        return scope

    def keep_apart(self, scopes: Sequence[Scope], counters: Mapping[CounterKey, int]) -> set[str]:
        """Judge exactly these narrower scopes by themselves; keys of the scopes whose counts that changed.

        `counters` are all that was ever added."""
        wanted = {scope.key: scope for scope in sorted(scopes, key=lambda s: (-s.key.count(","), s.key))}
        if wanted.keys() == self._apart.keys():
            return set()
        other = [scope for key, scope in (wanted | self._apart).items() if (key in wanted) != (key in self._apart)]
        moved = [(k, n) for k, n in counters.items() if any(s.covers(k.attribution.traffic) for s in other)]
        for key, n in moved:
            self.add(key, -n)
        self._apart = wanted
        self._scope_of.clear()
        changed = {scope.key for key, n in moved if (scope := self.add(key, n)) is not None}
        self._tallies = {key: tally for key, tally in self._tallies.items() if key in wanted or tally.counts}
        self._able &= self._tallies.keys()
        return changed

    def counts_by_traffic(
        self, scope: Scope, counters: Mapping[CounterKey, int], since: int
    ) -> dict[Traffic, tuple[int, int]]:
        """(bad, total) of the scope's mail by traffic, from the cohort `since` on."""
        sums: dict[Traffic, list[int]] = {}
        for key, n in counters.items():
            traffic = key.attribution.traffic
            if key.attribution.cohort >= since and self.scope_of(traffic) == scope:
                into = sums.setdefault(traffic, [0, 0])
                into[0] += n if key.metric in self._signal.bad else 0
                into[1] += n if key.metric in self._signal.total else 0
        return {traffic: (bad, total) for traffic, (bad, total) in sums.items() if bad or total}

    def forget(self, now: float) -> None:
        """Drop what lies before the window."""
        first = self._first_day(now)
        for name, tally in list(self._tallies.items()):
            for day in [d for d in tally.days if d < first]:
                del tally.days[day]
            for hour in [h for h in tally.hours if h < first * HOURS_A_DAY]:
                del tally.hours[hour]
            if not tally.days:
                del self._tallies[name]
        self._able = {n for n, t in self._tallies.items() if t.total() >= self.rule.minimum_bad}

    def recent(self, scope: Scope, hours: int, now: float) -> tuple[int, int]:
        """(bad, total) of the last `hours` cohorts."""
        tally, last = self._tallies.get(scope.key), cohort_of(now)
        sums = [] if tally is None else [s for h, s in tally.hours.items() if last - hours < h <= last]
        return sum(s.bad for s in sums), sum(s.total for s in sums)

    def verdict(self, scope: Scope, gate: Epoch | None, now: float) -> Verdict:
        """Judge one scope.  `gate` gives the epoch and base from which evidence counts."""
        tally = self._tallies.get(scope.key) or _ScopeTally(scope)
        starts = self._since_each_day(tally, gate, now)
        whole = starts[-1][1] if starts else _Sum()
        here = tally.hours.get(cohort_of(now), _Sum())
        share = self.sharing if self.standing else 1
        limit = self.rule.false_alarm_days * share if self.standing else 1 / self.rule.false_alarm_chance
        warn = self.rule.warn_at * share
        log_e, best = self._detect(starts, self.rule.threshold)
        if self.rule.evidence == "window":
            return self._by_window(scope, whole, here, gate, now)
        chosen = starts[best][1] if starts else whole
        strong = chosen.bad >= self.rule.minimum_effect * self.rule.threshold * max(1, chosen.total)
        enough = whole.bad >= self.rule.minimum_bad and strong
        level = Level.QUIET
        if enough and log_e >= math.log(limit):
            level = Level.ALARM
            if self.rule.hard_limit < 1 and self._detect(starts, self.rule.hard_limit)[0] >= math.log(limit):
                level = Level.HARD
        elif enough and log_e >= math.log(warn):
            level = Level.WARN
        since, sums = starts[best][:2] if starts else (cohort_of(now), _Sum())
        return Verdict(
            rule=self.rule, scope=scope, level=level, calm=not enough or log_e <= math.log(warn / 2),
            counted_bad=whole.bad, counted_total=whole.total, attempted=whole.attempted,
            here_bad=here.bad, here_total=here.total,
            evidence=Evidence(
                rule=self.rule.name, numerator=sums.bad, denominator=max(sums.total, sums.bad),
                threshold=self.rule.threshold, e_value=math.exp(min(log_e, _BIGGEST)),
                limit=warn if level is Level.WARN else limit, since=since,
            ),
        )  # fmt: skip

    def _by_window(self, scope: Scope, whole: _Sum, here: _Sum, gate: Epoch | None, now: float) -> Verdict:
        """The verdict of a fixed window.  It never slows first: there is no evidence to be half sure of."""
        rule, hours = self.rule, self.rule.window_hours
        if gate is not None and gate.epoch:
            hours = min(hours, cohort_of(now) - gate.epoch + 1)
        bad, total = self.recent(scope, hours, now)
        if gate is not None and gate.epoch > cohort_of(now) - rule.window_hours:
            bad, total = max(0, bad - gate.base_bad), max(0, total - gate.base_total)
        rate = bad / max(1, total)
        level = Level.QUIET
        if total >= rule.minimum_total and bad >= rule.minimum_bad and rate > rule.threshold * rule.minimum_effect:
            level = Level.HARD if rule.hard_limit < 1 and rate > rule.hard_limit else Level.ALARM
        return Verdict(
            rule=rule, scope=scope, level=level, calm=rate < rule.recover_below * rule.threshold,
            counted_bad=whole.bad, counted_total=whole.total, attempted=whole.attempted,
            here_bad=here.bad, here_total=here.total,
            evidence=Evidence(
                rule=rule.name, numerator=bad, denominator=max(total, bad), threshold=rule.threshold,
                e_value=math.exp(min(log_e_rate(bad, total, rule.threshold), _BIGGEST)), limit=0.0,
                since=cohort_of(now) - hours + 1,
            ),
        )  # fmt: skip

    def _detect(self, starts: Sequence[tuple[int, _Sum, float]], p0: float) -> tuple[float, int]:
        """log of the e-value (campaign) or of the detector (standing), and the start that weighs most."""
        if not starts:
            return 0.0, 0
        # Only start days with a rate above p0 are summed: each of the others weighs at most 1, leaving it out keeps
        # the budget, and a healthy stream costs next to nothing.  Too few bad events to act: the whole tells as much.
        chosen = [
            i
            for i, (_, sums, exposure) in enumerate(starts)
            if sums.bad > p0 * (sums.total if exposure < 0 else exposure)
        ]
        if not self.standing or not chosen or starts[-1][1].bad < self.rule.minimum_bad:
            chosen = [len(starts) - 1]
        logs = [
            log_e_rate(sums.bad, sums.total, p0) if exposure < 0 else log_e_delayed(sums.bad, exposure, p0)
            for _, sums, exposure in (starts[i] for i in chosen)
        ]
        return log_detector(logs), chosen[max(range(len(logs)), key=logs.__getitem__)]

    def _since_each_day(self, tally: _ScopeTally, gate: Epoch | None, now: float) -> list[tuple[int, _Sum, float]]:
        """(first cohort, sums from there on, exposure or -1) for each start day with mail, latest first."""
        first = self._first_day(now) * HOURS_A_DAY
        base = _Sum()
        if gate is not None and gate.epoch >= first:
            first, base = gate.epoch, _Sum(bad=gate.base_bad, total=gate.base_total)
        # with the delays of the providers that it goes to; all the same when none is known
        envelopes = {p: e for p in tally.providers if (e := self.envelopes.get(p)) is not None}
        end = max((e.end for e in envelopes.values()), default=0.0)
        found: list[tuple[int, _Sum, float]] = []
        run, exposure = _Sum(), 0.0
        for day in sorted((d for d in tally.days if (d + 1) * HOURS_A_DAY > first), reverse=True):
            start = max(first, day * HOURS_A_DAY)
            hours = range(start, (day + 1) * HOURS_A_DAY)
            part = tally.days[day]
            old = not envelopes or now / HOUR - (day + 1) * HOURS_A_DAY >= end  # every report could have come
            if start > day * HOURS_A_DAY or not old:
                parts = [(h, tally.hours[h]) for h in hours if h in tally.hours]
                part = _Sum(*(sum(getattr(s, name) for _, s in parts) for name in ("bad", "total", "attempted")))
                exposure += sum(_exposure(s, now / HOUR - h, envelopes) for h, s in parts)
            else:
                exposure += part.total
            if start == first:
                part = _Sum(bad=part.bad - base.bad, total=part.total - base.total, attempted=part.attempted)
                # whose mail the base was is not known: the least share, since too little exposure would be unsafe
                age = now / HOUR - first
                exposure -= base.total * min((e.share(age) for e in envelopes.values()), default=1.0)
            run = _Sum(
                bad=max(0, run.bad + part.bad),
                total=max(0, run.total + part.total),
                attempted=run.attempted + part.attempted,
            )
            found.append((start, run, max(0.0, exposure) if envelopes else -1.0))
        return found

    def _first_day(self, now: float) -> int:
        return day_of(now) - self.rule.window_days + 1

    def _find_scope(self, traffic: Traffic) -> Scope | None:
        if traffic.stream in self._spare:
            return None
        if self._signal.feedback and self._is_silent(traffic.lane.provider):
            return None
        for scope in self._apart.values():
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


def _exposure(sent: _Sum, age: float, envelopes: Mapping[str, DelayEnvelope]) -> float:
    return math.fsum(n * envelopes.get(p, AT_ONCE).share(age) for p, n in sent.by_provider.items())


def evaluate(tallies: Sequence[RuleTally], gates: Mapping[tuple[str, str], Gate], now: float) -> list[Verdict]:
    """Every rule over every scope; `gates` by (scope key, rule name).  What a back-test asks at each step."""
    return [
        tally.verdict(scope, gates.get((scope.key, tally.rule.name)), now)
        for tally in tallies
        for scope in tally.scopes()
    ]
