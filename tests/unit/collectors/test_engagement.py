"""Opens and clicks: who it was, told by what; one event a message; a page that never waits for the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from collectors.engagement.judge import Visit, bursts, judge
from collectors.engagement.recorder import MAX_WAITING, SETTLE_SECONDS, WAIT_SECONDS, Recorder
from config.machines import load_machines
from core.clock import FixedClock
from core.errors import InvalidInput, Unavailable
from core.events import Accepted, Clicked, Delivered, Door, Event, Opened
from core.lane import Attribution, Lane, Provider, SendingDomain, Source, Stream, Traffic, cohort_of
from core.recipient import Actor
from core.reply import Reply
from core.tokens import MessageId
from storage.stores import Stores, open_stores

NOW = 1_800_000_000.0
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
GMAIL_AHEAD = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 "
    "Safari/537.36 Edge/12.246 Mozilla/5.0"
)
MACHINES = load_machines()
ID = MessageId("m" * 20)
UNDER = Attribution(
    traffic=Traffic(
        lane=Lane(source=Source("s"), sending_domain=SendingDomain("b.test"), provider=Provider("gmail")),
        stream=Stream("bulk"),
    ),
    cohort=cohort_of(NOW),
)


def visit(*, agent: str = FIREFOX, after: float = 600.0, head: bool = False, ip: str = "198.51.100.9") -> Visit:
    return Visit(message_id=ID, target="", at=NOW + after, tick=0.0, head=head, agent=agent, ip=ip)


@pytest.mark.parametrize(
    ("seen", "actor", "reason"),
    [
        (visit(), Actor.HUMAN, "reader"),
        (visit(agent=IPHONE), Actor.HUMAN, "reader"),
        (visit(agent="Mozilla/5.0 (Windows NT 10.0) Thunderbird/128.0"), Actor.HUMAN, "reader"),
        (visit(agent=GMAIL), Actor.HUMAN, "proxy:gmail-image-proxy"),
        (visit(agent="YahooMailProxy; https://help.yahoo.com/"), Actor.HUMAN, "proxy:yahoo-image-proxy"),
        (visit(agent="Mozilla/5.0"), Actor.MACHINE, "agent:apple-privacy-proxy"),
        (visit(agent=GMAIL_AHEAD), Actor.MACHINE, "agent:gmail-prefetch"),
        (visit(head=True), Actor.MACHINE, "head-request"),
        (visit(agent="  "), Actor.MACHINE, "no-agent"),
        (visit(agent="curl/8.5.0"), Actor.MACHINE, "agent:program"),
        (visit(agent="Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"), Actor.MACHINE, "agent:robot"),
        (visit(agent="TelegramBot (like TwitterBot)"), Actor.MACHINE, "agent:robot"),
        (visit(after=-0.5), Actor.MACHINE, "before-delivery"),
        (visit(after=0.3), Actor.MACHINE, "at-once"),
        (visit(agent=GMAIL, after=0.3), Actor.MACHINE, "at-once"),
        (visit(after=1.0), Actor.HUMAN, "reader"),
        (visit(agent="some program 1.0"), Actor.UNKNOWN, "unknown-agent"),
    ],
)  # fmt: skip
def test_who_it_was_is_told_by_what_is_seen(seen: Visit, actor: Actor, reason: str) -> None:
    assert judge(seen, NOW, burst=False, machines=MACHINES) == (actor, reason)


def test_many_links_of_one_mail_within_a_second_were_followed_by_a_scanner() -> None:
    def click(n: int, tick: float) -> Visit:
        return replace(visit(), target=f"https://a.test/{n}", tick=tick)

    person = [click(1, 0.0), click(1, 0.1), click(2, 0.9), click(3, 5.0)]
    assert bursts(person) == frozenset()
    scanner = [click(1, 0.0), replace(visit(), tick=0.05), click(2, 0.4), click(3, 0.9), click(4, 9.0)]
    assert bursts(scanner) == {0, 2, 3}
    assert judge(scanner[0], NOW, burst=True, machines=MACHINES) == (Actor.MACHINE, "many-links-at-once")


def test_networks_and_agents_of_ones_own_table_come_first(tmp_path: Path) -> None:
    path = tmp_path / "machines.toml"
    path.write_text(
        '[[agents]]\npattern = "=Mozilla/5.0"\nname = "own"\nactor = "human"\n'
        '[[networks]]\nnetwork = "198.51.100.0/24"\nname = "scanner"\n'
        '[[networks]]\nnetwork = "2001:db8::/32"\nname = "cloud"\n'
    )
    machines = load_machines(path)
    assert judge(visit(), NOW, burst=False, machines=machines) == (Actor.MACHINE, "network:scanner")
    assert judge(visit(ip="2001:db8::1"), NOW, burst=False, machines=machines) == (Actor.MACHINE, "network:cloud")
    assert judge(visit(ip="203.0.113.1"), NOW, burst=False, machines=machines)[0] is Actor.HUMAN
    assert judge(visit(ip=""), NOW, burst=False, machines=machines)[0] is Actor.HUMAN
    assert judge(visit(agent="Mozilla/5.0"), NOW, burst=False, machines=machines) == (Actor.HUMAN, "proxy:own")


@pytest.mark.parametrize(
    "text", ["agents = 3", '[[agents]]\npattern = "x"', '[[networks]]\nnetwork = "x"\nname = "y"', "[["]
)
def test_a_table_that_cannot_be_read_says_where(text: str, tmp_path: Path) -> None:
    path = tmp_path / "machines.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        load_machines(path)
    with pytest.raises(InvalidInput):
        load_machines(tmp_path / "none.toml")


@dataclass
class Bench:
    """A recorder on a store in memory; `tick` is its real time."""

    stores: Stores
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW + 600))
    tick: float = 1000.0

    def __post_init__(self) -> None:
        self.recorder = Recorder(
            log=self.stores.log, engagements=self.stores.engagements, clock=self.clock, machines=MACHINES,
            ticks=lambda: self.tick,
        )  # fmt: skip

    async def delivered(self, at: float = NOW) -> None:
        await self.stores.log.append([
            Accepted(
                at=at, message_id=ID, recipient="ann@x.test", stream="bulk", campaign="", sending_domain="b.test",
                door=Door.HTTP, size=1,
            ),
            Delivered(
                at=at, message_id=ID, recipient="ann@x.test", attribution=UNDER, site="x", remote="x",
                reply=Reply(code=250, text="ok"), attempt=1, tls="", latency=0.0,
            ),
        ])  # fmt: skip

    def see(self, target: str = "", agent: str = FIREFOX, head: bool = False) -> None:
        self.recorder.note(ID, target=target, head=head, agent=agent, ip="198.51.100.9")

    async def rest(self, seconds: float = SETTLE_SECONDS + 0.1) -> int:
        self.tick += seconds
        return await self.recorder.step()

    async def events(self) -> Sequence[Event]:
        found = [logged.event for logged in await self.stores.log.of_message(ID)]
        return [event for event in found if isinstance(event, Opened | Clicked)]


@pytest.fixture
async def stores() -> Stores:
    return await open_stores("sqlite://", inline=True)


async def test_a_thousand_fetches_of_one_pixel_leave_one_event(stores: Stores) -> None:
    bench = Bench(stores)
    await bench.delivered()
    for _ in range(1000):
        bench.see()
    assert await bench.rest() == 1
    bench.see()
    bench.see(agent="Mozilla/5.0")
    assert await bench.rest() == 1
    opened = [e for e in await bench.events() if isinstance(e, Opened)]
    assert [(e.actor, e.attribution, e.recipient) for e in opened] == [
        (Actor.HUMAN, UNDER, "ann@x.test"),
        (Actor.MACHINE, UNDER, "ann@x.test"),
    ]
    await stores.close()


async def test_notes_rest_before_they_are_judged_so_that_a_scanners_run_is_seen_whole(stores: Stores) -> None:
    bench = Bench(stores)
    await bench.delivered()
    bench.see("https://a.test/1")
    assert await bench.rest(0.4) == 0
    bench.see("https://a.test/2")
    assert await bench.rest(0.4) == 0
    bench.see("https://a.test/3")
    await bench.rest(0.8)  # the first is ripe, the others still rest
    await bench.rest()
    clicked = [e for e in await bench.events() if isinstance(e, Clicked)]
    assert {e.reason for e in clicked} == {"many-links-at-once"}
    assert sorted(e.first for e in clicked) == [False, False, True]
    await stores.close()


async def test_an_open_that_is_faster_than_our_own_commit_waits_for_it(stores: Stores) -> None:
    bench = Bench(stores)
    bench.see()
    assert await bench.rest() == 0
    await bench.delivered(at=NOW + 601)
    assert await bench.rest() == 1
    (event,) = await bench.events()
    assert isinstance(event, Opened)
    assert (event.actor, event.reason) == (Actor.MACHINE, "before-delivery")
    await stores.close()


async def test_a_fetch_for_a_message_that_never_comes_is_forgotten(stores: Stores) -> None:
    bench = Bench(stores)
    bench.see()
    await bench.rest()
    await bench.rest(WAIT_SECONDS)
    assert bench.recorder.waiting == 0
    await stores.close()


async def test_a_person_behind_a_proxy_counts_though_the_proxy_was_there_at_once(stores: Stores) -> None:
    bench = Bench(stores)
    await bench.delivered(at=NOW + 599.5)
    bench.see(agent=GMAIL)
    await bench.rest()
    bench.clock.advance(4000)
    bench.see(agent=GMAIL)
    await bench.rest()
    assert [e.actor for e in await bench.events() if isinstance(e, Opened)] == [Actor.MACHINE, Actor.HUMAN]
    await stores.close()


async def test_a_database_that_is_away_costs_no_note_and_a_flood_costs_the_oldest(stores: Stores) -> None:
    bench = Bench(stores)
    await bench.delivered()

    class Away:
        async def record(self, found: Sequence[Opened | Clicked]) -> int:
            raise Unavailable("the database is away")

        async def forget(self, before: float) -> int:
            return 0

    bench.recorder = Recorder(
        log=stores.log, engagements=Away(), clock=bench.clock, machines=MACHINES, ticks=lambda: bench.tick
    )
    bench.see()
    with pytest.raises(Unavailable):
        await bench.rest()
    assert bench.recorder.waiting == 1
    for _ in range(MAX_WAITING + 5):
        bench.see()
    assert bench.recorder.waiting == MAX_WAITING
    assert bench.recorder.dropped == 6
    await stores.close()
