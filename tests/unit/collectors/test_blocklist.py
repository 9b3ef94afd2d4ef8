"""Blocklists: what a code means, when a zone is trusted, and what is told.  The zone text plays the lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dns.blocklist import ListingWatch
from collectors.dns.listings import META, Ledger, read
from collectors.dns.zones import Clean, Listed, Subject, Unknown, Zone, read_answer, reversed_address, zones_in_use
from config.load import load_zones
from config.model import SendingDomain, Settings, Source
from config.tables import BlocklistZone, ZoneCode
from core.clock import FixedClock
from core.events import ListingChanged
from tests.unit.collectors.watch_meta import MemoryLog, MemoryMeta
from tests.unit.collectors.watch_zone import Zone as Dns

NOW = 1_764_072_000.0
IP = "192.0.2.10"
ROW = BlocklistZone(
    zone="bl.example", weight="hold", delist="https://bl.example/out", errors=["127.0.0.1"],
    codes=[ZoneCode(code="127.0.0.2", meaning="spam"), ZoneCode(code="127.0.0.9", meaning="hijacked", weight="stop")],
)  # fmt: skip
DOMAINS = BlocklistZone(
    zone="dbl.example", kind="domain", weight="hold", bitmask=True,
    codes=[ZoneCode(code="2", meaning="black"), ZoneCode(code="4", meaning="grey", weight="warn")],
)  # fmt: skip
GOOD = "2.0.0.127.bl.example A 127.0.0.2\ntest.dbl.example A 127.0.0.2"
SOURCE = Subject(kind="source", name="mta1", value=IP)
DOMAIN = Subject(kind="sending_domain", name="news.example", value="news.example")


class World:
    """A watch over zones whose text can be changed, one hour apart from look to look."""

    def __init__(self, *rows: BlocklistZone, key: str = "") -> None:
        self.clock = FixedClock(NOW)
        self.log = MemoryLog()
        self.meta = MemoryMeta()
        self.subjects = [SOURCE, DOMAIN]
        self.asked: list[str] = []
        self.dns = Dns(GOOD)
        self.watch = ListingWatch(
            zones=[Zone(row=row, key=key) for row in rows or (ROW, DOMAINS)], subjects=self._subjects, ask=self._ask,
            texts=lambda name: self.dns.txt(name), log=self.log, meta=self.meta, clock=self.clock, interval=3600,
        )  # fmt: skip

    async def _subjects(self) -> list[Subject]:
        return self.subjects

    async def _ask(self, name: str) -> list[str]:
        self.asked.append(name)
        return await self.dns.addresses(name)

    async def look(self, zone: str = "", *, hours: float = 1.0) -> Ledger:
        self.dns = Dns(f"{GOOD}\n{zone}")
        self.clock.advance(hours * 3600)
        return await self.watch.look()

    @property
    def told(self) -> list[tuple[str, str, bool]]:
        return [(e.zone, e.subject, e.listed) for e in self.log.events if isinstance(e, ListingChanged)]


@pytest.mark.parametrize(
    ("row", "answer", "expected"),
    [
        (ROW, [], Clean()),
        (ROW, ["127.0.0.2"], Listed(codes=("127.0.0.2",), weight="hold", text="spam")),
        (
            ROW, ["127.0.0.9", "127.0.0.2"],
            Listed(codes=("127.0.0.2", "127.0.0.9"), weight="stop", text="spam; hijacked"),
        ),
        (DOMAINS, ["127.0.0.6"], Listed(codes=("127.0.0.6",), weight="hold", text="black; grey")),
        (DOMAINS, ["127.0.0.4"], Listed(codes=("127.0.0.4",), weight="warn", text="grey")),
    ],
)  # fmt: skip
def test_codes_and_bits_have_meanings_and_the_heaviest_counts(
    row: BlocklistZone, answer: list[str], expected: object
) -> None:
    assert read_answer(row, answer) == expected


@pytest.mark.parametrize(
    "code",
    ["127.255.255.252", "127.255.255.254", "127.255.255.255", "127.255.255.1", "127.0.0.1", "198.51.100.7", "::1"],
)
def test_an_error_of_ours_is_never_a_listing_even_beside_a_listing(code: str) -> None:
    assert isinstance(read_answer(ROW, [code]), Unknown)
    assert isinstance(read_answer(ROW, ["127.0.0.2", code]), Unknown)


def test_a_code_that_the_table_does_not_know_only_warns() -> None:
    answer = read_answer(ROW, ["127.0.0.77"])
    assert isinstance(answer, Listed)
    assert answer.weight == "warn"
    assert "127.0.0.77" in answer.text


@given(st.lists(st.ip_addresses(v=4).map(str), max_size=4))
def test_only_answers_within_127_are_ever_listings(answer: list[str]) -> None:
    found = read_answer(ROW, answer)
    if isinstance(found, Listed):
        assert all(code.startswith("127.") and not code.startswith("127.255.255.") for code in answer)


def test_addresses_are_asked_in_reverse() -> None:
    assert reversed_address("192.0.2.99") == "99.2.0.192"
    v6 = "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    assert reversed_address("2001:db8::567:89ab") == v6


async def test_a_listing_and_its_end_are_told_once_each() -> None:
    world = World()
    await world.look()
    for _ in range(2):
        ledger = await world.look("10.2.0.192.bl.example A 127.0.0.2\n10.2.0.192.bl.example TXT see https://x/?ip=1")
    assert [(m.subject, m.weight, m.text, m.delist) for m in ledger.listings] == [
        (IP, "hold", "spam. see https://x/?ip=1", "https://bl.example/out")
    ]
    await world.look()
    await world.look()
    assert world.told == [("bl.example", IP, True), ("bl.example", IP, False)]
    assert (await world.watch.ledger()).listings == []


async def test_other_codes_are_news_and_a_domain_is_listed_under_its_own_name() -> None:
    world = World()
    await world.look("10.2.0.192.bl.example A 127.0.0.2")
    ledger = await world.look("10.2.0.192.bl.example A 127.0.0.9\nnews.example.dbl.example A 127.0.0.2")
    assert world.told == [("bl.example", IP, True), ("bl.example", IP, True), ("dbl.example", "news.example", True)]
    assert {m.name: m.weight for m in ledger.listings} == {"mta1": "stop", "news.example": "hold"}


@pytest.mark.parametrize(
    ("zone", "problem"),
    [
        ("1.0.0.127.bl.example A 127.0.0.2", "it lists 127.0.0.1, so it lists everything"),
        ("2.0.0.127.bl.example A 203.0.113.9", "not what it should be"),
        ("2.0.0.127.bl.example FAIL", "SERVFAIL"),
        ("2.0.0.127.bl.example A 127.255.255.254", "public resolvers"),
    ],
)
async def test_a_zone_that_fails_its_self_test_says_nothing_about_us(zone: str, problem: str) -> None:
    world = World()
    await world.look("10.2.0.192.bl.example A 127.0.0.2")
    ledger = await world.look(zone)
    assert [(h.zone, h.blind_since) for h in ledger.blind] == [("bl.example", world.clock.now())]
    assert problem in ledger.blind[0].problem
    assert len(ledger.listings) == 1, "what was listed stays listed"
    assert world.told == [("bl.example", IP, True)]
    assert (await world.look("10.2.0.192.bl.example A 127.0.0.2")).blind == []


async def test_a_dead_zone_that_lists_nothing_is_blind_and_not_clean() -> None:
    world = World(BlocklistZone(zone="gone.example"))
    ledger = await world.look()
    assert ledger.blind[0].problem == "it does not list 127.0.0.2"


async def test_one_query_for_a_zone_and_address_an_interval_also_across_a_restart() -> None:
    world = World(ROW)
    world.subjects = [SOURCE, Subject(kind="source", name="mta2", value=IP)]
    for _ in range(10):
        await world.look(hours=0.1)
    again = World(ROW)
    again.meta, again.clock = world.meta, world.clock
    assert world.asked.count("10.2.0.192.bl.example") == 1
    assert len(world.asked) == 3
    await world.look()
    assert world.asked.count("10.2.0.192.bl.example") == 2


async def test_the_budget_of_a_day_bounds_the_queries_and_what_is_left_out_is_unknown() -> None:
    world = World(ROW.model_copy(update={"max_queries_per_day": 5}))
    for _ in range(20):
        ledger = await world.look()
    assert len(world.asked) <= 10
    assert "budget" in ledger.blind[0].problem


async def test_a_source_whose_address_is_not_known_now_keeps_its_listing_and_is_still_asked_about() -> None:
    world = World(ROW)
    await world.look("10.2.0.192.bl.example A 127.0.0.2")
    world.subjects = [Subject(kind="source", name="mta1", value="")]
    assert len((await world.look("10.2.0.192.bl.example A 127.0.0.2")).listings) == 1
    assert world.asked.count("10.2.0.192.bl.example") == 2
    world.subjects = []
    assert (await world.look()).listings == []
    assert world.told == [("bl.example", IP, True), ("bl.example", IP, False)]


async def test_a_key_is_used_and_never_told() -> None:
    row = BlocklistZone(zone="{key}.zen.example", key="dqs", weight="hold")
    world = World(row, key="s3cretkey")
    world.dns = Dns("")
    ledger = await world.look("2.0.0.127.s3cretkey.zen.example FAIL")
    assert world.asked == ["2.0.0.127.s3cretkey.zen.example"]
    assert "s3cretkey" not in world.meta.values[META]
    mixed = Zone(row=row, key="S3cretKey")  # names come back from DNS in small letters
    assert mixed.hidden("2.0.0.127.s3cretkey.zen.example: SERVFAIL") == "2.0.0.127.{key}.zen.example: SERVFAIL"
    assert "SERVFAIL" in ledger.blind[0].problem


def test_which_rows_are_on() -> None:
    rows = [
        BlocklistZone(zone="a.example"),
        BlocklistZone(zone="{key}.a.example", key="dqs", instead_of="a.example"),
        BlocklistZone(zone="asks.example", opt_in=True),
        BlocklistZone(zone="b.example"),
    ]

    def used(**given: object) -> list[str]:
        wishes: dict[str, object] = {"also": [], "skip": [], "keys": {}, **given}
        return [zone.label for zone in zones_in_use(rows, **wishes)]  # type: ignore[arg-type]

    assert used() == ["a.example", "b.example"]
    assert used(keys={"dqs": "k"}) == ["{key}.a.example", "b.example"]
    assert used(also=["asks.example"], skip=["b.example"]) == ["a.example", "asks.example"]


def test_the_shipped_table_reads_and_each_row_is_whole() -> None:
    settings = Settings(
        sending_domains=[SendingDomain(name="a.example", return_path="b.a.example")],
        sources=[Source(name="s", ehlo="m.a.example")],
    )
    rows = load_zones(settings)
    assert len(rows) >= 10
    for row in rows:
        assert row.codes
        assert row.delist.startswith("https://")
        for code in row.codes:
            answer = read_answer(row, [f"127.0.0.{code.code}" if row.bitmask else code.code])
            assert isinstance(answer, Listed)
            assert code.meaning in answer.text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 9}', '{"version": 1, "marks": {"a": {}}, "zones": {}}'])
def test_a_ledger_that_cannot_be_read_is_empty(text: str) -> None:
    assert read(text) == Ledger()
