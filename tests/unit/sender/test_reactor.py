"""Reply rules in one process, and two processes that tell one another: triggers, actions, probes, ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.classify import BounceClass, Diagnosis
from core.decision import Admit, Defer, DeferReason
from core.lane import Campaign, Lane, Provider, SendingDomain, Source, Stream, Traffic
from core.reaction import Learned, ReactionAction, ReplyRuleActed
from core.reply import Reply, Stage, parse_reply
from core.replyrules import ReactionRule, RuleBook, Trigger
from sender.replies.reactor import Reactor
from sender.replies.tally import Tally
from tests.unit.sender.fakes import START

SITE = "mx.yahoodns.net"
SLOWED = parse_reply("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", Stage.MAIL)
OK = Reply(code=250, text="ok")
ANY = Diagnosis(bounce_class=BounceClass.RATE_LIMITED)


def traffic(provider: str = "yahoo", source: str = "a", stream: str = "bulk") -> Traffic:
    lane = Lane(source=Source(source), sending_domain=SendingDomain("e.com"), provider=Provider(provider))
    return Traffic(lane=lane, stream=Stream(stream), campaign=Campaign("c"))


def rule(**other: Any) -> ReactionRule:
    given: dict[str, Any] = {
        "name": "r", "trigger": Trigger(window=600, count=1), "action": ReactionAction.STOP, "seconds": 1200.0,
        "longest": 9000.0, "by": ("source", "provider"), "providers": frozenset({"yahoo"}), "codes": ("421",),
    }  # fmt: skip
    return ReactionRule(**(given | other))


def reactor(*rules: ReactionRule, writer: str = "s1", share: tuple[int, int] = (0, 1)) -> Reactor:
    return Reactor(RuleBook(rules, ["yahoo", "gmail"]), writer, share)


def hit(one: Reactor, now: float, times: int = 1, **other: str) -> None:
    for _ in range(times):
        one.learn(traffic(**other), SITE, SLOWED, ANY, now)


def flow(one: Reactor, now: float, times: int = 1, **other: str) -> None:
    for _ in range(times):
        one.learn(traffic(**other), SITE, OK, Diagnosis(bounce_class=BounceClass.DELIVERED), now)


def ask(one: Reactor, now: float) -> Admit | Defer:
    return one.bound(Admit(messages=50), traffic(), SITE, now)


# --- triggers --------------------------------------------------------------------------------------------------------
def test_a_count_acts_within_its_window_and_not_over_two() -> None:
    one = reactor(rule(trigger=Trigger(window=600, count=3)))
    hit(one, START)
    hit(one, START + 300)
    hit(one, START + 601)
    assert not one.in_force, "the first lies outside the window by now"
    hit(one, START + 700)
    assert [r.hits for r in one.in_force] == [3]


def test_a_rate_needs_its_share_and_its_minimum() -> None:
    one = reactor(rule(trigger=Trigger(window=600, rate=0.1, minimum=50)))
    hit(one, START, 4)
    assert not one.in_force, "four of four answers prove nothing"
    flow(one, START, 56)
    hit(one, START)
    assert not one.in_force, "5 of 61 are below a tenth"
    hit(one, START, 2)
    (found,) = one.in_force
    assert (found.hits, found.answers) == (7, 63)
    assert "7 of 63 answers in 10 min: 421 4.7.0 [TSS04]" in found.reason


def test_what_no_rule_names_is_left_alone() -> None:
    one = reactor(rule())
    one.learn(traffic("gmail"), SITE, SLOWED, ANY, START)
    one.learn(traffic(), SITE, parse_reply("550 5.1.1 no such user"), ANY, START)
    one.learn(traffic(), "relay:r", SLOWED, ANY, START, whose="relay:r")
    assert not one.in_force


def test_the_first_rule_takes_a_reply_unless_it_lets_others_see_it() -> None:
    first, second = rule(name="first", action=ReactionAction.ALERT), rule(name="second")
    one = reactor(first, second)
    hit(one, START)
    assert [r.rule for r in one.in_force] == ["first"]
    both = reactor(replace(first, go_on=True), second)
    hit(both, START)
    assert [r.rule for r in both.in_force] == ["first", "second"]


# --- actions ---------------------------------------------------------------------------------------------------------
def test_stop_holds_its_scope_and_nothing_else_until_its_end() -> None:
    one = reactor(rule(spare=("receipts",)))
    hit(one, START)
    held = ask(one, START + 1)
    assert isinstance(held, Defer)
    assert (held.until, held.reason) == (START + 1200, DeferReason.REPLY_RULE)
    assert one.stopped(traffic(), SITE, START + 1)
    for other in (traffic(source="b"), traffic("gmail"), traffic(stream="receipts")):
        assert isinstance(one.bound(Admit(messages=50), other, SITE, START + 1), Admit)
        assert not one.stopped(other, SITE, START + 1)
    one.turn(START + 1200)
    assert isinstance(ask(one, START + 1200), Admit)
    lessons = one.take_lessons()
    assert [(e.by, e.at) for _, e in lessons.ended] == [("time", START + 1200)]


def test_slow_lets_so_many_a_minute_through_and_processes_divide_them() -> None:
    for of, wanted in ((1, 30), (2, 15)):
        one = reactor(rule(action=ReactionAction.SLOW, per_minute=30.0), share=(0, of))
        hit(one, START)
        sent, now = 0, START
        while now < START + 600:
            answer = ask(one, now)
            if isinstance(answer, Admit):
                one.spent(traffic(), SITE, answer.messages, now)
                sent += answer.messages
                now += 0.1
            else:
                assert answer.until > now
                now = answer.until
        assert wanted * 10 <= sent <= wanted * 10 + 4


def test_limits_of_connections_hold_for_the_duration() -> None:
    one = reactor(
        rule(action=ReactionAction.RETUNE, connections=3, messages_per_connection=2), writer="s1", share=(1, 2)
    )
    assert one.connections(traffic(), SITE, START) > 1000
    hit(one, START)
    assert one.connections(traffic(), SITE, START + 1) == 1, "the second of two processes: one of three"
    assert one.per_connection(traffic(), SITE, START + 1, 50) == 2
    assert one.per_connection(traffic(), SITE, START + 1200, 50) == 50


def test_alert_holds_nothing() -> None:
    one = reactor(rule(action=ReactionAction.ALERT, alert=True))
    hit(one, START)
    assert one.in_force[0].alert
    assert ask(one, START + 1) == Admit(messages=50)


# --- probe -----------------------------------------------------------------------------------------------------------
def test_a_probe_widens_with_each_delivery_and_ends_when_enough_went_through() -> None:
    one = reactor(rule(probe=3))
    hit(one, START)
    now = START + 1201
    one.turn(now)
    widths = []
    for _ in range(3):
        widths.append(one.connections(traffic(), SITE, now))
        assert isinstance(ask(one, now), Admit)
        flow(one, now)
    assert widths == [1, 2, 3]
    one.turn(now)
    assert not one.in_force
    assert one.take_lessons().ended[0][1].by == "probe"


def test_a_refused_probe_begins_anew_for_twice_as_long_up_to_the_longest() -> None:
    one = reactor(rule(probe=3, trigger=Trigger(window=600, count=5)))
    now, spans = START, []
    hit(one, now, 5)
    for _ in range(5):
        (found,) = one.in_force
        spans.append(found.until - found.since)
        hit(one, now + 5)
        assert one.in_force == [found], "what was under way lengthens nothing"
        now = found.until + 1
        one.turn(now)
        hit(one, now)
    assert spans == [1200, 2400, 4800, 9000, 9000]


def test_what_returns_soon_after_its_end_is_longer_and_after_a_quiet_while_it_is_not() -> None:
    one = reactor(rule())
    hit(one, START)
    one.turn(START + 1200)
    hit(one, START + 1300)
    assert one.in_force[0].until == START + 1300 + 2400
    one.turn(START + 3700)
    hit(one, START + 3700 + 2401)
    assert one.in_force[0].until == START + 3700 + 2401 + 1200


# --- several processes ------------------------------------------------------------------------------------------------
def exchange(one: Reactor, other: Reactor) -> None:
    """What the store does, without the store."""
    for teller, hearer in ((one, other), (other, one)):
        lessons = teller.take_lessons()
        hearer.hear(
            Learned(reactions=tuple(r for r, _ in (*lessons.begun, *lessons.ended)), counts=tuple(lessons.counts))
        )


def test_replies_that_several_processes_hear_count_together() -> None:
    counted = rule(trigger=Trigger(window=600, count=4))
    one, other = reactor(counted, writer="s1", share=(0, 2)), reactor(counted, writer="s2", share=(1, 2))
    hit(one, START, 2)
    hit(other, START, 1)
    exchange(one, other)
    assert not one.in_force
    hit(other, START + 10)
    assert [r.hits for r in other.in_force] == [4]
    exchange(one, other)
    assert isinstance(ask(one, START + 11), Defer), "the other heard the fourth"


def test_a_share_is_of_all_answers_that_processes_heard() -> None:
    shared = rule(trigger=Trigger(window=600, rate=0.1, minimum=20))
    one, other = reactor(shared, writer="s1"), reactor(shared, writer="s2")
    flow(one, START, 15)
    flow(other, START, 100)
    hit(one, START)
    hit(other, START)
    exchange(one, other)
    hit(one, START + 5, 5)
    assert not one.in_force, "7 of 122, though 6 of 21 of its own"


def test_the_end_by_an_operator_reaches_the_process_and_the_pause_is_over() -> None:
    one = reactor(rule())
    hit(one, START)
    lessons = one.take_lessons()
    (reaction, event) = lessons.begun[0]
    assert isinstance(event, ReplyRuleActed)
    one.hear(Learned(reactions=(replace(reaction, ended=START + 60),)))
    assert isinstance(ask(one, START + 61), Admit)


def test_what_could_not_be_told_is_told_the_next_time() -> None:
    one = reactor(rule(trigger=Trigger(window=600, count=2)))
    hit(one, START, 2)
    lessons = one.take_lessons()
    assert not one.take_lessons()
    one.give_back(lessons)
    again = one.take_lessons()
    assert again.begun == lessons.begun
    assert sorted(map(str, again.counts)) == sorted(map(str, lessons.counts))


def test_a_rule_that_is_gone_from_the_table_is_not_taken_over() -> None:
    one = reactor(rule())
    hit(one, START)
    reaction = one.take_lessons().begun[0][0]
    fresh = reactor(rule(name="another"))
    fresh.hear(Learned(reactions=(reaction,)))
    assert not fresh.in_force


# --- the parts --------------------------------------------------------------------------------------------------------
@given(st.lists(st.tuples(st.floats(0, 5000), st.booleans()), max_size=80))
def test_a_sum_holds_all_of_the_window_but_a_slice_and_nothing_older(hits: list[tuple[float, bool]]) -> None:
    tally, now = Tally("s1"), START
    at = []
    for gap, counted in hits:
        now += gap
        if counted:
            tally.add("x", 10.0, now)
            at.append(now)
    assert sum(now - 590 < t for t in at) <= tally.sum("x", now) <= sum(now - 600 < t for t in at)


@pytest.mark.parametrize("site", ["relay:smart", SITE])
def test_a_relay_is_judged_by_its_own_site(site: str) -> None:
    general = rule(providers=frozenset())
    one = reactor(general)
    whose = site if site.startswith("relay:") else "yahoo"
    one.learn(traffic(), site, SLOWED, ANY, START, whose=whose)
    (found,) = one.in_force
    assert (found.site, found.scope.provider) == (("relay:smart", "") if "relay" in site else ("", "yahoo"))
