"""Slow rules over a real store: the sleeping base, too much mail, falling open rates; and the sunset policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from config.model import Settings
from config.rules import Rule
from core.audience import Reader
from core.clock import FixedClock
from core.events import Event, Opened, RuleChanged, SuppressionReason
from core.lane import DAY
from core.recipient import Actor
from core.state import Suppression
from core.tokens import MessageId
from monitor.findings import Findings
from service.audience import CURSOR, SPAN, Audience, census_json
from service.watch import Watch, specials
from storage.stores import Stores, open_stores
from tests.unit.monitor.test_openrate import RULE, mail, weekly
from tests.unit.monitor.world import NOON, delivered, under

SLEEPING = Rule(
    name="sleeping", signal="sleeping_share", by=["stream"], threshold=0.4, action="alert", minimum_total=10
)
OFTEN = Rule(name="often", signal="over_frequency", by=["stream"], threshold=0.1, action="alert", minimum_total=10)


def settings_of(**changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "sending_domains": [{"name": "news.example", "return_path": "rp.news.example"}],
            "sources": [{"name": "a", "ehlo": "a.news.example"}],
            "streams": [
                {"name": "transactional", "kind": "transactional", "priority": 0, "unsubscribe": False},
                {"name": "bulk", "priority": 5, "track_opens": True},
                {"name": "notes", "priority": 5},
            ],
            **changes,
        }
    )  # fmt: skip


class World:
    def __init__(self, stores: Stores, **changes: Any) -> None:
        self.stores = stores
        self.clock = FixedClock(NOON)
        self.settings = settings_of(**changes)
        self.audience = Audience(self.settings, stores, self.clock)
        self.findings = Findings()
        self.watch = Watch(
            settings=self.settings, rules=[SLEEPING, OFTEN, RULE], counters=stores.counters, log=stores.log,
            audience=self.audience, findings=lambda: self.findings, clock=self.clock,
        )  # fmt: skip

    async def told(self) -> list[RuleChanged]:
        await self.watch.look()
        rows = await self.stores.log.recent(["RuleChanged"], 100)
        events = [row.event for row in reversed(rows) if isinstance(row.event, RuleChanged)]
        self.findings = Findings(events)
        return events

    async def readers(self, count: int, days: float, **changes: Any) -> None:
        made = [
            Reader(
                address=f"{days}-{i}@x.example", stream=changes.get("stream", "bulk"), list_source="shop",
                first_at=NOON - days * DAY, mails=9, unanswered=9,
                **{k: v for k, v in changes.items() if k != "stream"},
            )
            for i in range(count)
        ]  # fmt: skip
        at = await self.stores.counters.cursor(CURSOR)
        await self.stores.audience.apply(CURSOR, at, at + 1, made)


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    opened = await open_stores("sqlite:///:memory:", inline=True)
    yield opened
    await opened.close()


async def test_a_sleeping_base_fires_once_and_is_over_when_it_wakes(stores: Stores) -> None:
    world = World(stores)
    await world.readers(50, 60)
    await world.readers(50, 40, sign_at=NOON - 2 * DAY)
    await world.readers(90, 60, stream="notes")  # not tracked: nothing is known
    (event,) = await world.told()
    assert (event.rule, event.scope.key, event.firing) == ("sleeping", "stream=bulk", True)
    assert event.evidence is not None
    assert (event.evidence.numerator, event.evidence.denominator) == (50, 100)
    assert len(await world.told()) == 1
    await world.readers(100, 41, sign_at=NOON)
    assert [e.firing for e in await world.told()] == [True, False]
    (row,) = [census_json(one) for one in await world.audience.census()]
    assert (row["list_source"], row["sleeping"], row["active"], row["sleeping_share"]) == ("shop", 50, 150, 0.25)


async def test_too_much_mail_is_told(stores: Stores) -> None:
    world = World(stores)
    week = int(NOON // (7 * DAY)) - 1
    await world.readers(8, 5, stream="notes", week=week, in_week=9)
    await world.readers(22, 6, stream="notes", week=week, in_week=2)
    (event,) = await world.told()
    assert (event.rule, event.scope.key) == ("often", "stream=notes")
    assert "8 of 30 got more than 4" in event.reason


async def test_a_falling_open_rate_is_told_with_what_it_speaks_of(stores: Stores) -> None:
    world = World(stores)
    newest = int(NOON // DAY) - 2
    fallen = mail(lambda day, p: weekly(day, p) * (0.5 if day >= newest and p == "gmail" else 1))
    await stores.counters.commit("monitor", 0, 1, fallen, [])
    (event,) = await world.told()
    assert (event.scope.provider, event.hint) == ("gmail", "placement")
    assert "7.50% opened on 2027-01-13 (150 of 2,000)" in event.reason
    assert "15.00%" in event.reason
    assert len(await world.told()) == 1


async def test_exceptional_days_come_from_the_settings(stores: Stores) -> None:
    world = World(stores, monitor={"exceptional": [{"name": "sale", "first": "2027-01-13", "last": "2027-01-15"}]})
    (one,) = specials(world.settings)
    assert (one.first, one.last) == (20_831, 20_833)


async def test_the_follower_learns_from_the_whole_log_in_batches(stores: Stores) -> None:
    world = World(stores)
    events: list[Event] = [
        replace(delivered(NOON + i), message_id=MessageId(f"m{i}"), recipient=f"{i % 7}@x.example") for i in range(70)
    ]
    await stores.log.append(events)
    while await world.audience.step():
        pass
    found = await stores.audience.readers([f"{i}@x.example" for i in range(7)])
    assert {reader.mails for reader in found.values()} == {10}
    assert await stores.counters.cursor(CURSOR) == await stores.log.head()
    assert not await world.audience.step()


@pytest.mark.parametrize(("policy", "ends"), [("refuse", 0.0), ("hold", NOON + 90 * DAY)])
async def test_the_sunset_policy_suppresses_who_is_gone_until_a_sign_of_life(
    stores: Stores, policy: str, ends: float
) -> None:
    world = World(stores, engagement={"sunset": policy})
    await world.readers(3, 300)
    await world.readers(3, 100)
    assert await world.audience.sunset() == 3
    assert await world.audience.sunset() == 0
    (entry,) = await stores.suppressions.of_address("300-1@x.example")
    assert (entry.reason, entry.stream, entry.expires_at) == (SuppressionReason.SUNSET, "bulk", ends)
    assert "no sign of life in 300 days" in entry.evidence
    sign = Opened(
        at=NOON, message_id=MessageId("m"), recipient="300-1@x.example", attribution=under(NOON), actor=Actor.HUMAN,
        reason="",
    )  # fmt: skip
    await stores.log.append([sign])
    while await world.audience.step():
        pass
    assert await stores.suppressions.of_address("300-1@x.example") == []


async def test_without_a_policy_nobody_is_suppressed(stores: Stores) -> None:
    world = World(stores)
    await world.readers(3, 300)
    assert await world.audience.sunset() == 0


async def test_who_is_kept_out_by_another_entry_has_not_come_back(stores: Stores) -> None:
    world = World(stores)
    await world.readers(1, 100)
    who = "100-0@x.example"
    bounce = Suppression(address=who, stream="", reason=SuppressionReason.HARD_BOUNCE, at=NOON, evidence="550")
    wish = replace(bounce, stream="bulk", reason=SuppressionReason.UNSUBSCRIBE)
    await stores.suppressions.add([bounce, wish])
    for lifted, left in (("", True), ("bulk", False)):
        await stores.suppressions.remove(who, lifted, "outage guard", NOON)
        while await world.audience.step():
            pass
        (reader,) = (await stores.audience.readers([who])).values()
        assert bool(reader.left_at) is left


async def test_a_log_that_is_half_read_puts_nobody_to_sleep_and_lets_no_open_rate_fall(stores: Stores) -> None:
    world = World(stores, engagement={"sunset": "refuse"})
    await world.readers(50, 300)
    newest = int(NOON // DAY) - 2
    fallen = mail(lambda day, p: weekly(day, p) * (0.5 if day >= newest and p == "gmail" else 1))
    await stores.counters.commit("monitor", 0, 1, fallen, [])
    unread = [
        replace(delivered(NOON), message_id=MessageId(f"m{i}")) for i in range(SPAN + 2)
    ]  # signs of life may stand among them
    await stores.log.append(unread)
    assert await world.told() == []
    assert await world.audience.sunset() == 0
    await stores.counters.commit("monitor", 1, await stores.log.head(), {}, [])
    await stores.audience.apply(CURSOR, 1, await stores.log.head(), [])
    assert {event.rule for event in await world.told()} == {"sleeping", RULE.name}
    assert await world.audience.sunset() == 50
