"""Watches, gates, facts and sheets joined, over a real database in memory and zone text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from alerts.conditions import Observed, find_alerts
from collectors.dns.sheets import Standing
from config.model import Blocklists, Feed, Records, SendingDomain, Settings, Source
from core.clock import FixedClock, iso
from core.errors import InvalidInput
from core.events import Event, GateChanged, GateState, ListingChanged, RecordChanged
from core.lane import DAY, HOUR, Attribution, Lane, Provider, Stream, Traffic, cohort_of, day_of
from core.lane import SendingDomain as DomainName
from core.lane import Source as SourceName
from core.metrics import Metric
from core.state import CounterKey, Gate, Observation
from monitor import operator
from service.feeds import Feeds, Volumes, build_feeds
from service.requirements import FACTS, facts_of
from service.web.auth import errors_as_json
from service.web.sheets_api import FEEDS, get_listings, get_observations, get_requirements
from storage.stores import Stores, open_stores
from tests.unit.collectors.watch_zone import Zone

NOW = 1_764_072_000.0
TABLE = """
[[zones]]
zone = "bl.example"
weight = "hold"
delist = "https://bl.example/out"
codes = [{ code = "127.0.0.2", meaning = "spam" }, { code = "127.0.0.9", meaning = "hijacked", weight = "stop" }]
[[zones]]
zone = "mild.example"
codes = [{ code = "127.0.0.2", meaning = "trap hit" }]
[[zones]]
zone = "dbl.example"
kind = "domain"
weight = "hold"
codes = [{ code = "127.0.1.2", meaning = "bad domain" }]
"""
GOOD = """
2.0.0.127.bl.example A 127.0.0.2
2.0.0.127.mild.example A 127.0.0.2
test.dbl.example A 127.0.1.2
mta.news.example A 192.0.2.10
"""
LISTED = "10.2.0.192.bl.example A 127.0.0.2"


class Lab:
    """A wired installation whose zone, clock and counters a test moves."""

    def __init__(self, stores: Stores, session: aiohttp.ClientSession, folder: Path) -> None:
        self.stores = stores
        self.session = session
        self.clock = FixedClock(NOW)
        table = folder / "zones.toml"
        table.write_text(TABLE)
        self.settings = Settings(
            sending_domains=[SendingDomain(name="news.example", return_path="b.news.example")],
            sources=[Source(name="mta1", ehlo="mta.news.example")],
            blocklists=Blocklists(zones=table),
        )
        self.zone = ""
        self._cursor = 0

    def feeds(self, **changes: object) -> Feeds:
        return build_feeds(
            self.settings.model_copy(update=changes), resolver=Zone(GOOD + self.zone), stores=self.stores,
            clock=self.clock, session=self.session,
        )  # fmt: skip

    async def look(self, zone: str = "", *, hours: float = 1.0) -> None:
        self.zone = zone
        self.clock.advance(hours * HOUR)
        await next(job for job in self.feeds().jobs if job.name == "blocklists").work()

    async def gate(self, scope: str = "source=mta1") -> Gate | None:
        return next((g for g in await self.stores.controls.gates() if g.scope.key == scope), None)

    async def state(self, scope: str = "source=mta1") -> GateState | None:
        gate = await self.gate(scope)
        return gate.state if gate else None

    async def count(self, attempted: int, blocked: int = 0, stream: str = "bulk") -> None:
        deltas = {
            CounterKey(attribution=attribution("mailru", self.clock.now(), stream), metric=metric): n
            for metric, n in ((Metric.ATTEMPTED, attempted), (Metric.BLOCKED, blocked), (Metric.DELIVERED, attempted))
        }
        await self.stores.log.append([event(self.clock.now())])
        head = await self.stores.log.head()
        await self.stores.counters.commit("test", self._cursor, head, deltas, [])
        self._cursor = head

    async def told(self, kind: str) -> list[Event]:
        return [logged.event for logged in reversed(await self.stores.log.recent([kind], 100))]


def attribution(provider: str, at: float, stream: str = "bulk") -> Attribution:
    lane = Lane(source=SourceName("mta1"), sending_domain=DomainName("news.example"), provider=Provider(provider))
    return Attribution(traffic=Traffic(lane=lane, stream=Stream(stream)), cohort=cohort_of(at))


def event(at: float) -> Event:
    return RecordChanged(at=at - 30 * 86_400, name="old", type="TXT", before="", after="x")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    stores = await open_stores("sqlite://", inline=True)
    async with aiohttp.ClientSession() as session:
        yield Lab(stores, session, tmp_path)
    await stores.close()


async def test_a_listing_holds_its_source_and_a_delisting_opens_it_by_a_probe(lab: Lab) -> None:
    await lab.look()
    assert await lab.gate() is None
    await lab.look(LISTED)
    gate = await lab.gate()
    assert gate is not None
    assert (gate.state, gate.rule, gate.by) == (GateState.PAUSED, "listing", "listing")
    assert gate.scope.spare == ("transactional",)
    assert "bl.example lists 192.0.2.10: spam" in gate.reason
    await lab.look(LISTED)
    assert await lab.state() is GateState.PAUSED
    await lab.look()
    assert await lab.state() is GateState.PROBING
    await lab.count(40)
    await lab.count(500, blocked=400, stream="transactional")
    for expected in (GateState.SLOWED, GateState.SLOWED, GateState.SLOWED, GateState.OPEN):
        await lab.look()
        assert await lab.state() is expected
    moves = [(m.before, m.after) for m in await lab.told("GateChanged") if isinstance(m, GateChanged)]
    assert moves[:2] == [(GateState.OPEN, GateState.PAUSED), (GateState.PAUSED, GateState.PROBING)]
    assert [e.listed for e in await lab.told("ListingChanged") if isinstance(e, ListingChanged)] == [True, False]


async def test_refusals_in_the_probe_close_it_again_and_a_relisting_too(lab: Lab) -> None:
    await lab.look(LISTED)
    await lab.look()
    await lab.count(20, blocked=10)
    await lab.look(hours=0.1)
    assert await lab.state() is GateState.PAUSED
    await lab.look(hours=7)
    assert await lab.state() is GateState.PROBING
    await lab.look(LISTED)
    assert await lab.state() is GateState.PAUSED


async def test_what_an_operator_opened_in_the_knowledge_of_a_listing_stays_open_until_a_new_one(lab: Lab) -> None:
    await lab.look(LISTED)
    gate = await lab.gate()
    assert gate is not None
    opened, moved = operator.resume(gate, now=lab.clock.now() + 60, reason="it is a mistake of theirs", by="ann")
    await lab.stores.controls.put(opened, moved, gate.state)
    await lab.look(LISTED)
    assert await lab.state() is GateState.OPEN
    await lab.look()
    await lab.look(LISTED)
    assert await lab.state() is GateState.PAUSED


@pytest.mark.parametrize(
    ("zone", "scope", "state"),
    [
        ("10.2.0.192.mild.example A 127.0.0.2", "source=mta1", None),
        ("10.2.0.192.bl.example A 127.0.0.9", "source=mta1", GateState.HARD_STOPPED),
        ("news.example.dbl.example A 127.0.1.2", "sending_domain=news.example", GateState.PAUSED),
        ("10.2.0.192.bl.example A 127.255.255.254", "source=mta1", None),
    ],
)
async def test_what_a_listing_holds_depends_on_its_weight(
    lab: Lab, zone: str, scope: str, state: GateState | None
) -> None:
    await lab.look(zone)
    assert await lab.state(scope) is state


async def test_alerts_are_made_of_what_any_node_reads_from_storage(lab: Lab) -> None:
    await lab.look(LISTED + "\n10.2.0.192.mild.example A 127.0.0.2")
    await lab.look(LISTED + "\n1.0.0.127.mild.example A 127.0.0.2")
    change = RecordChanged(at=lab.clock.now(), name="news.example", type="MX", before="a", after="b")
    await lab.stores.log.append([change])
    lab.clock.advance(7 * HOUR)
    seen = await lab.feeds().complete(Observed(), lab.clock.now())
    names = [(a.labels["alertname"], a.labels["severity"]) for a in find_alerts(seen, rules=[], now=lab.clock.now())]
    assert sorted(names) == [
        ("BlocklistBlind", "warning"), ("Listed", "critical"), ("Listed", "warning"), ("RecordChanged", "warning"),
    ]  # fmt: skip


async def test_our_own_records_are_watched(lab: Lab) -> None:
    for zone in ("b.news.example TXT v=spf1 -all", *["b.news.example TXT v=spf1 +all"] * 2):
        lab.zone = zone
        await next(job for job in lab.feeds().jobs if job.name == "dns records").work()
    changed = [e for e in await lab.told("RecordChanged") if isinstance(e, RecordChanged)]
    assert [(e.name, e.after) for e in changed] == [("b.news.example", "v=spf1 +all")]


async def test_a_sandbox_asks_nothing_and_parts_can_be_switched_off(lab: Lab) -> None:
    resolver = Zone(GOOD)
    quiet = build_feeds(
        lab.settings, resolver=resolver, stores=lab.stores, clock=lab.clock, session=lab.session, sandbox=True
    )
    assert quiet.jobs == []
    assert await quiet.complete(Observed(), NOW) == Observed()
    off = lab.feeds(blocklists=Blocklists(enabled=False), records=Records(enabled=False))
    assert off.jobs == []


async def test_a_feed_without_a_secret_is_refused_at_start_and_a_stale_one_is_told(lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / "snds.key"
    feed = Feed(name="snds", kind="snds", secret_file=key, url="http://127.0.0.1:1/data.aspx")
    with pytest.raises(InvalidInput, match=r"snds\.key"):
        lab.feeds(feeds=[feed])
    key.write_text("k3y\n")
    feeds = lab.feeds(feeds=[feed])
    lab.settings = lab.settings.model_copy(update={"feeds": [feed]})
    job = next(job for job in lab.feeds().jobs if job.name == "postmaster feeds")
    await job.work()
    assert (await lab.feeds().complete(Observed(), NOW)).stale_feeds == ()
    later = NOW + 25 * HOUR
    stale = (await lab.feeds().complete(Observed(), later)).stale_feeds
    assert [(one.name, one.since) for one in stale] == [("snds", NOW)]
    assert "k3y" not in stale[0].problem
    assert len(feeds.jobs) == 3


async def test_own_volumes_are_of_the_provider_the_domain_and_the_day(lab: Lab) -> None:
    await lab.count(70)
    volumes = Volumes(lab.stores.counters, lab.clock)
    assert await volumes.delivered("mailru", "news.example", day_of(NOW)) == 70
    assert await volumes.delivered("gmail", "news.example", day_of(NOW)) == 0
    assert await volumes.delivered("mailru", "other.example", day_of(NOW)) == 0
    assert await volumes.delivered("mailru", "news.example", day_of(NOW) - 1) == 0


async def test_the_sheets_are_judged_with_everything_that_is_known(lab: Lab) -> None:
    await lab.stores.observations.put(
        [Observation(feed="gpt", subject="news.example", metric="spam_rate", day=day_of(NOW) - 1, value=0.004)]
    )
    feed = Feed(name="gpt", kind="google", secret_file=Path("none"), subjects=["news.example"])
    lab.settings = lab.settings.model_copy(update={"feeds": [feed]})
    feeds = build_feeds(
        lab.settings, resolver=Zone(GOOD), stores=lab.stores, clock=lab.clock, session=lab.session, sandbox=True
    )
    results = {result.sheet.provider: result for result in await feeds.sheets()}
    gmail = {row.row.id: row for row in results["gmail"].rows}
    assert gmail["spf"].standing is Standing.FAIL
    assert gmail["spam_rate"].standing is Standing.FAIL
    assert "0.40%" in gmail["spam_rate"].shown("en")[0]
    assert gmail["visible_unsubscribe"].standing is Standing.UNKNOWN
    assert gmail["tls"].standing is Standing.UNKNOWN, "we offer TLS, whether Gmail sees it no feed has said"
    assert gmail["spam_rate"].seen == day_of(NOW) * DAY, "the figures end with yesterday"
    assert gmail["spf"].seen == NOW
    lab.clock.advance(600)
    kept = {row.row.id: row for sheet in await feeds.sheets() for row in sheet.rows if sheet.sheet.provider == "gmail"}
    assert kept["spf"].seen == NOW, "DNS was not asked again, and the row says how old its evidence is"


def test_facts_have_the_names_that_sheets_may_use(tmp_path: Path) -> None:
    settings = Settings(
        sending_domains=[SendingDomain(name="news.example", return_path="b.news.example")],
        sources=[Source(name="mta1", ehlo="mta.news.example")],
    )
    facts = facts_of(settings, {}, [])
    assert set(facts) == FACTS
    assert all(one.shows[0] and one.shows[1] for one in facts.values())
    assert facts["yahoo_complaints"].good is None


@pytest.mark.parametrize(
    ("complained", "delivered", "good"),
    [(0, 500, None), (0, 10_000, True), (60, 10_000, False), (30, 10_000, None)],
)
def test_a_rate_is_judged_by_its_interval(complained: int, delivered: int, good: bool | None) -> None:
    settings = Settings(
        sending_domains=[SendingDomain(name="news.example", return_path="b.news.example")],
        sources=[Source(name="mta1", ehlo="mta.news.example")],
    )
    counters = {
        CounterKey(attribution=attribution("yahoo", NOW), metric=Metric.COMPLAINED): complained,
        CounterKey(attribution=attribution("yahoo", NOW), metric=Metric.DELIVERED): delivered,
        CounterKey(attribution=attribution("mailru", NOW), metric=Metric.COMPLAINED): 9_000,
    }
    assert facts_of(settings, counters, [])["yahoo_complaints"].good is good


async def test_the_api_shows_sheets_listings_and_figures(lab: Lab) -> None:
    await lab.look(LISTED + "\n1.0.0.127.mild.example A 127.0.0.2")
    await lab.stores.observations.put(
        [
            Observation(feed="gpt", subject="news.example", metric="spam_rate", day=20_416, value=0.004),
            Observation(feed="snds", subject="192.0.2.10", metric="trap_hits", day=20_415, value=1.0),
        ]
    )
    app = web.Application(middlewares=[errors_as_json])
    app[FEEDS] = lab.feeds()
    for handler in (get_requirements, get_listings, get_observations):
        app.router.add_get(f"/{handler.__name__}", handler)
    async with TestClient(TestServer(app)) as client:
        answer = await (await client.get("/get_requirements")).json()
        rows = {row["id"]: row for sheet in answer["sheets"] for row in sheet["rows"] if sheet["provider"] == "gmail"}
        assert (rows["spf"]["standing"], rows["visible_unsubscribe"]["standing"]) == ("fail", "unknown")
        assert rows["spf"]["remedy"]["en"]
        assert rows["spf"]["evidence"]["ru"]
        assert rows["spf"]["seen"] == iso(lab.clock.now())
        assert rows["visible_unsubscribe"]["seen"] is None
        answer = await (await client.get("/get_listings")).json()
        assert [(row["subject"], row["zone"], row["codes"]) for row in answer["listings"]] == [
            ("192.0.2.10", "bl.example", ["127.0.0.2"])
        ]
        assert {row["zone"]: row["trusted"] for row in answer["zones"]} == {
            "bl.example": True, "mild.example": False, "dbl.example": True,
        }  # fmt: skip
        answer = await (await client.get("/get_observations?since_day=20416")).json()
        assert [(row["feed"], row["date"]) for row in answer["observations"]] == [("gpt", "2025-11-24")]
        assert (await client.get("/get_observations?limit=x")).status == 422
