"""Rules that no hour of mail decides: falls of the open rate, the sleeping base, mail that comes too often.

Contract: `look` compares the newest picture with what fires and appends a RuleChanged for each change; run it under a
lease.  The projector of every node reads them from the log, so the alerts, the pages and the warm-up hear of them as of
any other rule.  A census (sleeping, too often) is a count, not a sample: it fires above the threshold, with
`minimum_total` recipients, and is over below `recover_below` of it; it has no false-alarm budget.
While what it looks at is behind the log by more than SPAN events (a first start over an old log), nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from config.model import Settings
from config.rules import SLOW_SIGNALS, Rule
from core.causes import Cause, Why, said
from core.events import Evidence, RuleChanged
from core.lane import DAY, Scope, cohort_of, day_of
from core.ports import Clock, Counters, EventLog
from monitor.findings import Findings, over
from monitor.openrate import LOOK_BACK_DAYS, MATURE_DAYS, Drop, Special, drops, fell, is_well
from monitor.projector import CURSOR as MONITOR
from service.audience import SPAN, Audience

_LONGEST = 400  # days back for exceptional days
_EPOCH = 719163  # date.toordinal of 1970-01-01
_SILENT_DAYS = 14  # a finding without new figures for so long is over


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One scope under one rule."""

    scope: Scope
    evidence: Evidence
    cause: Cause
    fires: bool
    well: bool
    hint: str = ""


class Watch:
    """See the module.  `findings` gives what fires."""

    def __init__(
        self,
        *,
        settings: Settings,
        rules: Sequence[Rule],
        counters: Counters,
        log: EventLog,
        audience: Audience,
        findings: Callable[[], Findings],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._rules = [rule for rule in rules if rule.signal in SLOW_SIGNALS]
        self._counters = counters
        self._log = log
        self._audience = audience
        self._findings = findings
        self._clock = clock

    async def look(self) -> int:
        """Tell what changed.  How many."""
        now, told = self._clock.now(), list[RuleChanged]()
        is_counted = await self._log.head() - await self._counters.cursor(MONITOR) <= SPAN
        is_known = await self._audience.is_current()
        for rule in self._rules:
            if not is_counted or (rule.signal != "open_rate_drop" and not is_known):
                continue  # half of a log: deliveries without the opens that follow, findings that were told already
            match rule.signal:
                case "open_rate_drop":
                    seen = await self._opens(rule, now)
                case "sleeping_share":
                    seen = await self._sleeping(rule, now)
                case _:
                    seen = await self._often(rule, now)
            told += _changes(rule, seen, self._findings(), now)
        if told:
            await self._log.append(told)
        return len(told)

    async def _opens(self, rule: Rule, now: float) -> list[_Seen]:
        streams = [s.name for s in self._settings.streams if s.track_opens and s.kind != "transactional"]
        if not streams:
            return []
        special, newest = specials(self._settings), day_of(now) - MATURE_DAYS
        back = LOOK_BACK_DAYS
        names = {one.name for one in special if one.first <= newest <= one.last}
        if names:  # last year's days of the same name
            back = min(_LONGEST, max(back, newest - min(one.first for one in special if one.name in names) + 1))
        counters = await self._counters.load(cohort_of((day_of(now) - back) * DAY))
        since = {
            last.scope.key: day_of(last.at)
            for found in drops(counters, rule, now=now, streams=streams, special=special)
            if (last := self._findings().last(found.scope.key, rule.name)) is not None and not last.firing
        }
        found = drops(counters, rule, now=now, streams=streams, special=special, since=since)
        return [_of_drop(one, rule) for one in found]

    async def _sleeping(self, rule: Rule, now: float) -> list[_Seen]:
        sums: dict[str, tuple[int, int]] = {}
        for one in await self._audience.census():
            asleep, base = sums.get(one.stream, (0, 0))
            sums[one.stream] = (asleep + one.asleep, base + one.base)
        return [
            _counted(rule, stream, asleep, base, Cause(why=Why.SLEEPING), now)
            for stream, (asleep, base) in sums.items()
        ]

    async def _often(self, rule: Rule, now: float) -> list[_Seen]:
        limit, found = self._settings.engagement.weekly_limit, await self._audience.often()
        return [
            _counted(rule, stream, often, mailed, Cause(why=Why.OFTEN, messages=limit), now)
            for stream, (often, mailed) in found.items()
        ]


def specials(settings: Settings) -> list[Special]:
    """The exceptional days of the settings."""
    return [
        Special(name=one.name, first=one.first.toordinal() - _EPOCH, last=(one.last or one.first).toordinal() - _EPOCH)
        for one in settings.monitor.exceptional
    ]


def _of_drop(drop: Drop, rule: Rule) -> _Seen:
    least = (1 - rule.threshold) * drop.baseline
    return _Seen(
        scope=drop.scope, fires=fell(drop, rule), well=is_well(drop, rule), hint=drop.hint,
        cause=Cause(
            why=Why.FELL, rule=rule.name, bad=drop.opened, total=drop.delivered, since=cohort_of(drop.day * DAY),
            threshold=drop.baseline, messages=drop.days,
        ),
        evidence=Evidence(
            rule=rule.name, numerator=drop.opened, denominator=drop.delivered, threshold=least, e_value=drop.e_value,
            limit=drop.limit, since=cohort_of(drop.day * DAY),
        ),
    )  # fmt: skip


def _counted(rule: Rule, stream: str, bad: int, total: int, cause: Cause, now: float) -> _Seen:
    rate = bad / total if total else 0.0
    limit = rule.threshold * rule.minimum_effect
    return _Seen(
        scope=Scope(stream=stream), fires=total >= rule.minimum_total and rate > limit,
        well=rate < rule.recover_below * rule.threshold, cause=replace(cause, rule=rule.name, bad=bad, total=total),
        evidence=Evidence(
            rule=rule.name, numerator=bad, denominator=total, threshold=rule.threshold, e_value=0.0, limit=0.0,
            since=cohort_of(now),
        ),
    )  # fmt: skip


def _changes(rule: Rule, seen: Iterable[_Seen], findings: Findings, now: float) -> list[RuleChanged]:
    told: list[RuleChanged] = []
    by_scope: Mapping[str, _Seen] = {one.scope.key: one for one in seen if one.scope.stream not in rule.spare}
    for key, one in by_scope.items():
        last = findings.last(key, rule.name)
        if (last is None or not last.firing) and one.fires:
            told.append(
                RuleChanged(
                    at=now, rule=rule.name, scope=one.scope, firing=True, action=rule.action, reason=said(one.cause),
                    cause=one.cause, evidence=one.evidence, hint=one.hint,
                )
            )  # fmt: skip
        elif last is not None and last.firing and one.well:
            told.append(over(last, now, one.cause))
    for last in findings.firing:
        if last.rule == rule.name and last.scope.key not in by_scope and now - last.at > _SILENT_DAYS * DAY:
            told.append(over(last, now, Cause(why=Why.NO_MAIL, rule=rule.name)))
    return told
