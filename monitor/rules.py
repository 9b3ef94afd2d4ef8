"""Judges each rule of the table over its counts (monitor.tally): since the gate's epoch, less its base.

Contract: `verdict` is pure in (counts, gate, now) and says how strong the evidence is and which limit it was held
against.  A scope without data is QUIET with a denominator of 0.

False alarms, declared: a rule by `campaign` uses the plain e-value of the campaign, so each healthy campaign is paused
with a chance of at most `false_alarm_chance`.  Any other rule watches standing streams with the Shiryaev–Roberts
detector over daily aggregates, limit `false_alarm_days` × K, where K scopes share the budget: those that had enough
mail in the window to be able to alarm.  Slowing has limits of its own: `warn_at` (× K).  A rate is never enough
without `minimum_bad` bad events, or below `minimum_effect` times the threshold.

A rule with `evidence = "window"` is the plain kind: the rate of the last `window_hours` cohorts above the threshold,
with `minimum_total` messages.  It promises nothing; monitor.windows says how often it errs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from config.tables import Rule
from core.events import Evidence, GateState
from core.lane import HOUR, Attribution, Scope, Traffic, cohort_of
from core.state import CounterKey, Gate
from monitor.evidence import DelayEnvelope, log_detector, log_e_delayed, log_e_rate
from monitor.tally import HOURS_A_DAY, ScopeTally, Sum, Tally

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
    since the epoch; `here_*` is what the present cohort holds (a new epoch starts from there).  `probed_at`: of a
    probe, the beginning of the hour in which half of it had gone (of its first mail's until then), epoch seconds.
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
    probed_at: float = 0.0


_Start = tuple[int, int, int, int, float]  # first cohort; bad, total, attempted from there on; exposure, -1 for none


def half_of_probe(rule: Rule) -> int:
    """So many messages of a probe are enough to judge it."""
    return (rule.probe_messages + 1) // 2


class RuleTally(Tally):
    """One rule with its counts and what they say."""

    _shares_of: tuple[float, Mapping[str, DelayEnvelope]] = (-1.0, MappingProxyType({}))
    _known_shares: Mapping[str, list[float]] = MappingProxyType({})

    def verdict(self, scope: Scope, gate: Epoch | None, now: float) -> Verdict:
        """Judge one scope.  `gate` gives the epoch and base from which evidence counts."""
        tally = self.of(scope)
        starts = self._since_each_day(tally, gate, now)
        last = cohort_of(now)
        whole = starts[-1] if starts else (last, 0, 0, 0, -1.0)
        here = tally.hours.get(last) or Sum()
        share = self.sharing if self.standing else 1
        limit = self.rule.false_alarm_days * share if self.standing else 1 / self.rule.false_alarm_chance
        warn = self.rule.warn_at * share
        log_e, best = self._detect(starts, self.rule.threshold)
        if self.rule.evidence == "window":
            return self._by_window(scope, whole, here, gate, now)
        since, bad, total, _, _ = starts[best] if starts else whole
        strong = bad >= self.rule.minimum_effect * self.rule.threshold * max(1, total)
        enough = whole[1] >= self.rule.minimum_bad and strong
        level = Level.QUIET
        if enough and log_e >= math.log(limit):
            level = Level.ALARM
            if self.rule.hard_limit < 1 and self._detect(starts, self.rule.hard_limit)[0] >= math.log(limit):
                level = Level.HARD
        elif enough and log_e >= math.log(warn):
            level = Level.WARN
        return Verdict(
            rule=self.rule, scope=scope, level=level, calm=not enough or log_e <= math.log(warn / 2),
            counted_bad=whole[1], counted_total=whole[2], attempted=whole[3],
            here_bad=here.bad, here_total=here.total, probed_at=self._probed_at(tally, gate),
            evidence=Evidence(
                rule=self.rule.name, numerator=bad, denominator=max(total, bad),
                threshold=self.rule.threshold, e_value=math.exp(min(log_e, _BIGGEST)),
                limit=warn if level is Level.WARN else limit, since=since,
            ),
        )  # fmt: skip

    def _probed_at(self, tally: ScopeTally, gate: Epoch | None) -> float:
        if not isinstance(gate, Gate) or gate.state is not GateState.PROBING:
            return 0.0
        gone, first = -gate.base_total, 0.0
        for hour in sorted(hour for hour in tally.hours if hour >= gate.epoch):
            gone += tally.hours[hour].total
            if gone > 0:
                first = first or hour * HOUR
            if gone >= half_of_probe(self.rule):
                return hour * HOUR
        return first

    def ripe_by_traffic(
        self, scope: Scope, counters: Mapping[CounterKey, int], since: int, now: float
    ) -> dict[Traffic, tuple[int, int]]:
        """As counts_by_traffic, of mail about which reports can have come by now: young mail counts for less."""
        if not self.signal.feedback or not self.envelopes:
            return self.counts_by_traffic(scope, counters, since)
        shares, present = self._shares(now), cohort_of(now)

        def share(under: Attribution) -> float:
            known = shares.get(str(under.traffic.lane.provider), ())
            back = max(0, present - under.cohort)
            return known[back] if back < len(known) else 1.0

        return self.counts_by_traffic(scope, counters, since, share)

    def _by_window(self, scope: Scope, whole: _Start, here: Sum, gate: Epoch | None, now: float) -> Verdict:
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
            counted_bad=whole[1], counted_total=whole[2], attempted=whole[3],
            here_bad=here.bad, here_total=here.total, probed_at=self._probed_at(self.of(scope), gate),
            evidence=Evidence(
                rule=rule.name, numerator=bad, denominator=max(total, bad), threshold=rule.threshold,
                e_value=math.exp(min(log_e_rate(bad, total, rule.threshold), _BIGGEST)), limit=0.0,
                since=cohort_of(now) - hours + 1,
            ),
        )  # fmt: skip

    def _detect(self, starts: Sequence[_Start], p0: float) -> tuple[float, int]:
        """log of the e-value (campaign) or of the detector (standing), and the start that weighs most."""
        if not starts:
            return 0.0, 0
        # Only start days with a rate above p0 are summed: each of the others weighs at most 1, leaving it out keeps
        # the budget, and a healthy stream costs next to nothing.  Too few bad events to act: the whole tells as much.
        chosen: list[int] = []
        if self.standing and starts[-1][1] >= self.rule.minimum_bad:
            chosen = [
                i
                for i, (_, bad, total, _, exposure) in enumerate(starts)
                if bad > p0 * (total if exposure < 0 else exposure)
            ]
        if not chosen:
            chosen = [len(starts) - 1]
        logs = [
            log_e_rate(bad, total, p0) if exposure < 0 else log_e_delayed(bad, exposure, p0)
            for _, bad, total, _, exposure in (starts[i] for i in chosen)
        ]
        return log_detector(logs), chosen[max(range(len(logs)), key=logs.__getitem__)]

    def _since_each_day(self, tally: ScopeTally, gate: Epoch | None, now: float) -> list[_Start]:
        """For each start day with mail, latest first."""
        first = self.first_day(now) * HOURS_A_DAY
        base_bad = base_total = 0
        if gate is not None and gate.epoch >= first:
            first, base_bad, base_total = gate.epoch, gate.base_bad, gate.base_total
        # with the delays of the providers that it goes to; all the same when none is known
        envelopes = {p: e for p in tally.providers if (e := self.envelopes.get(p)) is not None}
        present, shares = now / HOUR, self._shares(now) if envelopes else {}
        old = present - max((e.end for e in envelopes.values()), default=-math.inf)  # every report could have come
        found: list[_Start] = []
        bad = total = attempted = 0
        exposure = 0.0
        for day in sorted(tally.days, reverse=True):
            begin, end = day * HOURS_A_DAY, (day + 1) * HOURS_A_DAY
            if end <= first:
                break
            start = begin if begin > first else first
            part = tally.days[day]
            if start > begin or end > old:
                part = Sum()
                for hour in range(start, end):
                    if (s := tally.hours.get(hour)) is not None:
                        part.bad += s.bad
                        part.total += s.total
                        part.attempted += s.attempted
                        if envelopes:
                            back = max(0, int(present) - hour)
                            for provider, n in s.by_provider.items():
                                known = shares.get(provider, ())
                                exposure += n * known[back] if back < len(known) else n
            else:
                exposure += part.total
            bad += part.bad
            total += part.total
            attempted += part.attempted
            if start == first:
                bad, total = bad - base_bad, total - base_total
                # whose mail the base was is not known: the least share, since too little exposure would be unsafe
                age = present - first
                exposure -= base_total * min((e.share(age) for e in envelopes.values()), default=1.0)
            bad, total = max(0, bad), max(0, total)
            found.append((start, bad, total, attempted, max(0.0, exposure) if envelopes else -1.0))
        return found

    def _shares(self, now: float) -> Mapping[str, list[float]]:
        """Of each provider's reports, how many could have come about mail of so many cohorts back; many ask at once."""
        if self._shares_of[0] != now or self._shares_of[1] is not self.envelopes:
            present = now / HOUR
            begun = present - int(present)
            self._known_shares = {
                provider: [envelope.share(begun + age) for age in range(math.ceil(envelope.end))]
                for provider, envelope in self.envelopes.items()
            }
            self._shares_of = (now, self.envelopes)
        return self._known_shares


def evaluate(tallies: Sequence[RuleTally], gates: Mapping[tuple[str, str], Gate], now: float) -> list[Verdict]:
    """Every rule over every scope; `gates` by (scope key, rule name).  What a back-test asks at each step."""
    return [
        tally.verdict(scope, gates.get((scope.key, tally.rule.name)), now)
        for tally in tallies
        for scope in tally.scopes()
    ]
