"""Rules: what is divided by what, under which scope, from when on, and how the budget is shared."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from config.load import load_rules
from config.model import Settings
from config.rules import SLOW_SIGNALS, Rule, Rulebook
from core.events import Event, GateState
from core.lane import DAY, HOUR, Scope, cohort_of
from core.metrics import Metric
from core.state import CounterKey
from monitor.counters import fold
from monitor.evidence import DelayEnvelope, log_e_rate
from monitor.guard import first
from monitor.rules import Level, RuleTally, evaluate
from monitor.signals import SIGNALS
from tests.unit.monitor.world import NOON, bounced, complaint, deferred, delivered, rule, under

SCOPE = Scope(provider="yahoo", stream="bulk")
LEAST = {
    "sending_domains": [{"name": "news.example", "return_path": "rp.news.example"}],
    "sources": [{"name": "a", "ehlo": "a.news.example"}],
}


def tally(of: Rule, counts: dict[CounterKey, int], **given: object) -> RuleTally:
    made = RuleTally(of, **given)  # type: ignore[arg-type]
    for key, n in counts.items():
        made.add(key, n)
    return made


def mail(
    bad: int, total: int, at: float = NOON, metric: Metric = Metric.HARD_BOUNCED, **parts: str
) -> dict[CounterKey, int]:
    of = Metric.DELIVERED if metric is Metric.COMPLAINED else Metric.ATTEMPTED
    return {
        CounterKey(attribution=under(at, **parts), metric=metric): bad,
        CounterKey(attribution=under(at, **parts), metric=of): total,
    }


def test_a_window_by_campaign_is_judged_under_the_shared_budget() -> None:
    window = (
        Rulebook(rules=[rule(by=["stream", "campaign"], evidence="window", minimum_total=10)]).with_budget().rules[0]
    )
    scope = Scope(stream="bulk", campaign="spring")
    assert tally(window, mail(5, 20, campaign="spring")).verdict(scope, None, NOON).level is Level.ALARM


def test_a_probe_is_dated_by_the_hour_in_which_half_of_it_went() -> None:
    of = rule(probe_messages=40)
    probe = replace(first(of.name, SCOPE), state=GateState.PROBING, since=NOON, epoch=cohort_of(NOON), base_total=9)
    counts = mail(0, 12) | mail(0, 5, NOON + 7 * HOUR)
    assert tally(of, counts).verdict(SCOPE, probe, NOON + 9 * HOUR).probed_at == NOON  # 3 of it, 9 were before
    assert tally(of, counts | mail(0, 14, NOON + 8 * HOUR)).verdict(SCOPE, probe, NOON + 9 * HOUR).probed_at == (
        NOON + 8 * HOUR
    )
    assert tally(of, mail(0, 9)).verdict(SCOPE, probe, NOON + 9 * HOUR).probed_at == 0
    assert tally(of, counts).verdict(SCOPE, replace(probe, state=GateState.PAUSED), NOON).probed_at == 0


def test_the_bounce_rate_is_hard_bounces_of_ended_first_attempts() -> None:
    events: list[Event] = [delivered(), delivered(attempt=2), deferred(), bounced(), bounced(attempt=2)]
    seen = tally(rule(), fold(events)).verdict(SCOPE, None, NOON).evidence
    assert (seen.numerator, seen.denominator) == (2, 3)


def test_the_complaint_rate_leaves_out_providers_that_report_none() -> None:
    events: list[Event] = [
        delivered(),
        delivered(),
        complaint(),
        delivered(provider="gmail"),
        delivered(provider="other:mx.x"),
    ]
    complaints = rule(signal="complaint_rate", by=["stream"], threshold=0.001)
    some = tally(complaints, fold(events), no_feedback=frozenset({"gmail", "other"}))
    every = tally(complaints, fold(events))
    scope = Scope(stream="bulk")
    assert some.verdict(scope, None, NOON).evidence.denominator == 2
    assert every.verdict(scope, None, NOON).evidence.denominator == 4


def test_spared_transactional_mail_is_not_counted_and_the_scope_says_so() -> None:
    events: list[Event] = [bounced(), bounced(stream="tx")]
    by_provider = tally(rule(by=["provider"]), fold(events), transactional=("tx",))
    (scope,) = by_provider.scopes()
    assert scope == Scope(provider="yahoo", spare=("tx",))
    assert by_provider.verdict(scope, None, NOON).evidence.numerator == 1
    harsh = tally(rule(by=["provider"], spare_transactional=False), fold(events), transactional=("tx",))
    assert harsh.verdict(harsh.scopes()[0], None, NOON).evidence.numerator == 2


def test_mail_without_a_campaign_is_no_campaign() -> None:
    made = tally(rule(by=["stream", "campaign"]), fold([bounced(), bounced(campaign="june")]))
    assert [s.key for s in made.scopes()] == ["stream=bulk,campaign=june"]


def test_a_scope_without_data_is_quiet_and_has_no_rate() -> None:
    verdict = tally(rule(), {}).verdict(SCOPE, None, NOON)
    assert (verdict.level, verdict.evidence.denominator) == (Level.QUIET, 0)


def test_a_campaign_is_judged_by_its_plain_e_value() -> None:
    campaign = rule(by=["stream", "campaign"], false_alarm_chance=0.01)
    scope = Scope(stream="bulk", campaign="june")
    for bad, level in ((10, Level.QUIET), (12, Level.WARN), (13, Level.ALARM)):
        verdict = tally(campaign, mail(bad, 200, campaign="june")).verdict(scope, None, NOON)
        assert verdict.level is level
        assert math.log(verdict.evidence.e_value) == pytest.approx(log_e_rate(bad, 200, 0.02))


def test_a_standing_stream_sums_over_start_days_and_shares_the_budget() -> None:
    counts = {**mail(1, 100, NOON - DAY), **mail(8, 100)}
    alone = tally(rule(), counts).verdict(SCOPE, None, NOON)
    expected = math.exp(log_e_rate(8, 100, 0.02)) + math.exp(log_e_rate(9, 200, 0.02))
    assert alone.evidence.e_value == pytest.approx(expected)
    assert (alone.level, alone.evidence.limit) == (Level.WARN, 20)
    shared = tally(rule(), {**counts, **mail(0, 100, provider="gmail"), **mail(0, 2, provider="rare")})
    assert shared.sharing == 2  # two messages can never make three bad ones: that scope needs no share
    assert shared.verdict(SCOPE, None, NOON).evidence.limit == 20 * 2


def test_evidence_names_the_start_day_that_weighs_most() -> None:
    counts = {**mail(0, 5000, NOON - 3 * DAY), **mail(20, 100)}
    seen = tally(rule(), counts).verdict(SCOPE, None, NOON).evidence
    assert (seen.numerator, seen.denominator) == (20, 100)
    assert seen.since == cohort_of(NOON - NOON % DAY)


def test_a_rate_alone_is_not_enough_without_the_least_number_of_bad_events() -> None:
    assert tally(rule(), mail(2, 2)).verdict(SCOPE, None, NOON).level is Level.QUIET
    assert tally(rule(), mail(6, 6)).verdict(SCOPE, None, NOON).level is Level.ALARM


def test_the_hard_level_needs_the_same_evidence_against_the_hard_limit() -> None:
    hard = rule(hard_limit=0.1)
    assert tally(hard, mail(20, 200)).verdict(SCOPE, None, NOON).level is Level.ALARM
    assert tally(hard, mail(80, 200)).verdict(SCOPE, None, NOON).level is Level.HARD
    assert tally(rule(hard_limit=1.0), mail(200, 200)).verdict(SCOPE, None, NOON).level is Level.ALARM


def test_evidence_counts_from_the_epoch_less_its_base() -> None:
    gate = replace(first("bounces", SCOPE), epoch=cohort_of(NOON), base_bad=30, base_total=100)
    counts = {**mail(50, 100, NOON - HOUR), **mail(31, 140), **mail(1, 60, NOON + HOUR)}
    verdict = tally(rule(), counts).verdict(SCOPE, gate, NOON + 2 * HOUR)
    assert (verdict.counted_bad, verdict.counted_total) == (2, 100)
    assert tally(rule(), counts).verdict(SCOPE, gate, NOON).here_total == 140


def test_what_lies_before_the_window_is_forgotten() -> None:
    made = tally(rule(window_days=7), {**mail(50, 100, NOON - 8 * DAY), **mail(0, 50)})
    assert made.verdict(SCOPE, None, NOON).counted_total == 50
    made.forget(NOON + 8 * DAY)
    assert made.scopes() == []


def test_a_known_delay_of_complaints_makes_the_same_figures_weigh_more() -> None:
    late = rule(signal="complaint_rate", threshold=0.001)
    counts = mail(4, 4000, metric=Metric.COMPLAINED)
    plain = tally(late, counts).verdict(SCOPE, None, NOON + HOUR)
    known = tally(late, counts, envelopes={"yahoo": DelayEnvelope(((24.0, 0.2),))}).verdict(SCOPE, None, NOON + HOUR)
    assert known.evidence.e_value > 5 * plain.evidence.e_value


def test_counts_may_come_in_any_pieces() -> None:
    events: list[Event] = [delivered(), bounced(), bounced(campaign="x"), deferred(provider="gmail")] * 5
    whole, pieces = tally(rule(), fold(events)), RuleTally(rule())
    for event in events:
        for key, n in fold([event]).items():
            pieces.add(key, n)
    assert evaluate([whole], {}, NOON) == evaluate([pieces], {}, NOON)


def test_healthy_streams_keep_the_declared_budget_over_a_year() -> None:
    """20 streams at half the threshold, 365 days of daily looks: false alarms of the whole rule ≤ about one a year."""
    rng = random.Random(11)
    of = rule(false_alarm_days=365, window_days=30)

    def few(rng: random.Random) -> int:
        """Bad ones of 60 at 1 %."""
        bad, at = 0, int(math.log(1 - rng.random()) / math.log(0.99))
        while at < 60:
            bad, at = bad + 1, at + 1 + int(math.log(1 - rng.random()) / math.log(0.99))
        return bad

    alarms = 0
    made = RuleTally(of)
    for day in range(365):
        now = NOON + day * DAY
        for name in range(20):
            bad = few(rng)
            for key, n in mail(bad, 60, now, provider=f"p{name}").items():
                made.add(key, n)
        made.forget(now)
        alarms += sum(made.verdict(s, None, now).level is Level.ALARM for s in made.scopes())
    assert alarms <= 2


def test_every_shipped_rule_has_a_signal_that_is_counted_and_advice_in_two_languages() -> None:
    for shipped in load_rules(Settings.model_validate(LEAST)):
        assert shipped.signal in SIGNALS or shipped.signal in SLOW_SIGNALS
        assert shipped.remedy_en
        assert shipped.remedy_ru
        assert len(shipped.by) >= 1
