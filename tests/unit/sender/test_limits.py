"""Limits of ours in the loop: rates, openings and connections hold at every scope, and nobody starves."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.egress import Limit
from core.decision import Admit, Decision
from core.lane import Traffic
from sender.limiting.turns import Turns
from tests.unit.sender.fakes import House, virtually

HOUR = 3600.0


def _limit(**parts: Any) -> Limit:
    return Limit.model_validate({"name": "test", **parts})


def _house(*limits: Limit, **wishes: Any) -> House:
    return House(changes={"limits": list(limits)}, **wishes)


def _most(instants: Sequence[float], span: float) -> int:
    """Most events in any span of so many seconds."""
    at = sorted(instants)
    return max((sum(1 for t in at[i:] if t <= at[i] + span) for i in range(len(at))), default=0)


@pytest.mark.parametrize(
    ("parts", "counted"),
    [
        ({}, lambda sent: "all"),
        ({"scope": "provider=gmail"}, lambda sent: "gmail" if "gmail" in sent.envelope.rcpt_to else None),
        ({"each": ["source"]}, lambda sent: sent.source),
        ({"each": ["site"]}, lambda sent: sent.host),
        ({"each": ["lane"]}, lambda sent: (sent.source, sent.envelope.rcpt_to.partition("@")[2])),
        ({"scope": "stream=bulk", "each": ["campaign"]}, lambda sent: sent.envelope.rcpt_to[0]),
        ({"each": ["sending_domain", "pool"]}, lambda sent: "all"),
    ],
    ids=["all", "provider", "source", "site", "lane", "campaign", "sending_domain"],  # the workers must agree on names
)
def test_a_rate_of_messages_holds_in_every_span_at_every_scope(parts: dict[str, Any], counted: Any) -> None:
    async def story() -> None:
        house = _house(_limit(messages="60/minute", burst=3, **parts), sources=("a", "b"))
        for campaign in "xy":
            for domain in ("gmail.test", "yahoo.test"):
                await house.put(*[f"{campaign}{n}@{domain}" for n in range(40)], campaign=campaign)
        await house.work(600)
        groups: dict[object, list[float]] = {}
        for sent in house.transport.sent:
            groups.setdefault(counted(sent), []).append(sent.at)
        assert len(house.transport.sent) == 160, "everything goes in the end"
        for name, instants in groups.items():
            if name is None:
                continue
            for span in (0.0, 5.0, 20.0):
                # a message is sent at most moments after it was granted
                assert _most(instants, span) <= 3 + span + 2, name
        slowest = max(max(instants) for instants in groups.values()) - min(sent.at for sent in house.transport.sent)
        assert slowest <= 165, "and the rate is used"

    virtually(story)


def test_a_rate_costs_neither_attempts_nor_age_and_says_which_limit() -> None:
    async def story() -> None:
        house = _house(_limit(name="slow", messages="2/hour"))
        await house.put(*[f"u{n}@gmail.test" for n in range(20)], max_age=2 * HOUR)
        await house.work(11 * HOUR)
        assert len(house.delivered()) == 20, "ten hours of waiting within a life of two"
        assert {event.attempt for event in house.delivered()} == {1}
        held = house.held()[0]
        assert (held.reason, held.detail) == ("limited", "limit slow: 2/hour messages")

    virtually(story)


def test_two_campaigns_share_a_rate_fairly_and_a_receipt_goes_first() -> None:
    async def story() -> None:
        house = _house(_limit(messages="60/minute", burst=1), sources=("a",))
        await house.put(*[f"big{n}@gmail.test" for n in range(500)], campaign="big")
        await house.put(*[f"small{n}@yahoo.test" for n in range(20)], campaign="small")

        async def buy() -> None:
            await house.clock.sleep(10.0)
            await house.put("buyer@small.test", stream="receipts")

        await asyncio.gather(house.work(60), buy())
        at = {sent.envelope.rcpt_to: sent.at for sent in house.transport.sent}
        bought = min(row for row in [at["buyer@small.test"]])
        assert bought - (next(iter(at.values())) + 10) <= 3
        by = Counter(recipient[0] for recipient in at)
        assert by["s"] == 20, "the small one is through, although the big one asks more often"
        assert by["b"] >= 30

    virtually(story)


def test_openings_are_paced_by_the_table_and_by_limits() -> None:
    async def story() -> None:
        house = _house(_limit(new_connections="6/minute", burst=2, scope="provider=yahoo"))
        await house.put(*[f"u{n}@yahoo.test" for n in range(60)])
        await house.work(200)
        opened = [at for at, _, _ in house.transport.connects]
        assert len(house.transport.sent) == 60
        assert _most(opened, 60.0) <= 2 + 6
        assert len(opened) >= 12, "five messages a connection"
        assert house.queue.released == 0, "a line asks before it claims"

    virtually(story)


@pytest.mark.parametrize(
    ("parts", "most"),
    [
        ({"connections": 1, "each": ["provider"]}, 2),
        ({"connections": 1}, 1),
        ({"connections": 1, "scope": "stream=bulk"}, 1),
        ({"connections": 2, "each": ["sending_domain"]}, 2),
    ],
    ids=str,
)
def test_open_connections_hold_across_sources_and_sites(parts: dict[str, Any], most: int) -> None:
    async def story() -> None:
        house = _house(_limit(**parts), sources=("a", "b", "c"), seconds=1.0)
        await house.put(*[f"u{n}@{d}" for n, d in zip(range(60), itertools.cycle(["gmail.test", "yahoo.test"]))])
        watched: list[int] = []
        real = house.transport.connect

        async def connect(*args: Any, **wishes: Any) -> Any:
            found = await real(*args, **wishes)
            watched.append(sum(house.transport.open.values()))
            return found

        house.transport.connect = connect  # type: ignore[method-assign]
        await house.work(900)
        assert len(house.transport.sent) == 60
        assert max(watched) <= most

    virtually(story)


def test_a_process_that_has_no_part_in_a_limit_leaves_the_mail_to_others_and_holds_nothing() -> None:
    async def story() -> None:
        house = _house(_limit(connections=1), share=(1, 2))
        await house.put("ann@gmail.test")
        await house.work(HOUR)
        assert not house.transport.connects
        assert not house.held(), "another process sends it: it does not wait"
        assert not house.queue.extended

    virtually(story)


def test_two_processes_keep_one_rate_between_them() -> None:
    async def story() -> None:
        limit = _limit(messages="60/minute", burst=4)
        one = _house(limit, share=(0, 2))
        two = _house(limit, share=(1, 2), rates=one.rates)
        await one.put(*[f"u{n}@gmail.test" for n in range(60)])
        await two.put(*[f"v{n}@gmail.test" for n in range(60)])
        await asyncio.gather(one.work(130), two.work(130))
        sent = [s.at for s in (*one.transport.sent, *two.transport.sent)]
        assert len(sent) == 120
        for span in (0.0, 5.0, 30.0):
            assert _most(sent, span) <= 4 + span + 3
        assert min(len(one.transport.sent), len(two.transport.sent)) == 60

    virtually(story)


def test_messages_a_connection_go_by_the_narrowest_limit() -> None:
    async def story() -> None:
        house = _house(_limit(messages_per_connection=4, scope="stream=bulk"))
        await house.put(*[f"u{n}@gmail.test" for n in range(40)])
        await house.work(300)
        assert len(house.transport.connects) == 10

    virtually(story)


def test_without_limits_nothing_is_asked_of_the_buckets() -> None:
    async def story() -> None:
        house = House()
        await house.put(*[f"u{n}@gmail.test" for n in range(40)])
        await house.work(300)
        assert await house.rates.look() == {}

    virtually(story)


def test_a_limit_and_a_warm_up_cap_hold_together() -> None:
    async def story() -> None:
        house = _house(_limit(messages="60/minute", burst=5))

        def rule(_t: Traffic, fresh: int, _r: int, _n: float) -> Decision:
            return Admit(messages=fresh, allowances=(("lane:a", 1, 7),))

        house.admission.rule = rule
        await house.put(*[f"u{n}@gmail.test" for n in range(30)])
        await house.work(120)
        assert len(house.transport.sent) == 7

    virtually(story)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 0.4)), min_size=40, max_size=120))
def test_turns_let_nobody_starve(asks: list[tuple[str, float]]) -> None:
    """Whoever keeps asking is served before others have had two more."""
    turns: Turns[str] = Turns()
    now = 0.0
    had: Counter[str] = Counter()
    for kind in "abcd":
        turns.refused(kind, 5, now)
    for kind, wait in asks:
        now += wait
        for other in "abcd":
            if other != kind and not turns.may(other, 5, now):
                turns.refused(other, 5, now)
        if turns.may(kind, 5, now):
            turns.took(kind, 5, 1, now)
            had[kind] += 1
        turns.refused(kind, 5, now)
        assert max(had.values(), default=0) - min(had[k] for k in "abcd") <= 1
