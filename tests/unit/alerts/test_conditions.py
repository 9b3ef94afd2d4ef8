"""What is told, to whom it would be routed, and with which figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.conditions import (
    BLIND_AFTER,
    REFUSED_AFTER,
    Observed,
    StuckQueue,
    Unmatched,
    Unverified,
    blind_now,
    find_alerts,
)
from alerts.ledger import fingerprint
from alerts.mail import body
from alerts.words import Language, number, percent, sample, span
from config.tables import Rule
from core.events import Evidence, GateState, Logged, Placement, SeedBlind, SeedPlaced, SeedSighted
from core.lane import Attribution, Lane, Provider, Scope, SendingDomain, Source, Stream, Traffic
from core.rates import wilson
from core.state import Alert, Gate
from core.tokens import MessageId

NOW = 1_764_072_000.0  # 2025-11-25 12:00 UTC
RULE = Rule(
    name="complaints",
    signal="complaint_rate",
    by=["provider", "stream"],
    threshold=0.001,
    remedy_en="Stop the campaign and clean the list",
    remedy_ru="Остановите кампанию и очистите базу",
)
EVIDENCE = Evidence(
    rule="complaints", numerator=31, denominator=10_000, threshold=0.001, e_value=4200.5, limit=1000.0,
    since=int(NOW // 3600) - 5, samples=("feedback from gmail: abuse", "bad\x00line\n"),
)  # fmt: skip
GATE = Gate(
    scope=Scope(provider="gmail", stream="bulk", spare=("transactional",)), state=GateState.PAUSED, pause_id="p1",
    rule="complaints", since=NOW - 60, until=NOW + 21_600, reason="complaint rate above threshold", by="guard",
    evidence=EVIDENCE,
)  # fmt: skip


def told(gate: Gate, language: Language = "en") -> Alert:
    alerts = find_alerts(
        Observed(gates=(gate,)), rules=[RULE], now=NOW, language=language, dashboard="http://127.0.0.1:8025"
    )
    assert len(alerts) == 1
    return alerts[0]


def test_a_pause_tells_figures_action_end_and_how_to_undo_it() -> None:
    said = told(GATE).annotations
    assert said["summary"] == (
        "Paused: stream bulk, provider gmail (except transactional). "
        "Complaint rate 0.31\u00a0% (31 of 10,000), limit 0.10\u00a0%"
    )
    assert (said["numerator"], said["denominator"], said["threshold"]) == ("31", "10000", "0.10\u00a0%")
    assert said["interval"] == "0.22\u00a0% – 0.44\u00a0%"
    assert (said["e_value"], said["acts_at"]) == ("4,200.5", "1,000.0")
    assert said["samples"] == "feedback from gmail: abuse\nbad line "
    assert said["until"] == "2025-11-25T18:00:00.000Z"
    assert "paused until 2025-11-25 18:00 UTC" in said["action"]
    assert said["undo"] == "penstock resume provider=gmail,stream=bulk"
    assert said["remedy"] == RULE.remedy_en
    assert told(GATE).link == "http://127.0.0.1:8025/#pause-p1"


@pytest.mark.parametrize(
    ("changes", "state", "promise"),
    [
        ({}, GateState.PAUSED, "one false alarm in 365 days over all scopes of the rule"),
        ({}, GateState.SLOWED, "one false alarm in 20 days over all scopes of the rule"),
        ({"by": ["stream", "campaign"]}, GateState.PAUSED, "at most 1.0\u00a0% of healthy campaigns"),
        ({"by": ["stream", "campaign"]}, GateState.SLOWED, "at most 5.0\u00a0% of healthy campaigns"),
        ({"evidence": "window"}, GateState.PAUSED, "a fixed window promises nothing"),
    ],
)
def test_the_promise_is_that_of_the_rule_and_of_what_was_done(
    changes: dict[str, Any], state: GateState, promise: str
) -> None:
    rule = Rule.model_validate(RULE.model_dump(exclude_unset=True) | changes)
    (alert,) = find_alerts(Observed(gates=(replace(GATE, state=state),)), rules=[rule], now=NOW)
    assert alert.annotations["false_alarm_budget"] == promise


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_gate_of_a_fixed_window_is_told_and_mailed_without_a_weight(language: Language) -> None:
    said = told(replace(GATE, evidence=replace(EVIDENCE, limit=0.0)), language)
    assert "e_value" not in said.annotations
    assert "31 / 10000" in body([said], language)
    assert "4,200" not in said.annotations["description"]


def test_the_same_in_russian() -> None:
    said = told(GATE, "ru").annotations
    assert said["summary"] == (
        "Пауза: поток bulk, провайдер gmail (кроме transactional). "
        "Доля жалоб 0,31\u00a0% (31 из 10\u202f000), порог 0,10\u00a0%"
    )
    assert "Отправка приостановлена до 2025-11-25 18:00 UTC" in said["action"]
    assert said["remedy"] == RULE.remedy_ru


@pytest.mark.parametrize(
    ("state", "name", "severity"),
    [(GateState.SLOWED, "SendingSlowed", "warning"), (GateState.PAUSED, "SendingPaused", "critical"),
     (GateState.PROBING, "SendingPaused", "critical"), (GateState.HARD_STOPPED, "SendingStopped", "critical")],
)  # fmt: skip
def test_each_closed_state_has_its_name_and_severity(state: GateState, name: str, severity: str) -> None:
    labels = told(replace(GATE, state=state, limit=50)).labels
    assert (labels["alertname"], labels["severity"]) == (name, severity)


def test_an_open_gate_is_no_alert() -> None:
    assert not find_alerts(Observed(gates=(replace(GATE, state=GateState.OPEN),)), rules=[RULE], now=NOW)


def test_figures_may_change_without_a_new_identity_and_so_may_a_pause_turn_into_a_probe() -> None:
    later = replace(GATE, state=GateState.PROBING, since=NOW, limit=50, evidence=replace(EVIDENCE, numerator=40))
    assert fingerprint(told(GATE)) == fingerprint(told(later))
    assert told(later).annotations["numerator"] == "40"


def test_a_person_who_pauses_is_named_and_no_rate_is_invented() -> None:
    gate = replace(GATE, rule="", by="ann", reason="trying $(rm) things", evidence=None, until=0.0,
                   scope=Scope(campaign="it's; a test"))  # fmt: skip
    alert = told(gate)
    assert alert.labels["rule"] == "operator"
    assert alert.labels["severity"] == "warning"
    assert "rate" not in alert.annotations
    assert alert.annotations["by"] == "ann"
    assert alert.annotations["undo"] == "penstock resume 'campaign=it'\"'\"'s; a test'"


def test_a_rate_without_a_denominator_is_not_told_as_zero() -> None:
    said = told(replace(GATE, evidence=replace(EVIDENCE, numerator=0, denominator=0))).annotations
    assert "rate" not in said
    assert "interval" not in said
    assert "0 of 0" not in said["summary"]


BLIND = SeedBlind(at=NOW - BLIND_AFTER, mailbox="s@gmail.com", provider="gmail", problem="login refused")


def seed_found(at: float) -> SeedPlaced:
    lane = Lane(source=Source("a"), sending_domain=SendingDomain("b.c"), provider=Provider("gmail"))
    return SeedPlaced(
        at=at, message_id=MessageId("m"), mailbox="s@gmail.com", placement=Placement.INBOX, folder="INBOX", seconds=2.0,
        attribution=Attribution(traffic=Traffic(lane=lane, stream=Stream("bulk")), cohort=1),
    )  # fmt: skip


def test_a_mailbox_is_blind_from_its_first_failure_until_a_mail_is_found() -> None:
    events = [Logged(seq=1, event=BLIND), Logged(seq=2, event=replace(BLIND, at=NOW))]
    assert blind_now(events) == (BLIND,)
    assert blind_now([*events, Logged(seq=3, event=seed_found(NOW))]) == ()


def test_one_failed_login_is_no_alert_but_a_lasting_blindness_is() -> None:
    fresh = replace(BLIND, at=NOW - BLIND_AFTER + 1)
    assert not find_alerts(Observed(blind=(fresh,)), rules=[], now=NOW)
    (alert,) = find_alerts(Observed(blind=(BLIND,)), rules=[], now=NOW)
    assert alert.labels["alertname"] == "SeedBlind"
    assert "unknown" in alert.annotations["summary"]


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_dead_login_is_told_sooner_and_by_another_name(language: Language) -> None:
    dead = replace(BLIND, at=NOW - REFUSED_AFTER, login=True)
    seen = SeedSighted(at=NOW, mailbox=dead.mailbox, provider="gmail")
    assert blind_now([Logged(seq=1, event=BLIND), Logged(seq=2, event=dead)]) == (dead,)
    assert (
        blind_now(
            [
                Logged(seq=1, event=dead),
                Logged(seq=2, event=seen),
            ]
        )
        == ()
    )
    assert not find_alerts(Observed(blind=(replace(dead, at=dead.at + 1),)), rules=[], now=NOW)
    (alert,) = find_alerts(Observed(blind=(dead,)), rules=[], now=NOW, language=language)
    assert alert.labels["alertname"] == "SeedLoginDead"
    assert "penstock placement login" in alert.annotations["remedy"]


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_other_condition_has_a_summary_a_remedy_and_its_scope(language: Language) -> None:
    seen = Observed(
        monitor_lag=61, max_lag=60,
        stuck=(StuckQueue(provider="yahoo", queued=1200, oldest=NOW - 7200, last_reply="421 later"),),
        unmatched=(Unmatched(provider="mailru", count=7, since=NOW - 60, samples=("550 новое",)),),
        unverified=(Unverified(kind="complaint", count=9, since=NOW - 60),),
    )  # fmt: skip
    alerts = find_alerts(seen, rules=[], now=NOW, language=language)
    assert [a.labels["alertname"] for a in alerts] == [
        "MonitorLag", "QueueStuck", "UnmatchedReplies", "UnverifiedReports",
    ]  # fmt: skip
    assert [a.labels["scope"] for a in alerts] == ["all", "provider=yahoo", "provider=mailru", "kind=complaint"]
    assert all(a.annotations["summary"] and a.annotations["remedy"] and a.starts_at <= NOW for a in alerts)


def test_a_monitor_at_its_limit_is_no_alert() -> None:
    assert not find_alerts(Observed(monitor_lag=60, max_lag=60), rules=[], now=NOW)


def test_figures_are_written_as_people_write_them() -> None:
    assert [percent(x, "en") for x in (0, 0.0003, 0.0031, 0.042, 0.57)] == [
        "0\u00a0%", "0.030\u00a0%", "0.31\u00a0%", "4.2\u00a0%", "57\u00a0%",
    ]  # fmt: skip
    assert number(1234567.5, "ru", 1) == "1\u202f234\u202f567,5"
    assert [span(s, "en") for s in (5, 60, 90, 7200, 3 * 86400)] == [
        "5\u00a0s", "1\u00a0min", "90\u00a0s", "2\u00a0h", "3\u00a0d",
    ]  # fmt: skip
    assert len(sample("x" * 10_000)) == 300


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_an_interval_holds_its_rate_and_stays_between_0_and_1(bad: int, total: int) -> None:
    interval = wilson(bad, total)
    if total == 0:
        assert interval is None
    else:
        assert interval is not None
        low, high = interval
        assert 0.0 <= low <= min(1.0, bad / total) <= high <= 1.0
