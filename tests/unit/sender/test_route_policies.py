"""Relays in place of a domain's own hosts, and what policies ask of a connection."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from config.model import Relay
from core.clock import FixedClock
from core.ports import NullMx, ResolverFailed
from core.state import MxHost
from core.tls import FREE_PASSAGE, Passage, StsMode, StsProblem, TlsFailure
from sender.route import Route, Router
from sender.sts_cache import FAILED_SECONDS, RENEW_SECONDS, Found, StsPolicies
from tests.unit.sender.fakes import PROVIDERS, START, FakeResolver

DAY = 86_400.0


class Names(FakeResolver):
    """With TXT records; ResolverFailed for those that are exceptions."""

    def __init__(self, answers: dict[str, list[MxHost] | Exception] | None = None, **texts: str | Exception) -> None:
        super().__init__(answers)
        self.texts: dict[str, str | Exception] = {f"_mta-sts.{k.replace('_', '.')}": v for k, v in texts.items()}

    async def txt(self, name: str) -> list[str]:
        found = self.texts.get(name)
        if isinstance(found, Exception):
            raise found
        return [] if found is None else [found]


class Web:
    """Policy files; `down` lets every fetch fail."""

    def __init__(self, **files: str) -> None:
        self.files = {name.replace("_", "."): text for name, text in files.items()}
        self.down = False
        self.fetched: list[str] = []

    async def fetch(self, domain: str) -> str:
        self.fetched.append(domain)
        if self.down or domain not in self.files:
            raise StsProblem("down", TlsFailure.STS_POLICY_FETCH_ERROR)
        return self.files[domain]


class Store:
    """core.ports.Meta over a dict that outlives it."""

    def __init__(self, notes: dict[str, str]) -> None:
        self.notes = notes

    async def get(self, name: str) -> str | None:
        return self.notes.get(name)

    async def put(self, name: str, value: str) -> None:
        self.notes[name] = value


def text(mode: str, *mx: str, days: float = 7) -> str:
    hosts = "".join(f"mx: {host}\n" for host in mx)
    return f"version: STSv1\nmode: {mode}\n{hosts}max_age: {int(days * DAY)}\n"


class World:
    """small.test announces a policy."""

    def __init__(self, policy: str = text("enforce", "small.test")) -> None:
        self.clock = FixedClock(START)
        self.names = Names(small_test="v=STSv1; id=1;")
        self.web = Web(small_test=policy)
        self.notes: dict[str, str] = {}
        self.restart()

    def restart(self) -> None:
        self.policies = StsPolicies(self.names, self.web, Store(self.notes), self.clock)

    async def mode(self, later: float = 0.0) -> StsMode:
        self.clock.advance(later)
        return (await self.policies.policy("small.test")).policy.mode


async def test_no_question_goes_to_the_web_where_nothing_is_announced() -> None:
    world = World()
    assert await world.policies.policy("gmail.test") == Found()
    assert not world.web.fetched


async def test_a_policy_is_fetched_once_and_kept_over_a_restart() -> None:
    world = World()
    assert await world.mode() is StsMode.ENFORCE
    world.restart()
    assert await world.mode(later=FAILED_SECONDS) is StsMode.ENFORCE
    assert world.web.fetched == ["small.test"]


async def test_a_new_id_brings_a_new_policy() -> None:
    world = World()
    await world.mode()
    world.names.texts["_mta-sts.small.test"] = "v=STSv1; id=2;"
    world.web.files["small.test"] = text("none")
    assert await world.mode(later=FAILED_SECONDS) is StsMode.NONE
    assert len(world.web.fetched) == 2


@pytest.mark.parametrize("record", [None, ResolverFailed("SERVFAIL"), "v=STSv1; id=2;"])
async def test_neither_a_lost_record_nor_a_failed_fetch_undoes_a_policy_before_its_time(record: object) -> None:
    world = World()
    await world.mode()
    world.web.down = True
    world.names.texts["_mta-sts.small.test"] = record  # type: ignore[assignment]
    assert await world.mode(later=6 * DAY) is StsMode.ENFORCE
    assert await world.mode(later=DAY + 1) is StsMode.NONE


async def test_it_is_renewed_daily_before_it_runs_out() -> None:
    world = World()
    for _ in range(20):
        assert await world.mode(later=RENEW_SECONDS) is StsMode.ENFORCE
    assert len(world.web.fetched) == 20


async def test_after_a_failed_fetch_the_domain_is_left_alone_and_the_failure_told() -> None:
    world = World()
    world.web.down = True
    for _ in range(3):
        assert await world.policies.policy("small.test") == Found(failure=TlsFailure.STS_POLICY_FETCH_ERROR)
    assert len(world.web.fetched) == 1
    world.web.down = False
    assert await world.mode(later=FAILED_SECONDS) is StsMode.ENFORCE


async def test_a_policy_that_breaks_the_rules_is_none() -> None:
    world = World("version: STSv1\nmode: maybe\n")
    assert (await world.policies.policy("small.test")).failure is TlsFailure.STS_POLICY_INVALID


@pytest.mark.parametrize("left", ["no json", "[]", '{"small.test": {"id": 1}}', '{"small.test": 7}'])
async def test_a_store_that_cannot_be_read_costs_a_fetch(left: str) -> None:
    world = World()
    await world.mode()
    world.notes = dict.fromkeys(world.notes, left)
    world.restart()
    assert await world.mode(later=FAILED_SECONDS) is StsMode.ENFORCE
    assert len(world.web.fetched) == 2


async def test_the_store_is_bounded() -> None:
    domains = [f"d{n}.test" for n in range(40)]
    names = Names()
    names.texts = {f"_mta-sts.{domain}": "v=STSv1; id=1" for domain in domains}
    web, notes = Web(), dict[str, str]()
    web.files = {domain: text("testing", "mx.test") for domain in domains}
    policies = StsPolicies(names, web, Store(notes), FixedClock(START))
    for domain in domains:
        await policies.policy(domain)
    assert 0 < len(notes) <= 40


# --- routes --------------------------------------------------------------------------------------
def router(world: World, relays: Sequence[Relay] = (), **answers: list[MxHost] | Exception) -> Router:
    world.names.answers |= {name.replace("_", "."): answer for name, answer in answers.items()}
    return Router(world.names, PROVIDERS, random.Random(1), relays=relays, policies=world.policies)


async def way(of: Router, domain: str, stream: str = "") -> Route:
    found = await of.route(domain, START, stream)
    assert isinstance(found, Route)
    return found


async def test_a_passage_names_those_hosts_of_the_site_that_the_policy_lists() -> None:
    world = World(text("enforce", "*.good.test", "elsewhere.test"))
    hosts = [MxHost(preference=n, host=host) for n, host in enumerate(["a.good.test", "B.good.test", "bad.test"])]
    route = await way(router(world, small_test=hosts), "small.test")
    assert (route.passage.sts, route.passage.sts_hosts) == (StsMode.ENFORCE, ("a.good.test", "b.good.test"))
    assert route.passage.domain == "small.test"
    assert route.site == "a.good.test,b.good.test,bad.test", "the site is that of all hosts"


async def test_a_domain_without_policy_asks_for_nothing() -> None:
    assert (await way(router(World()), "gmail.test")).passage == FREE_PASSAGE


async def test_an_mx_set_is_authentic_only_as_a_whole() -> None:
    signed, unsigned = MxHost(preference=1, host="a.x.test", authentic=True), MxHost(preference=1, host="b.x.test")
    of = router(World(), x_test=[signed], y_test=[signed, unsigned])
    assert (await way(of, "x.test")).passage.authentic
    assert not (await way(of, "y.test")).passage.authentic


ALL = Passage(sts=StsMode.ENFORCE, sts_hosts=("a", "b"))
ONE = Passage(sts=StsMode.ENFORCE, sts_hosts=("a",))


@pytest.mark.parametrize(
    ("opened", "wanted", "covers"),
    [
        (FREE_PASSAGE, FREE_PASSAGE, True), (FREE_PASSAGE, ONE, False), (ONE, FREE_PASSAGE, True), (ONE, ALL, True),
        (ALL, ONE, False), (FREE_PASSAGE, Passage(sts=StsMode.TESTING, sts_hosts=("a",)), True),
        (FREE_PASSAGE, Passage(authentic=True), False), (Passage(authentic=True), FREE_PASSAGE, True),
        (FREE_PASSAGE, Passage(relay="r"), False), (Passage(relay="r"), Passage(relay="r", domain="x"), True),
    ],
)  # fmt: skip
def test_which_open_connections_may_carry_which_mail(opened: Passage, wanted: Passage, covers: bool) -> None:
    assert opened.covers(wanted) is covers


ESP = Relay(name="esp", host="smtp.esp.test", streams=["receipts"])
INSIDE = Relay(name="inside", host="192.0.2.9", domains=["corp.test", "*.corp.test"])


async def test_a_relay_takes_the_mail_of_its_streams_under_the_recipients_provider() -> None:
    of = router(World(), [ESP])
    route = await way(of, "gmail.test", "receipts")
    assert (route.provider, route.site, route.hosts) == ("gmail", "relay:esp", ("smtp.esp.test",))
    assert route.passage.relay == "esp"
    assert (await way(of, "gmail.test", "bulk")).site == "mx1.google.test,mx2.google.test"
    assert of.relayed_streams == ("receipts",)


@pytest.mark.parametrize("mx", [[], NullMx("x"), ResolverFailed("SERVFAIL")])
async def test_a_relay_may_know_what_dns_does_not(mx: list[MxHost] | Exception) -> None:
    route = await way(router(World(), [INSIDE], corp_test=mx), "corp.test")
    assert (route.provider, route.site) == ("relay:inside", "relay:inside")


@pytest.mark.parametrize(
    ("domain", "relayed"), [("corp.test", True), ("a.corp.test", True), ("a.b.corp.test", True), ("xcorp.test", False)]
)
async def test_domains_of_a_relay(domain: str, relayed: bool) -> None:
    mx = {domain.replace(".", "_"): [MxHost(preference=1, host="mx.test")]}
    assert ((await way(router(World(), [INSIDE], **mx), domain)).site == "relay:inside") is relayed


async def test_domains_and_streams_must_both_fit_and_the_first_relay_wins() -> None:
    both = Relay(name="both", host="h.test", domains=["gmail.test"], streams=["receipts"])
    of = router(World(), [both, ESP])
    assert (await way(of, "gmail.test", "receipts")).site == "relay:both"
    assert (await way(of, "yahoo.test", "receipts")).site == "relay:esp"
    assert (await way(of, "gmail.test", "bulk")).passage.relay == ""


async def test_no_policy_is_asked_for_mail_that_a_relay_takes() -> None:
    world = World()
    assert (await way(router(world, [Relay(name="all", host="h.test")]), "small.test")).passage.sts is StsMode.NONE
    assert not world.web.fetched


async def test_a_look_that_empties_the_record_meanwhile_changes_no_way_under_way() -> None:
    """While one message's policy is fetched, another's look at DNS begins, and finds nothing."""
    names = Names({"x.test": [MxHost(preference=1, host="mx.x.test")]}, x_test="v=STSv1; id=1")

    ways: Router

    class Meanwhile(Web):
        async def fetch(self, domain: str) -> str:
            names.answers[domain] = ResolverFailed(domain)
            await ways.route(domain, START + DAY)
            return await super().fetch(domain)

    policies = StsPolicies(names, Meanwhile(), Store({}), FixedClock(START))
    ways = Router(names, PROVIDERS, random.Random(1), policies=policies)
    found = await ways.route("x.test", START)
    assert isinstance(found, Route)
    assert (found.site, found.hosts) == ("mx.x.test", ("mx.x.test",))
