"""How each message ends and what an error stops: suppression, retries, rests.  All under virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from core.classify import BounceClass
from core.decision import Defer, DeferReason
from core.events import Bounced, Deferred, Dropped, DropReason, GateState
from core.lane import Scope
from core.ports import NullMx
from core.state import Envelope, Gate, MxHost
from sender.dispatch import OVERDUE
from tests.unit.sender.fakes import START, FakeResolver, House, virtually

HOUR = 3600.0


def _paused(scope: Scope) -> Gate:
    return Gate(
        scope=scope, state=GateState.PAUSED, pause_id="p1", rule="r", since=START, until=0.0, reason="test", by="guard"
    )


# --- suppression -----------------------------------------------------------------------------------------------------
def test_an_address_suppressed_between_claim_and_send_is_not_mailed() -> None:
    async def story() -> None:
        house = House(seconds=1.0)

        def answer(_source: str, _envelope: Envelope) -> str:
            house.queue.suppressed.add("late@small.test")
            return "250 Ok"

        house.transport.answer = answer
        await house.put(*[f"u{n}@small.test" for n in range(4)], "late@small.test")
        await house.work(100)
        assert "late@small.test" not in house.transport.delivered
        (dropped,) = house.log.of(Dropped)
        assert dropped.reason is DropReason.SUPPRESSED
        assert len(house.delivered()) == 4

    virtually(story)


def test_an_address_suppressed_while_its_batch_is_being_sent_is_not_mailed() -> None:
    async def story() -> None:
        house = House(seconds=1.0)
        late: list[str] = []

        def answer(_source: str, envelope: Envelope) -> str:
            rows = list(house.queue.rows.values())
            mine = next(row for row in rows if row.submission.recipient == envelope.rcpt_to)
            batch = [
                row.submission.recipient for row in rows if row.lease_until == mine.lease_until and row is not mine
            ]
            if not late and len(batch) >= 15:  # claimed by the same call, and far from its turn
                late.append(batch[-1])
                house.queue.suppressed.add(batch[-1])
            return "250 Ok"

        house.transport.answer = answer
        await house.put(*[f"u{n}@small.test" for n in range(60)])
        await house.work(100)
        (address,) = late
        assert address not in house.transport.delivered
        (dropped,) = house.log.of(Dropped)
        assert (dropped.recipient, dropped.reason) == (address, DropReason.SUPPRESSED)
        assert len(house.delivered()) == 59

    virtually(story)


def test_a_hard_bounce_suppresses_and_other_refusals_do_not() -> None:
    replies = {
        "gone@small.test": "550 5.1.1 no such user",
        "full@small.test": "552 5.2.2 mailbox full",
        "odd@small.test": "554 no",
        "spam@small.test": "550 5.7.1 refused",
    }

    async def story() -> None:
        house = House(answer=lambda _s, envelope: replies[envelope.rcpt_to])
        await house.put(*replies)
        await house.work(10 * HOUR)
        assert {e.recipient for e in house.log.of(Bounced)} == set(replies)
        assert house.queue.suppressed == {"gone@small.test"}

    virtually(story)


# --- deadlines -------------------------------------------------------------------------------------------------------
def test_mail_past_its_deadline_ends_at_once_tried_or_not() -> None:
    """The caller waits for word: not until the next round of housekeeping, and not after one more attempt."""

    async def story() -> None:
        house = House(answer=lambda _s, _e: "450 4.2.1 later", first_retry_minutes=10)
        await house.put("ann@small.test", deadline=300)
        await house.put("bob@small.test", after=HOUR, deadline=600)
        await house.work(900)
        ends = {e.recipient: (e.bounce_class, e.at - START) for e in house.log.of(Bounced)}
        assert ends.keys() == {"ann@small.test", "bob@small.test"}
        assert {bounce for bounce, _ in ends.values()} == {BounceClass.EXPIRED}
        assert 240 <= ends["ann@small.test"][1] <= 310
        assert 600 <= ends["bob@small.test"][1] <= 620

    virtually(story)


def test_a_whole_campaign_past_its_deadline_ends_within_seconds() -> None:
    async def story() -> None:
        house = House()
        house.admission.rule = lambda *_: Defer(until=house.clock.now() + HOUR, reason=DeferReason.PAUSED)
        await house.put(*[f"u{n}@gmail.test" for n in range(5 * OVERDUE)], deadline=300)
        await house.work(900)
        ends = [e.at - START for e in house.log.of(Bounced)]
        assert len(ends) == 5 * OVERDUE
        assert max(ends) <= 310

    virtually(story)


# --- retries ---------------------------------------------------------------------------------------------------------
def test_greylisting_is_answered_fast_and_later_waits_grow() -> None:
    async def story() -> None:
        house = House(answer=lambda _s, _e: "451 4.7.1 later", first_retry_minutes=10)
        await house.put("ann@small.test", max_age=24 * HOUR)
        await house.work(30 * HOUR)
        waits = [e.retry_at - e.at for e in house.log.of(Deferred)]
        assert 500 <= waits[0] <= 700
        assert all(wait <= 6 * HOUR * 1.1 + 1 for wait in waits)
        assert waits[2] > waits[1] > waits[0]
        (bounced,) = house.log.of(Bounced)
        assert bounced.bounce_class is BounceClass.EXPIRED
        assert bounced.reply.code == 451, "the last reply is kept"
        assert START + 24 * HOUR - 2 <= bounced.at <= START + 24 * HOUR + 60
        assert not house.queue.suppressed

    virtually(story)


def test_the_cohort_stays_that_of_the_first_attempt() -> None:
    async def story() -> None:
        replies = iter(["451 4.3.0 later", "451 4.3.0 later", "451 4.3.0 later", "451 4.3.0 later", "250 Ok"])
        house = House(answer=lambda _s, _e: next(replies), first_retry_minutes=30)
        await house.put("ann@small.test")
        await house.work(24 * HOUR)
        (delivered,) = house.delivered()
        assert delivered.attempt == 5
        assert {e.attribution.cohort for e in house.log.of(Deferred)} == {delivered.attribution.cohort}

    virtually(story)


def test_a_rate_refusal_stops_the_pair_and_it_comes_back_with_one_connection() -> None:
    async def story() -> None:
        house = House()

        def answer(_source: str, _envelope: Envelope) -> str:
            early = house.clock.now() < START + 5
            return "421 4.4.5 too fast, slow down" if early else "250 Ok"

        house.transport.answer = answer
        await house.put(*[f"u{n}@gmail.test" for n in range(200)])
        await house.work(4 * HOUR)
        times = [sent.at - START for sent in house.transport.sent]
        assert not [t for t in times if 6 < t < 590], "ten minutes of silence"
        opened = [at - START for at, _, _ in house.transport.connects if at - START > 500]
        assert opened[1] > opened[0] + 0.1, "one connection first"
        assert len(house.delivered()) == 200
        assert any(held.reason == "connection_limit" for held in house.held())
        assert not house.queue.extended, "a wait that the provider imposed is no choice of ours"

    virtually(story)


def test_a_permanent_refusal_for_rate_is_tried_again_and_one_for_reputation_is_not() -> None:
    async def story() -> None:
        tries: Counter[str] = Counter()

        def answer(_source: str, envelope: Envelope) -> str:
            tries[envelope.rcpt_to] += 1
            if envelope.rcpt_to.startswith("busy"):
                return "550 5.4.5 receiving mail at a rate" if tries[envelope.rcpt_to] < 3 else "250 Ok"
            return "550 5.7.26 unauthenticated"

        house = House(answer=answer)
        await house.put("busy@gmail.test", "x@yahoo.test")
        await house.work(24 * HOUR)
        assert house.transport.delivered == ["busy@gmail.test"]
        (bounced,) = house.log.of(Bounced)
        assert bounced.bounce_class is BounceClass.AUTH_FAILED
        assert not house.queue.suppressed

    virtually(story)


def test_a_host_that_cannot_be_reached_costs_one_attempt_at_a_time() -> None:
    async def story() -> None:
        house = House()
        house.transport.refuse = lambda _s, hosts: "" if hosts[0] == "small.test" else None
        await house.put(*[f"u{n}@small.test" for n in range(50)], "ann@gmail.test")
        await house.work(HOUR)
        assert house.transport.delivered == ["ann@gmail.test"]
        assert 3 <= len(house.log.of(Deferred)) <= 10, "60 s, 120 s, 240 s …"
        assert not house.log.of(Bounced)

    virtually(story)


def test_a_greeting_that_refuses_for_good_bounces_nobody() -> None:
    async def story() -> None:
        house = House()
        house.transport.refuse = lambda _s, _h: "554 5.7.1 your address is blocked"
        await house.put("ann@gmail.test", max_age=12 * HOUR)
        await house.work(6 * HOUR)
        assert house.log.of(Deferred)
        assert not house.log.of(Bounced)

    virtually(story)


def test_lost_connections_are_replaced_and_each_message_ends_once() -> None:
    async def story() -> None:
        rng = random.Random(3)
        house = House(answer=lambda _s, _e: "" if rng.random() < 0.2 else "250 Ok", first_retry_minutes=1)
        ids = await house.put(*[f"u{n}@gmail.test" for n in range(60)])
        await house.work(48 * HOUR)
        assert house.ends() == Counter(map(str, ids))
        assert len(house.delivered()) == 60

    virtually(story)


def test_a_source_that_reaches_no_provider_is_taken_out() -> None:
    async def story() -> None:
        house = House(
            sources=("dead", "live"),
            resolver=FakeResolver({"third.test": [MxHost(preference=1, host="mx.mail.test")]}),
        )
        house.transport.refuse = lambda source, _h: "" if source == "dead" else None
        await house.put(*[f"u{n}@{d}" for n in range(30) for d in ("gmail.test", "yahoo.test", "third.test")])
        await house.work(2 * HOUR)
        assert len(house.delivered()) == 90
        failed = [at for at, source, _ in house.transport.connects if source == "dead"]
        assert len(failed) <= 12, "after three providers in a row it rests, longer each time"
        assert {e.attribution.traffic.lane.source for e in house.delivered()} == {"live"}

    virtually(story)


# --- routes ----------------------------------------------------------------------------------------------------------
def test_a_null_mx_bounces_at_once_and_suppresses() -> None:
    async def story() -> None:
        house = House(resolver=FakeResolver({"null.test": NullMx("null.test")}))
        await house.put("ann@null.test")
        await house.work(60)
        (bounced,) = house.log.of(Bounced)
        assert bounced.bounce_class is BounceClass.NO_MAIL_HOST
        assert house.queue.suppressed == {"ann@null.test"}
        assert not house.transport.connects

    virtually(story)


def test_a_name_that_stays_missing_for_days_bounces_and_one_that_comes_back_is_mailed() -> None:
    async def story() -> None:
        house = House()
        await house.put("ann@missing.test", "bob@blinking.test", max_age=72 * HOUR)
        asyncio.get_running_loop().call_later(
            40 * HOUR,
            lambda: house.resolver.answers.update({"blinking.test": [MxHost(preference=1, host="mx.blinking.test")]}),
        )
        await house.work(71 * HOUR)
        (bounced,) = house.log.of(Bounced)
        assert (bounced.recipient, bounced.bounce_class) == ("ann@missing.test", BounceClass.UNKNOWN_DOMAIN)
        assert bounced.at - START >= 48 * HOUR
        assert house.transport.delivered == ["bob@blinking.test"]

    virtually(story)


def test_a_domain_that_moved_is_served_by_its_new_hosts() -> None:
    def move(house: House) -> None:
        house.resolver.answers["gmail.test"] = [MxHost(preference=1, host="mx.yahoo.test")]
        house.transport.answer = lambda _s, _e: "250 Ok"

    async def story() -> None:
        house = House(answer=lambda _s, _e: "451 4.3.0 later", first_retry_minutes=10)
        await house.put("ann@gmail.test", "bob@gmail.test")
        asyncio.get_running_loop().call_later(120, move, house)
        await house.work(HOUR)
        assert {sent.host for sent in house.transport.sent if sent.reply.startswith("2")} == {"mx.yahoo.test"}
        assert len(house.delivered()) == 2

    virtually(story)


# --- errors of ours --------------------------------------------------------------------------------------------------
def test_a_message_that_cannot_be_rendered_is_dropped_and_stops_nobody() -> None:
    async def story() -> None:
        house = House()
        (bad,) = await house.put("bad@gmail.test")
        body = house.queue.bodies[house.queue.rows[bad].submission.body_id]
        house.queue.bodies[body.body_id] = type(body)(
            body_id=body.body_id,
            kind="template",
            content=b'{"from": "x@example.com", "subject": "{{ name }}", "text": "t"}',
        )
        await house.put("good@gmail.test")
        await house.work(60)
        (dropped,) = house.log.of(Dropped)
        assert (dropped.reason, dropped.recipient) == (DropReason.UNRENDERABLE, "bad@gmail.test")
        assert "name" in dropped.detail
        assert house.transport.delivered == ["good@gmail.test"]

    virtually(story)


def test_an_unforeseen_error_with_one_message_puts_that_message_off() -> None:
    async def story() -> None:
        house = House()
        (bad,) = await house.put("bad@gmail.test", max_age=2 * HOUR)
        del house.queue.bodies[house.queue.rows[bad].submission.body_id]
        house.queue.bodies = dict(house.queue.bodies)
        await house.put("good@gmail.test")
        await house.work(4 * HOUR)
        assert "good@gmail.test" in house.transport.delivered

    virtually(story)


def test_outcomes_that_cannot_be_written_are_written_later_and_meanwhile_nothing_goes_out() -> None:
    async def story() -> None:
        house = House(seconds=0.01)
        house.queue.failing = 6
        ids = await house.put(*[f"u{n}@site{d}.test" for n in range(40) for d in range(20)])
        house.resolver.answers.update(
            {f"site{d}.test": [MxHost(preference=0, host=f"site{d}.test")] for d in range(20)}
        )
        await house.work(300)
        assert Counter(house.transport.delivered).most_common(1)[0][1] == 1, "nobody is mailed twice"
        assert house.ends() == Counter(map(str, ids))

    virtually(story)
