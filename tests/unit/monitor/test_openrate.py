"""Open rates beside the same weekday's median, by stream and provider, with holidays apart."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from core.lane import Attribution, day_of
from core.metrics import Metric
from core.state import CounterKey
from monitor.openrate import MATURE_DAYS, Drop, Special, drops, fell, is_well
from tests.unit.monitor.world import NOON, rule, traffic

RULE = rule(
    name="opens", signal="open_rate_drop", by=["provider", "stream"], threshold=0.2, action="alert",
    false_alarm_days=120,
)  # fmt: skip
DAY = day_of(NOON) - MATURE_DAYS
Rate = Callable[[int, str], float]


PROVIDERS = ("gmail", "yahoo")


def mail(rate: Rate, *, days: int = 70, n: int = 2000) -> dict[CounterKey, int]:
    found: dict[CounterKey, int] = {}
    for provider in PROVIDERS:
        for day in range(DAY - days, DAY + MATURE_DAYS + 1):
            under = Attribution(traffic=traffic(provider=provider), cohort=day * 24 + 9)
            found[CounterKey(attribution=under, metric=Metric.DELIVERED)] = n
            found[CounterKey(attribution=under, metric=Metric.OPENED_HUMAN)] = round(n * rate(day, provider))
    return found


def told(rate: Rate, **given: object) -> dict[str, Drop]:
    special = given.pop("special", ())
    found = drops(mail(rate, **given), RULE, now=NOON, streams=["bulk"], special=special)  # type: ignore[arg-type]
    return {drop.scope.provider: drop for drop in found}


def weekly(day: int, provider: str) -> float:
    return 0.30 if day % 7 < 5 else 0.15


def test_a_quiet_weekend_is_no_fall() -> None:
    for drop in told(weekly).values():
        assert not fell(drop, RULE)
        assert drop.e_value < 1


def test_a_fall_at_one_provider_speaks_of_placement_and_everywhere_of_content() -> None:
    alone = told(lambda day, p: weekly(day, p) * (0.6 if day >= DAY and p == "gmail" else 1))
    assert (fell(alone["gmail"], RULE), fell(alone["yahoo"], RULE)) == (True, False)
    assert alone["gmail"].hint == "placement"
    everywhere = told(lambda day, p: weekly(day, p) * (0.6 if day >= DAY else 1))
    assert {drop.hint for drop in everywhere.values()} == {"content"}
    assert all(fell(drop, RULE) for drop in everywhere.values())


def test_providers_are_compared_by_the_campaigns_that_both_got() -> None:
    """A dull campaign that went to one provider alone says nothing about its spam folder."""
    counters = mail(lambda day, p: weekly(day, p))

    def sent(provider: str, campaign: str, n: int, opened: int) -> None:
        under = Attribution(traffic=traffic(provider=provider, campaign=campaign), cohort=DAY * 24 + 10)
        counters[CounterKey(attribution=under, metric=Metric.DELIVERED)] = n
        counters[CounterKey(attribution=under, metric=Metric.OPENED_HUMAN)] = opened

    for key in [key for key in counters if key.attribution.cohort // 24 == DAY]:
        del counters[key]
    usual = weekly(DAY, "")
    sent("gmail", "dull", 2000, round(1000 * usual))
    sent("yahoo", "bright", 2000, round(2000 * usual))
    alone = {d.scope.provider: d for d in drops(counters, RULE, now=NOON, streams=["bulk"])}
    assert fell(alone["gmail"], RULE)
    assert alone["gmail"].hint == ""
    sent("yahoo", "dull", 2000, round(1000 * usual))  # as dull there: what is told is the content
    both = {d.scope.provider: d for d in drops(counters, RULE, now=NOON, streams=["bulk"])}
    assert both["gmail"].hint == "content"
    sent("yahoo", "dull", 2000, round(2000 * usual))  # as good as ever there: gmail's folder
    apart = {d.scope.provider: d for d in drops(counters, RULE, now=NOON, streams=["bulk"])}
    assert apart["gmail"].hint == "placement"


def test_a_fall_within_the_threshold_is_none_and_recovery_needs_a_margin() -> None:
    slight = told(lambda day, p: weekly(day, p) * (0.82 if day >= DAY else 1))
    assert not any(fell(drop, RULE) or is_well(drop, RULE) for drop in slight.values())
    assert is_well(told(lambda day, p: weekly(day, p) * (0.9 if day >= DAY else 1))["gmail"], RULE)


def test_too_little_history_or_mail_says_nothing() -> None:
    assert told(weekly, days=20) == {}
    assert told(weekly, n=100) == {}
    assert drops(mail(weekly), RULE, now=NOON, streams=["triggered"]) == []


def test_an_exceptional_day_is_held_against_its_like_alone() -> None:
    sale = (Special(name="sale", first=DAY, last=DAY), Special(name="sale", first=DAY - 40, last=DAY - 39))

    def rate(day: int, provider: str) -> float:
        return 0.05 if day in (DAY, DAY - 40, DAY - 39) else weekly(day, provider)

    assert not any(fell(drop, RULE) for drop in told(rate, special=sale).values())
    assert all(fell(drop, RULE) for drop in told(rate).values())
    assert told(rate, special=sale[:1]) == {}  # nothing to compare it with


def test_a_year_of_healthy_weather_alarms_within_the_budget() -> None:
    rng, alarms = Random(7), 0
    noise = {(day, p): rng.gauss(1, 0.05) for day in range(DAY - 500, DAY + 9) for p in ("gmail", "yahoo")}
    counters = mail(lambda day, p: weekly(day, p) * noise[day, p], days=440, n=1000)
    for back in range(360):
        found = drops(counters, RULE, now=NOON - back * 86400.0, streams=["bulk"])
        alarms += sum(fell(drop, RULE) for drop in found)
    assert alarms <= 3  # one in 120 days is declared
