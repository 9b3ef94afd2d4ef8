"""Records of ours: a change is told once, with before and after; ignorance is no change."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from collectors.dns.history import META, PENDING, RecordWatch, Watched, watched_domain
from core.clock import FixedClock
from core.events import RecordChanged
from tests.unit.collectors.watch_meta import MemoryLog, MemoryMeta
from tests.unit.collectors.watch_zone import Zone

SPF = "b.news.example TXT v=spf1 ip4:192.0.2.1 -all"
WATCHED = [*watched_domain("news.example", "b.news.example", ["p1"]), Watched(name="192.0.2.1", type="PTR")]


class World:
    def __init__(self) -> None:
        self.log = MemoryLog()
        self.meta = MemoryMeta()
        self.watched: Sequence[Watched] = WATCHED

    async def look(self, zone: str) -> list[RecordChanged]:
        async def watched() -> Sequence[Watched]:
            return self.watched

        watch = RecordWatch(
            watched=watched, resolver=Zone(zone), log=self.log, meta=self.meta, clock=FixedClock(1_764_072_000.0)
        )
        return await watch.look()


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (SPF, "b.news.example TXT v=spf1 +all", ("b.news.example", "TXT", "v=spf1 ip4:192.0.2.1 -all", "v=spf1 +all")),
        (SPF, "", ("b.news.example", "TXT", "v=spf1 ip4:192.0.2.1 -all", "")),
        ("", "p1._domainkey.news.example TXT v=DKIM1; p=x", ("p1._domainkey.news.example", "TXT", "", "v=DKIM1; p=x")),
        (
            "news.example MX 10 a.example\nnews.example MX 20 b.example", "news.example MX 10 a.example",
            ("news.example", "MX", "10 a.example\n20 b.example", "10 a.example"),
        ),
        ("b.news.example MX 10 a.example", "b.news.example MX 0 .", ("b.news.example", "MX", "10 a.example", "0 .")),
        ("192.0.2.1 PTR a.example", "192.0.2.1 PTR b.example", ("192.0.2.1", "PTR", "a.example", "b.example")),
        ("_dmarc.news.example TXT v=DMARC1; p=none", "", ("_dmarc.news.example", "TXT", "v=DMARC1; p=none", "")),
        ("", "_mta-sts.b.news.example TXT v=STSv1; id=2", ("_mta-sts.b.news.example", "TXT", "", "v=STSv1; id=2")),
        ("", "_smtp._tls.b.news.example TXT v=TLSRPTv1", ("_smtp._tls.b.news.example", "TXT", "", "v=TLSRPTv1")),
    ],
)  # fmt: skip
async def test_every_watched_record_tells_its_change(before: str, after: str, change: tuple[str, ...]) -> None:
    world = World()
    assert await world.look(before) == []
    assert await world.look(after) == [], "the next look has to see it as well"
    assert [(c.name, c.type, c.before, c.after) for c in await world.look(after)] == [change]
    assert await world.look(after) == []
    assert len(world.log.events) == 1


async def test_order_spacing_and_other_texts_at_the_same_name_are_no_change() -> None:
    world = World()
    await world.look("news.example MX 10 a.x\nnews.example MX 10 b.x\nnews.example TXT v=spf1 -all")
    same = "news.example MX 10 b.x\nnews.example MX 10 a.x\nnews.example TXT site=1\nnews.example TXT v=spf1  -all"
    assert [await world.look(same), await world.look(same)] == [[], []]


async def test_what_cannot_be_known_now_is_compared_when_it_can() -> None:
    world = World()
    await world.look(SPF)
    assert await world.look("b.news.example FAIL") == []
    assert await world.look("") == []
    assert await world.look("b.news.example FAIL") == []
    assert len(await world.look("")) == 1


async def test_servers_that_disagree_and_a_zone_that_is_away_for_a_moment_tell_nothing() -> None:
    world = World()
    other = "b.news.example TXT v=spf1 ip4:192.0.2.9 -all"
    for zone in (SPF, other, SPF, "", SPF, other, "", SPF, other, SPF):
        assert await world.look(zone) == []
    assert world.log.events == []
    assert await world.look(other) == []
    assert [(c.before, c.after) for c in await world.look(other)] == [
        ("v=spf1 ip4:192.0.2.1 -all", "v=spf1 ip4:192.0.2.9 -all")
    ]


async def test_a_record_that_is_watched_anew_is_only_noted() -> None:
    world = World()
    world.watched = WATCHED[:1]
    await world.look(SPF)
    world.watched = WATCHED
    assert await world.look(f"{SPF}\n192.0.2.1 PTR a.example") == []
    world.watched = WATCHED[:1]
    await world.look(SPF)
    assert "PTR" not in world.meta.values[META]


async def test_a_state_that_cannot_be_read_begins_anew() -> None:
    world = World()
    world.meta.values[META] = world.meta.values[PENDING] = "]["
    assert await world.look(SPF) == []
    await world.look("")
    assert len(await world.look("")) == 1
