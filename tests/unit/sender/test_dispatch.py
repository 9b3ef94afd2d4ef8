"""The loop: what goes out, by which source, when, and how each message ends.  All under virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decision import Admit, Decision, Defer, DeferReason
from core.events import Bounced, Deferred, Delivered, Dropped, GateState, Held
from core.lane import Scope, Traffic
from core.ports import NullMx
from core.state import Envelope, Gate, Snapshot
from tests.unit.sender.fakes import START, FakeResolver, House, virtually

HOUR = 3600.0


def _paused(scope: Scope) -> Gate:
    return Gate(
        scope=scope, state=GateState.PAUSED, pause_id="p1", rule="r", since=START, until=0.0, reason="test", by="guard"
    )


# --- the plain way ---------------------------------------------------------------------------------------------------
def test_a_message_is_routed_sent_and_told() -> None:
    async def story() -> None:
        house = House()
        await house.put("ann@gmail.test")
        await house.work(10)
        (event,) = house.delivered()
        assert (event.recipient, event.site, event.attempt) == ("ann@gmail.test", "mx1.google.test,mx2.google.test", 1)
        assert event.attribution.traffic.lane.key == "a|example.com|gmail"
        assert house.transport.sent[0].host == "mx1.google.test", "the preferred host comes first"
        assert not house.queue.rows

    virtually(story)


def test_a_campaign_reuses_its_connections_within_the_providers_limits() -> None:
    async def story() -> None:
        house = House()
        await house.put(*[f"u{n}@gmail.test" for n in range(100)])
        await house.work(600)
        assert len(house.delivered()) == 100
        assert house.transport.most["a"] == 2, "three may be open; one is kept for transactional mail"
        assert 10 <= len(house.transport.connects) <= 12, "ten messages a connection"

    virtually(story)


def test_every_outcome_is_durable_within_moments_of_the_reply() -> None:
    async def story() -> None:
        house = House()
        await house.put(*[f"u{n}@small.test" for n in range(40)])
        await house.work(100)
        told = {e.recipient: e.at for e in house.delivered()}
        assert all(told[sent.envelope.rcpt_to] - sent.at < 0.01 for sent in house.transport.sent)

    virtually(story)


def test_an_idle_dispatcher_looks_at_the_queue_only_when_it_polls() -> None:
    async def story() -> None:
        house = House(poll=60.0)
        await house.work(6000)
        assert house.queue.looks <= 120

    virtually(story)


def test_scheduled_mail_goes_at_its_time() -> None:
    async def story() -> None:
        house = House(poll=30.0)
        await house.put("ann@gmail.test", after=HOUR)
        await house.work(2 * HOUR)
        assert HOUR <= house.delivered()[0].at - START <= HOUR + 60

    virtually(story)


# --- admission -------------------------------------------------------------------------------------------------------
def test_a_paused_kind_is_held_told_once_and_does_not_age() -> None:
    async def story() -> None:
        house = House()

        def rule(traffic: Traffic, _f: int, _r: int, now: float) -> Decision | None:
            if now < START + 100 * HOUR:
                return Defer(until=now + 600, reason=DeferReason.PAUSED)
            return None

        house.admission.rule = rule
        await house.put("ann@gmail.test", max_age=72 * HOUR)
        await house.work(110 * HOUR)
        (held,) = house.held()
        assert held.reason == "paused"
        assert len(house.delivered()) == 1, "the pause outlasted the message's age and cost none of it"
        assert len(house.queue.extended) < 450, "written in batches, not at each look"

    virtually(story)


def test_a_held_reason_is_told_anew_when_it_changes() -> None:
    async def story() -> None:
        house = House()
        reasons = [DeferReason.PACED, DeferReason.OUTSIDE_HOURS]

        def rule(_t: Traffic, _f: int, _r: int, now: float) -> Decision | None:
            return Defer(until=now + 60, reason=reasons[now > START + HOUR])

        house.admission.rule = rule
        await house.put("ann@gmail.test", "bob@gmail.test")
        await house.work(2 * HOUR)
        assert [held.reason for held in house.held()] == ["paced", "outside_hours"]

    virtually(story)


def test_mail_that_trickles_under_a_cap_is_not_told_with_every_message() -> None:
    async def story() -> None:
        house = House()

        def rule(_t: Traffic, _f: int, _r: int, now: float) -> Decision | None:
            if int(now) % 600 < 10:
                return Admit(messages=1)
            return Defer(until=(now // 600 + 1) * 600, reason=DeferReason.PACED)

        house.admission.rule = rule
        await house.put(*[f"u{n}@gmail.test" for n in range(500)])
        await house.work(3 * HOUR)
        assert len(house.delivered()) >= 17
        assert len(house.held()) <= 4

    virtually(story)


def test_the_gate_that_closes_under_a_claim_lets_no_further_message_out() -> None:
    async def story() -> None:
        house = House(seconds=1.0)
        await house.put(*[f"u{n}@gmail.test" for n in range(30)])

        async def close() -> None:
            await house.clock.sleep(8.5)
            house.snapshot = Snapshot(gates=(_paused(Scope(provider="gmail")),))
            house.admission.rule = lambda *_: Defer(until=house.clock.now() + HOUR, reason=DeferReason.PAUSED)
            house.dispatcher.wake()

        await asyncio.gather(house.work(100), close())
        assert all(sent.at <= START + 8.5 + 1.0 for sent in house.transport.sent), "only what was in flight"
        assert house.queue.leased == 0
        assert house.queue.released > 0, "the rest of the claim went back"
        assert len(house.queue.rows) + len(house.delivered()) == 30

    virtually(story)


def test_transactional_mail_goes_on_while_bulk_is_paused() -> None:
    async def story() -> None:
        house = House()
        house.snapshot = Snapshot(gates=(_paused(Scope(stream="bulk")),))

        def rule(traffic: Traffic, _f: int, _r: int, now: float) -> Decision | None:
            return Defer(until=now + 60, reason=DeferReason.PAUSED) if traffic.stream == "bulk" else None

        house.admission.rule = rule
        await house.put("ann@gmail.test")
        await house.put("bob@gmail.test", stream="receipts")
        await house.work(60)
        assert house.transport.delivered == ["bob@gmail.test"]

    virtually(story)


def test_caps_hold_and_a_warm_source_takes_what_a_cold_one_may_not() -> None:
    async def story() -> None:
        house = House(sources=("cold", "warm"))
        cap = 7

        def rule(traffic: Traffic, fresh: int, _r: int, now: float) -> Decision | None:
            if traffic.lane.source == "warm":
                return None
            left = cap - house.queue.used["lane:cold", 1]
            if left <= 0:
                return Defer(until=now + HOUR, reason=DeferReason.ALLOWANCE_SPENT)
            return Admit(messages=min(left, fresh), allowances=(("lane:cold", 1, cap),))

        house.admission.rule = rule
        await house.put(*[f"u{n}@gmail.test" for n in range(60)])
        await house.work(300)
        by_source = Counter(sent.source for sent in house.transport.sent)
        assert by_source["cold"] == cap
        assert by_source["warm"] == 60 - cap
        assert not house.held(), "as long as one source may send, nothing is held"

    virtually(story)


def test_a_cap_that_storage_knows_better_is_not_asked_in_a_hurry() -> None:
    async def story() -> None:
        house = House()
        house.queue.used["lane:a", 1] = 5
        house.admission.rule = lambda _t, fresh, _r, _n: Admit(messages=fresh, allowances=(("lane:a", 1, 5),))
        await house.put("ann@gmail.test", "bob@gmail.test")
        await house.work(120)
        assert not house.transport.connects, "no connection is opened for mail that may not go"
        assert 2 <= len(house.queue.claims) <= 15

    virtually(story)


def test_retries_go_on_when_the_cap_for_first_attempts_is_spent() -> None:
    async def story() -> None:
        house = House(first_retry_minutes=1)
        seen: Counter[str] = Counter()

        def answer(_source: str, envelope: Envelope) -> str:
            seen[envelope.rcpt_to] += 1
            return "451 4.3.0 later" if seen[envelope.rcpt_to] == 1 else "250 Ok"

        house.transport.answer = answer

        def rule(_t: Traffic, fresh: int, _r: int, now: float) -> Decision | None:
            spent = now > START + 30 and fresh
            return Defer(until=now + HOUR, reason=DeferReason.ALLOWANCE_SPENT) if spent else None

        house.admission.rule = rule
        await house.put("ann@gmail.test")

        async def later() -> None:
            await house.clock.sleep(31)
            await house.put("bob@gmail.test")

        await asyncio.gather(house.work(600), later())
        assert house.transport.delivered == ["ann@gmail.test"]

    virtually(story)


# --- fairness --------------------------------------------------------------------------------------------------------
def test_a_receipt_does_not_wait_for_a_campaign() -> None:
    async def story() -> None:
        house = House(seconds=1.0)
        await house.put(*[f"u{n}@gmail.test" for n in range(500)])

        async def buy() -> None:
            await house.clock.sleep(50.3)
            await house.put("buyer@gmail.test", stream="receipts")

        await asyncio.gather(house.work(120), buy())
        receipt = next(e for e in house.delivered() if e.recipient == "buyer@gmail.test")
        assert receipt.latency <= 3.1, "a connection's opening and its own second"

    virtually(story)


def test_a_small_campaign_does_not_wait_for_a_huge_one() -> None:
    async def story() -> None:
        house = House(seconds=0.5)
        await house.put(*[f"u{n}@gmail.test" for n in range(2000)], campaign="huge")
        await house.put(*[f"s{n}@gmail.test" for n in range(20)], campaign="small")
        await house.work(60)
        small = [e for e in house.delivered() if e.recipient.startswith("s")]
        assert len(small) == 20
        huge = [e for e in house.delivered() if e.recipient.startswith("u")]
        assert len(huge) > 60, "and the huge one goes on as well"

    virtually(story)


# --- the end ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("stop_after", [0.05, 0.35, 1.0, 3.3, 7.77])
def test_stopping_finishes_the_message_in_flight_and_gives_the_rest_back(stop_after: float) -> None:
    async def story() -> None:
        house = House(seconds=0.3)
        ids = await house.put(*[f"u{n}@gmail.test" for n in range(50)])
        await house.work(stop_after)
        assert house.queue.leased == 0
        assert sorted(house.transport.delivered) == sorted(e.recipient for e in house.delivered())
        assert not +house.transport.open, "every connection is closed"
        await house.work(1000)  # and it can be started again
        assert house.ends() == Counter(map(str, ids))
        assert len(house.transport.delivered) == 50, "nobody is mailed twice"

    virtually(story)


def test_stopping_does_not_wait_for_ever_for_a_host_that_says_nothing() -> None:
    async def story() -> None:
        house = House(seconds=200)
        await house.put("ann@gmail.test")
        await house.work(250)
        assert house.clock.now() - START < 270
        assert house.queue.leased == 1, "its lease says when the message comes back"

    virtually(story)


def test_leases_of_an_earlier_life_come_back_at_the_start() -> None:
    async def story() -> None:
        house = House()
        (lost,) = await house.put("ann@gmail.test")
        house.queue.rows[lost].node, house.queue.rows[lost].lease_until = "n1", START + 1e9
        await house.work(10)
        assert house.transport.delivered == ["ann@gmail.test"]

    virtually(story)


# --- the invariant ---------------------------------------------------------------------------------------------------
_REPLIES = st.sampled_from(
    ["250 Ok", "250 Ok", "451 4.3.0 later", "550 5.1.1 unknown", "552 5.2.2 full", "421 4.4.5 slow", "", "554 no",
     "550 5.7.26 auth", "450 4.7.1 grey", "354 odd", "452 4.5.3 many", "571 x", "550 5.7.1 spam", "999 nonsense"]
)  # fmt: skip
_DOMAINS = ("gmail.test", "yahoo.test", "small.test", "null.test", "missing.test", "failing.test")


@given(
    script=st.lists(_REPLIES, min_size=1, max_size=40),
    connects=st.lists(st.sampled_from([None, None, None, "", "421 4.7.0 no", "554 blocked"]), max_size=20),
    domains=st.lists(st.sampled_from(_DOMAINS), min_size=1, max_size=30),
    pauses=st.lists(st.integers(1, 400_000), max_size=3),
    stops=st.lists(st.floats(0.01, 5000), max_size=3),
    suppress=st.sets(st.integers(0, 29), max_size=3),
)
def test_every_accepted_message_ends_exactly_once_whatever_the_hosts_say(
    script: list[str],
    connects: list[str | None],
    domains: list[str],
    pauses: list[int],
    stops: list[float],
    suppress: set[int],
) -> None:
    async def story() -> None:
        replies, greetings = iter(script), iter(connects)
        house = House(
            sources=("a", "b"),
            answer=lambda _s, _e: next(replies, "250 Ok"),
            resolver=FakeResolver({"null.test": NullMx("null.test")}),
            poll=600.0,
        )
        house.transport.refuse = lambda _s, _h: next(greetings, None)

        def rule(traffic: Traffic, fresh: int, _r: int, now: float) -> Decision | None:
            for begin in pauses:
                if START + begin <= now < START + begin + 4 * HOUR:
                    return Defer(until=START + begin + 4 * HOUR, reason=DeferReason.PAUSED)
            if traffic.lane.source == "a":
                cap = (("lane:a", int(now // 86400), 3),)
                return Admit(messages=fresh or 1, allowances=cap if fresh else ())
            return None

        house.admission.rule = rule
        recipients = [f"u{n}@{domain}" for n, domain in enumerate(domains)]
        ids = await house.put(*recipients)
        for stop in stops:
            await house.work(stop)
            assert house.queue.leased == 0
        house.queue.suppressed |= {recipients[n] for n in suppress if n < len(recipients)}
        sent_before = len(house.transport.sent)
        await house.work(8 * 86400.0)
        assert not house.queue.rows
        assert house.ends() == Counter(map(str, ids))
        twice = Counter(sent.envelope.rcpt_to for sent in house.transport.sent if sent.reply.startswith("2"))
        assert not [r for r, n in twice.items() if n > 1], "a message that was taken is never sent again"
        late = {sent.envelope.rcpt_to for sent in house.transport.sent[sent_before:]}
        assert not late & {recipients[n] for n in suppress if n < len(recipients)}
        assert max((house.queue.used[key] for key in house.queue.used), default=0) <= 3
        for event in house.log.of(Deferred):
            assert event.at < event.retry_at
        assert len(house.log.of(Held)) <= 40
        assert {type(e) for e in house.log.events} <= {Delivered, Deferred, Bounced, Dropped, Held}

    virtually(story)
