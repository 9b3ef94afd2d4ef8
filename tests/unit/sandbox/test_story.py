"""Audience, zone and scenario: the same for the same seed, told in domain time, continued after a restart."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from config.load import load_providers
from core.clock import FixedClock
from core.errors import Unavailable
from core.lane import DAY, day_of
from core.ports import NameMissing, NullMx
from sandbox.audience import Audience
from sandbox.behaviour import shipped_behaviours
from sandbox.dns import provider_zone
from sandbox.host import Judged
from sandbox.model import ProviderModel, Situation
from sandbox.people import Engagement
from sandbox.scenario import Scenario, ScenarioMail, shipped_story

START = 1_700_000_000.0 // DAY * DAY
BEHAVIOURS = shipped_behaviours()
PROVIDER_OF = {domain: b.name for b in BEHAVIOURS.values() for domain in b.domains}
ACCEPTED = ProviderModel(BEHAVIOURS["gmail"]).answer(Situation.ACCEPTED)


def audience() -> Audience:
    return Audience(BEHAVIOURS, seed=1)


class Stage:
    """A scenario with a sender that tries at once all mail of the providers that are not `closed`."""

    def __init__(self, at: float = START) -> None:
        self.clock = FixedClock(at)
        self.mails: list[tuple[float, ScenarioMail]] = []
        self.closed: set[str] = set()
        self.down = False
        self.scenario = Scenario(
            shipped_story(),
            audience=audience(),
            clock=self.clock,
            inject=self.inject,
            seed=1,
            seeds={"gmail": ["seed1@gmail.example"]},
        )

    async def inject(self, mail: ScenarioMail) -> None:
        if self.down:
            raise Unavailable("storage is full")
        self.mails.append((self.clock.now(), mail))
        for recipient in mail.recipients:
            provider = PROVIDER_OF[recipient.rpartition("@")[2]]
            if provider not in self.closed:
                at = self.clock.now()
                self.scenario.observe(
                    Judged(provider=provider, at=at, ip="127.7.1.1", recipient=recipient, verdict=ACCEPTED)
                )

    async def play(self, days: float) -> None:
        end = self.clock.now() + days * DAY
        while self.clock.now() < end:
            await self.scenario.step(self.clock.now())
            self.clock.advance(300)

    def sent(self, day: int, campaign: str = "", provider: str = "") -> int:
        return sum(
            PROVIDER_OF[r.rpartition("@")[2]] == provider or not provider
            for at, mail in self.mails
            for r in mail.recipients
            if day_of(at) - day_of(START) == day and mail.campaign.startswith(campaign)
        )


def test_the_audience_is_the_same_for_the_same_seed_and_spread_over_all_providers() -> None:
    one, other = audience(), audience()
    assert list(one) == list(other)
    assert len(one) == 6000
    counts = Counter(PROVIDER_OF[a.rpartition("@")[2]] for a in one)
    assert set(counts) == set(BEHAVIOURS)
    assert counts["gmail"] > counts["outlook"] > counts["yahoo"] > counts["postfix"] > 300
    engaged = sum(one.person(a).engagement is Engagement.ENGAGED for a in one)
    assert 0.55 < engaged / 6000 < 0.65
    assert sum(not one.person(a).exists for a in one) < 60, "a healthy list bounces far below 2 %"


def test_the_bought_list_is_half_dead_and_the_lapsed_one_holds_a_few_annoyed_people() -> None:
    people = audience()
    bought = [people.person(a) for a in people.listed("bought", "mailru", 0, 240)]
    assert 0.3 < sum(not p.exists for p in bought) / 240 < 0.6
    lapsed = [people.person(a) for a in people.listed("lapsed", "outlook", 0, 260)]
    assert 0.01 <= sum(p.annoyed for p in lapsed) / 260 <= 0.05
    assert set(people.listed("bought", "mailru", 0, 240)).isdisjoint(people.listed("bought", "mailru", 1, 240))


def test_addresses_for_trying_things_out() -> None:
    people = audience()
    assert not people.person("dead7@gmail.example").exists
    assert people.person("angry@yahoo.example").annoyed
    assert people.person("full@mailru.example").full
    assert people.person("anybody@gmail.example").exists


async def test_the_zone_names_the_providers_as_the_shipped_provider_table_knows_them() -> None:
    zone = provider_zone(BEHAVIOURS.values())
    suffixes = {row.name: row.mx for row in load_providers()}
    for domain, name in PROVIDER_OF.items():
        hosts = await zone.mx(domain)
        assert [await zone.addresses(h.host) for h in hosts] == [[BEHAVIOURS[name].address]] * len(hosts)
        known = [row for row, mx in suffixes.items() if all(any(h.host.endswith("." + s) for s in mx) for h in hosts)]
        assert known == ([] if name == "postfix" else [name])


async def test_a_name_that_is_not_in_the_zone_does_not_exist() -> None:
    zone = provider_zone(BEHAVIOURS.values())
    for question in (zone.mx("gmail.com"), zone.addresses("gmail.com"), zone.txt("gmail.com")):
        with pytest.raises(NameMissing):
            await question
    with pytest.raises(NullMx):
        await zone.mx("nomail.example")
    assert await zone.txt("gmail.example") == []
    assert await zone.ptr("127.7.0.5") == ["mxs.mail.ru"]


async def test_the_newsletter_ramps_and_reaches_its_target() -> None:
    stage = Stage()
    await stage.play(7)
    letters = [stage.sent(day, "letter", "gmail") for day in range(7)]
    assert letters == sorted(letters)
    assert letters[0] < letters[1] < letters[2] < letters[3]
    assert letters[6] == 1 + 520 - 40, "a seed on top; what goes in small portions is part of the target"
    totals = [stage.sent(day) for day in range(7)]
    assert all(300 <= total <= 2100 for total in totals)


async def test_receipts_and_reminders_flow_steadily() -> None:
    stage = Stage()
    await stage.play(1)
    streams = Counter(mail.stream for _, mail in stage.mails if not mail.campaign)
    assert streams == {"transactional": 48, "triggered": 24}


async def test_two_mistakes_are_made_at_two_providers_on_days_of_their_own() -> None:
    stage = Stage()
    await stage.play(6)
    assert [stage.sent(day, "win-back") for day in range(6)] == [0, 0, 260, 0, 0, 0]
    assert [stage.sent(day, "partner-list") for day in range(6)] == [0, 0, 0, 0, 240, 0]
    assert stage.sent(2, "win-back", "outlook") == 260
    assert stage.sent(4, "partner-list", "mailru") == 240


async def test_a_closed_gate_ends_the_mistake_and_keeps_the_newsletter_small() -> None:
    stage = Stage()
    await stage.play(4 + 3 / 24)
    stage.closed = {"mailru"}
    before = stage.sent(4, "partner-list")
    await stage.play(6 / 24)
    stage.closed = set()
    await stage.play(15 / 24)
    assert stage.sent(4, "partner-list") <= before + 4
    stage.closed = {"mailru"}
    await stage.play(2)
    assert stage.sent(5, "letter", "mailru") <= shipped_story().newsletter.target["mailru"]
    assert stage.sent(6, "letter", "mailru") <= 110, "what waits is not sent on top of"
    stage.closed = set()
    await stage.play(3)
    assert stage.sent(9, "letter", "mailru") > 100, "clean mail goes on"
    assert all(stage.sent(day, "partner-list") == 0 for day in range(5, 10))


async def test_the_mistakes_come_again_with_other_people() -> None:
    stage = Stage()
    await stage.play(17)
    again = [mail for at, mail in stage.mails if mail.campaign.startswith("win-back") and at > START + 10 * DAY]
    assert sum(len(m.recipients) for m in again) == 260
    assert all("lapsed1n" in r for m in again for r in m.recipients)


async def test_the_story_goes_on_after_a_restart_where_it_was() -> None:
    whole, first = Stage(), Stage()
    await whole.play(6)
    await first.play(2 + 1.3 / 24)
    second = Stage(first.clock.now())
    second.scenario.load(json.loads(json.dumps(first.scenario.dump())))
    await second.play((START + 6 * DAY - first.clock.now()) / DAY)
    for day in range(6):
        for campaign in ("letter", "win-back", "partner-list"):
            assert whole.sent(day, campaign) == first.sent(day, campaign) + second.sent(day, campaign)


async def test_what_the_service_cannot_take_is_offered_again() -> None:
    stage = Stage()
    stage.down = True
    await stage.play(2 / 24)
    assert stage.mails == []
    stage.down = False
    await stage.play(1 / 24)
    assert stage.sent(0, "letter") > 250


async def test_after_a_long_stop_nobody_gets_a_week_of_receipts_at_once() -> None:
    stage = Stage()
    await stage.play(1)
    stage.clock.advance(7 * DAY)
    before = len(stage.mails)
    await stage.play(1 / 24 - 0.001)
    late = [mail for _, mail in stage.mails[before:] if mail.stream == "transactional"]
    assert len(late) <= 3
