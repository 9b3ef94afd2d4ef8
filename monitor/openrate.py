"""Falls of the open rate: each day's human opens beside the median of the same weekday, by stream and provider.  Pure.

Contract: `drops` looks at days whose mail is at least `MATURE_DAYS` old.  A day's baseline is the median of the same
weekday in the `WEEKS` weeks before, `FEWEST_DAYS` of them at least, without days marked exceptional; an exceptional day
is held against earlier days of the same name and never against plain ones.  Without a baseline nothing is said.
Evidence is that of monitor.evidence against "at least (1 - threshold) of the baseline", multiplied over days, and
summed over start days (Shiryaev–Roberts): with K scopes a false alarm comes after `false_alarm_days` or more in the
mean, as far as people open independently of each other; real days differ more, so that a threshold near 0 would alarm
for the weather.

`hint` compares the providers of one stream on one day, by the mail of campaigns that both got (mail without a campaign
is one): when some fell and others held it is 'placement' (the spam folder), when all fell it is 'content'.  A provider
that got other campaigns says nothing about it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median

from config.rules import Rule
from core.lane import Scope, day_of
from core.metrics import Metric
from core.state import CounterKey
from monitor.evidence import log_detector, log_e_rate

MATURE_DAYS = 2  # the day before yesterday: its last hour is a day old
WEEKS = 8
FEWEST_DAYS = 4
FEWEST_MAILS = 200  # delivered on a day that counts
LOOK_BACK_DAYS = 7 * WEEKS + 30
_RUN_DAYS = 14  # start days of the detector
_EPOCH = date(1970, 1, 1).toordinal()
_BIGGEST = 690.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Special:
    """Days (since the epoch, both included) that are like each other and like no others."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The newest mature day of one stream and provider."""

    scope: Scope
    day: int
    opened: int
    delivered: int
    baseline: float
    days: int  # that the baseline is made of
    e_value: float
    limit: float
    hint: str = ""

    @property
    def ratio(self) -> float:
        return self.opened / self.delivered / self.baseline


@dataclass(slots=True)
class _Day:
    opened: int = 0
    delivered: int = 0

    @property
    def rate(self) -> float:
        return self.opened / self.delivered


def drops(
    counters: Mapping[CounterKey, int],
    rule: Rule,
    *,
    now: float,
    streams: Iterable[str],
    special: Sequence[Special] = (),
    since: Mapping[str, int] = {},
) -> list[Drop]:
    """Every stream and provider with a baseline for the newest mature day; whether it fell is `fell`'s to say.

    `streams` are those with a pixel.  `since` gives the first day that counts for a scope (key), once it was told."""
    days = _by_day(counters, frozenset(streams) - frozenset(rule.spare))
    newest = day_of(now) - MATURE_DAYS
    names = {day: one.name for one in special for day in range(one.first, one.last + 1)}
    able = {key: found for key, found in days.items() if (_judged(found, newest, names)) is not None}
    limit = rule.false_alarm_days * max(1, len(able))
    result = []
    for (stream, provider), found in sorted(able.items()):
        scope = Scope(stream=stream, provider=provider)
        first = max(newest - _RUN_DAYS + 1, since.get(scope.key, 0))
        runs: list[float] = []
        total = 0.0
        for day in range(newest, first - 1, -1):
            base = _judged(found, day, names)
            if base is not None:
                p0 = min(1 - 1e-6, 1 - (1 - rule.threshold) * base[0])
                total += log_e_rate(found[day].delivered - found[day].opened, found[day].delivered, p0)
            runs.append(total)
        judged = _judged(found, newest, names)
        assert judged is not None
        result.append(
            Drop(
                scope=scope, day=newest, opened=found[newest].opened, delivered=found[newest].delivered,
                baseline=judged[0], days=judged[1],
                e_value=math.exp(min(_BIGGEST, log_detector(runs))) if runs else 0.0, limit=limit,
            )
        )  # fmt: skip
    if all(drop.ratio >= 1 - rule.threshold for drop in result):
        return result
    mails = _by_campaign(counters, newest)
    return [_hinted(drop, result, mails, rule) for drop in result]


def fell(drop: Drop, rule: Rule) -> bool:
    """Sure enough, and low enough on the newest day itself."""
    return drop.e_value >= drop.limit and drop.ratio < 1 - rule.threshold * rule.minimum_effect


def is_well(drop: Drop, rule: Rule) -> bool:
    """So near the baseline that a finding is over."""
    return drop.ratio >= 1 - rule.recover_below * rule.threshold


def weekday(day: int) -> str:
    """English name."""
    return date.fromordinal(_EPOCH + day).strftime("%A")


_Mails = Mapping[tuple[str, str], Mapping[str, _Day]]  # by stream and provider, then by campaign


def _hinted(drop: Drop, others: Sequence[Drop], mails: _Mails, rule: Rule) -> Drop:
    low = 1 - rule.threshold
    beside = []
    for other in others:
        if drop.ratio < low and other.scope.stream == drop.scope.stream and other.scope != drop.scope:
            here, there = _same_mail(mails, drop.scope, other.scope)
            enough = min(here.delivered, there.delivered) >= FEWEST_MAILS
            if enough and here.rate < low * drop.baseline:
                beside.append(there.rate / other.baseline)
    if not beside:
        return drop
    held = sum(ratio >= 1 - rule.threshold / 2 for ratio in beside)
    down = sum(ratio < 1 - rule.threshold for ratio in beside)
    hint = "content" if down == len(beside) else "placement" if held >= max(1, len(beside) / 2) else ""
    return Drop(
        scope=drop.scope, day=drop.day, opened=drop.opened, delivered=drop.delivered, baseline=drop.baseline,
        days=drop.days, e_value=drop.e_value, limit=drop.limit, hint=hint,
    )  # fmt: skip


def _same_mail(mails: _Mails, here: Scope, there: Scope) -> tuple[_Day, _Day]:
    """What two providers got of the campaigns that both got."""
    ours, theirs = mails[here.stream, here.provider], mails[there.stream, there.provider]
    both = ours.keys() & theirs.keys()
    return _sum(ours[name] for name in both), _sum(theirs[name] for name in both)


def _sum(days: Iterable[_Day]) -> _Day:
    known = list(days)
    return _Day(opened=sum(d.opened for d in known), delivered=sum(d.delivered for d in known))


def _judged(days: Mapping[int, _Day], day: int, names: Mapping[int, str]) -> tuple[float, int] | None:
    """(baseline, days it is made of) of a day, None when nothing can be said about it."""
    if day not in days or days[day].delivered < FEWEST_MAILS:
        return None
    name = names.get(day, "")
    if name:
        like = [d for d in days if d < day - 1 and names.get(d) == name]
        fewest = 1
    else:
        like = [day - 7 * week for week in range(1, WEEKS + 1) if day - 7 * week not in names]
        fewest = FEWEST_DAYS
    rates = [days[d].rate for d in like if d in days and days[d].delivered >= FEWEST_MAILS]
    middle = median(rates) if len(rates) >= fewest else 0.0
    return (middle, len(rates)) if middle > 0 else None


def _by_campaign(counters: Mapping[CounterKey, int], day: int) -> _Mails:
    """The mail of one day."""
    found: dict[tuple[str, str], dict[str, _Day]] = defaultdict(lambda: defaultdict(_Day))
    for key, n in counters.items():
        if key.attribution.cohort // 24 == day and key.metric in (Metric.OPENED_HUMAN, Metric.DELIVERED):
            traffic = key.attribution.traffic
            _count(found[str(traffic.stream), str(traffic.lane.provider)][str(traffic.campaign)], key.metric, n)
    return found


def _by_day(counters: Mapping[CounterKey, int], streams: frozenset[str]) -> dict[tuple[str, str], dict[int, _Day]]:
    found: dict[tuple[str, str], dict[int, _Day]] = defaultdict(lambda: defaultdict(_Day))
    for key, n in counters.items():
        traffic = key.attribution.traffic
        if traffic.stream not in streams or key.metric not in (Metric.OPENED_HUMAN, Metric.DELIVERED):
            continue
        _count(found[str(traffic.stream), str(traffic.lane.provider)][key.attribution.cohort // 24], key.metric, n)
    return found


def _count(into: _Day, metric: str, n: int) -> None:
    if metric == Metric.OPENED_HUMAN:
        into.opened += n
    else:
        into.delivered += n
