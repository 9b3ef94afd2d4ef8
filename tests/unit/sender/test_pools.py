"""Pools: which sources carry which mail, and when another pool takes over."""

from __future__ import annotations

from collections import Counter

import pytest

from config.model import Pool, Source, StreamSettings
from core.decision import Admit, Decision, Defer, DeferReason
from core.events import Deferred
from core.lane import Traffic
from tests.unit.sender.fakes import House, virtually

HOUR = 3600.0
POOLS = [Pool(name="cold", sources=["a", "b"], overflow="warm"), Pool(name="warm", sources=["c"])]
STREAMS = [
    StreamSettings(name="receipts", kind="transactional", priority=0, unsubscribe=False, pool="warm"),
    StreamSettings(name="bulk", priority=5, pool="cold"),
]


def _house() -> House:
    return House(sources=("a", "b", "c", "d"), changes={"pools": POOLS, "streams": STREAMS})


def _by(house: House) -> Counter[str]:
    return Counter(sent.source for sent in house.transport.sent)


def test_each_stream_goes_by_its_pool_and_a_message_may_choose_another() -> None:
    async def story() -> None:
        house = _house()
        await house.put(*[f"u{n}@gmail.test" for n in range(40)])
        await house.put("buyer@gmail.test", stream="receipts")
        await house.put("vip@gmail.test", pool="warm")
        await house.work(60)
        by = {sent.envelope.rcpt_to: sent.source for sent in house.transport.sent}
        assert by["buyer@gmail.test"] == by["vip@gmail.test"] == "c"
        assert {by[f"u{n}@gmail.test"] for n in range(40)} == {"a", "b"}, "never by the source of no pool"

    virtually(story)


def test_what_warm_up_holds_overflows_into_the_warm_pool() -> None:
    async def story() -> None:
        house = _house()

        def rule(traffic: Traffic, fresh: int, _r: int, now: float) -> Decision | None:
            if traffic.lane.source == "c":
                return None
            key = f"lane:{traffic.lane.source}"
            left = 3 - house.queue.used[key, 1]
            if left <= 0:
                return Defer(until=now + HOUR, reason=DeferReason.ALLOWANCE_SPENT)
            return Admit(messages=min(left, fresh), allowances=((key, 1, 3),))

        house.admission.rule = rule
        await house.put(*[f"u{n}@gmail.test" for n in range(60)])
        await house.work(300)
        assert _by(house) == {"a": 3, "b": 3, "c": 54}
        assert not house.held()

    virtually(story)


@pytest.mark.parametrize("reason", [DeferReason.PAUSED, DeferReason.SLOWED, DeferReason.PROBE_SPENT])
def test_what_a_gate_holds_is_not_carried_around_it(reason: DeferReason) -> None:
    async def story() -> None:
        house = _house()

        def rule(traffic: Traffic, _f: int, _r: int, now: float) -> Decision | None:
            return None if traffic.lane.source == "c" else Defer(until=now + HOUR, reason=reason)

        house.admission.rule = rule
        await house.put("ann@gmail.test")
        await house.work(300)
        assert not house.transport.sent
        assert [held.reason for held in house.held()] == [reason]

    virtually(story)


def test_a_pool_that_is_full_but_free_to_send_does_not_overflow() -> None:
    async def story() -> None:
        house = _house()
        await house.put(*[f"u{n}@gmail.test" for n in range(300)])
        await house.work(30)
        assert _by(house)["c"] == 0

    virtually(story)


def test_a_pool_whose_sources_are_out_overflows() -> None:
    async def story() -> None:
        house = _house()
        house.transport.unbindable = {"a", "b"}
        await house.put("ann@gmail.test", "bob@yahoo.test", "eve@small.test")
        await house.work(2 * HOUR)
        assert _by(house) == {"c": 3}

    virtually(story)


FAMILIES = [
    Source(name="a", bind="192.0.2.1", ehlo="a.example.com"),
    Source(name="b", bind="2001:db8::1", ehlo="b.example.com"),
    Source(name="c", bind="2001:db8::2", ehlo="c.example.com"),
]


def test_a_host_without_ipv6_costs_no_attempt_where_another_source_of_the_mail_reaches_it() -> None:
    async def story() -> None:
        house = House(sources=("a", "b", "c"), changes={"sources": FAMILIES})
        host = (await house.resolver.mx("small.test"))[0].host
        house.transport.unaddressed = {("b", host), ("c", host)}
        await house.put(*[f"u{n}@small.test" for n in range(40)])
        await house.work(30)
        assert _by(house) == {"a": 40}
        assert len(house.log.of(Deferred)) == 0
        calls = sum(source != "a" for _, source, _ in house.transport.connects)
        await house.put(*[f"v{n}@small.test" for n in range(40)])
        await house.work(30)
        assert sum(source != "a" for _, source, _ in house.transport.connects) == calls, "it is known now"

    virtually(story)


def test_what_no_source_of_a_pool_reaches_goes_by_the_overflow_pool() -> None:
    async def story() -> None:
        pools = [Pool(name="six", sources=["b", "c"], overflow="four"), Pool(name="four", sources=["a"])]
        house = House(sources=("a", "b", "c"), changes={"sources": FAMILIES, "pools": pools})
        host = (await house.resolver.mx("small.test"))[0].host
        house.transport.unaddressed = {("b", host), ("c", host)}
        await house.put("u1@small.test", pool="six")
        await house.work(30)
        assert _by(house) == {"a": 1}

    virtually(story)


def test_mail_that_no_source_can_take_to_its_host_is_deferred_as_ever() -> None:
    async def story() -> None:
        house = House(sources=("b", "c"), changes={"sources": FAMILIES[1:]})
        host = (await house.resolver.mx("small.test"))[0].host
        house.transport.unaddressed = {("b", host), ("c", host)}
        await house.put("u1@small.test")
        await house.work(30)
        assert len(house.log.of(Deferred)) == 1

    virtually(story)


def test_a_pool_that_is_configured_no_more_is_as_good_as_none() -> None:
    async def story() -> None:
        house = _house()
        await house.put("ann@gmail.test", pool="gone")
        await house.work(60)
        assert set(_by(house)) <= {"a", "b"}, "the stream's own then"
        assert len(house.transport.sent) == 1

    virtually(story)
