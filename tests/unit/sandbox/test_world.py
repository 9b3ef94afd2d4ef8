"""The sandbox as a whole: real servers, a story that sends, reports that come back, state that survives a restart."""

from __future__ import annotations

import asyncio
import contextlib
import email
import json
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from config.load import load_plans, load_rules, read_settings
from core.clock import ScaledClock
from core.errors import InvalidInput, Unavailable
from core.lane import DAY
from sandbox import settings
from sandbox.behaviour import ComplaintHabit, Greylisting, Volume, shipped_behaviours
from sandbox.host import ProviderHost, Taken
from sandbox.model import Complaint, LateBounce, Later, Situation
from sandbox.outbox import Outbox, ReturnedMail
from sandbox.people import Person
from sandbox.post import Postman
from sandbox.scenario import ScenarioMail, Story, shipped_story
from sandbox.smtp import smtp_server
from sandbox.world import World
from tests.ports import free_port
from tests.waiting import within

START = 1_700_000_000.0 // DAY * DAY
RATE = 43_200.0  # a day in two seconds


def early_story() -> Story:
    """The shipped story with both mistakes on the first day."""
    story = shipped_story()
    return story.model_copy(update={"incidents": [i.model_copy(update={"day": 0}) for i in story.incidents]})


class Bench:
    """A world with the smallest sender that speaks real SMTP to it, and an inbound listener that keeps its mail."""

    def __init__(self) -> None:
        self.clock = ScaledClock(START, RATE)
        self.port = free_port("127.7.0.2")
        self.stored: list[str] = []
        self.injected: list[ScenarioMail] = []
        self.returned: list[tuple[str, bytes]] = []
        self.news = asyncio.Event()
        # takes whatever comes: a report that is put off too often is lost, and a slow machine has few turns in a day
        inbound = shipped_behaviours()["postfix"].model_copy(
            update={
                "address": "127.0.0.1",
                "domains": [settings.RETURN_PATH],
                "greylisting": Greylisting(share=0),
                "volume": Volume(floor=1_000_000),
                "complaints": ComplaintHabit(engaged=0, casual=0, sleeping=0, annoyed=0),
            }
        )
        host = ProviderHost(
            inbound,
            people=lambda _: Person(),
            clock=self.clock,
            rng=Random(1),
            outbox=Outbox(self.clock),
            keepers=(self._keep,),
        )
        self.inbound = smtp_server(host, 0, None)

    def _keep(self, _: object, taken: Taken) -> None:
        self.returned.append((taken.sent.recipient, taken.sent.content))
        self.news.set()

    async def inject(self, mail: ScenarioMail) -> None:
        self.injected.append(mail)
        for number, recipient in enumerate(mail.recipients[:40]):
            content = (
                f"Message-ID: <m{len(self.injected)}x{number}@meadow.example>\r\nFrom: {mail.sender}\r\n"
                f"To: <{recipient}>\r\nSubject: {mail.subject}\r\n\r\n{mail.text}\r\n"
            )
            host = (await self.world.resolver.mx(recipient.rpartition("@")[2]))[0].host
            address = (await self.world.resolver.addresses(host))[0]
            mail_from = f"b{number}@{settings.RETURN_PATH}"
            returned = ReturnedMail(
                mail_from=mail_from, rcpt_to=recipient, content=content.encode(), from_ip="127.7.1.1"
            )
            # no retries here, and the story must not take a provider's "later" for ours and say the same again for ever
            with contextlib.suppress(Unavailable):
                await Postman((address, self.port), {}).deliver(returned)
        self.news.set()

    def make_world(self, seed: int = 1) -> World:
        async def load() -> str | None:
            return self.stored[-1] if self.stored else None

        async def save(state: str) -> None:
            self.stored.append(state)

        self.world = World(
            clock=self.clock,
            seed=seed,
            port=self.port,
            feedback_to=self.inbound.address,
            inject=self.inject,
            load_state=load,
            save_state=save,
            story=early_story(),
        )
        return self.world

    def campaigns(self) -> list[str]:
        return [mail.campaign for mail in self.injected]

    async def until(self, condition: Callable[[], bool], what: Callable[[], object]) -> None:
        while not condition():
            self.news.clear()
            await within(self.news.wait(), lambda: f"news; so far {what()}")


async def test_the_story_sends_and_complaints_bounces_and_dmarc_reports_come_back_and_nothing_is_left_open() -> None:
    bench = Bench()
    await bench.inbound.start()

    def kinds() -> set[str]:
        found = set()
        for to, content in bench.returned:
            mail = email.message_from_bytes(content)
            found.add(f"{mail.get_param('report-type', failobj='dmarc')} to {to.rpartition('@')[0][:1]}")
        return found

    try:
        async with bench.make_world() as world:
            # what people do is drawn, and a busy machine sleeps through an incident: these two follow for sure
            for later in (Complaint(after=60.0), LateBounce(after=60.0)):
                _take(world.hosts["outlook"], later)
            awaited = {"feedback-report to f", "delivery-status to b", "dmarc to d"}
            streams = {"transactional", "triggered", "bulk"}
            await bench.until(
                lambda: awaited <= kinds() and streams == {m.stream for m in bench.injected},
                lambda: (kinds(), {m.stream for m in bench.injected}),
            )
    finally:
        await bench.inbound.stop()
    assert len(asyncio.all_tasks()) == 1, "only this test is left"
    for behaviour in shipped_behaviours().values():
        with socket.create_server((behaviour.address, bench.port)):
            pass
    assert json.loads(bench.stored[-1])["version"] == 1


def _take(host: ProviderHost, later: Later) -> None:
    """A message that `host` took, and what follows it."""
    sender, content = f"btoken@{settings.RETURN_PATH}", b"Message-ID: <m@meadow.example>\r\n\r\n"
    verdict = host.model.answer(Situation.ACCEPTED, later=later)
    host.take("127.7.1.1", "mx", "", sender, "someone@outlook.example", content, verdict)


async def test_the_next_life_goes_on_where_the_last_one_was() -> None:
    bench = Bench()
    await bench.inbound.start()
    try:
        async with bench.make_world():
            # every day has one: a busy machine may sleep through the hours of an incident
            await bench.until(lambda: any(m.campaign.startswith("letter") for m in bench.injected), bench.campaigns)
        reputations = json.loads(bench.stored[-1])["models"]
        letters = [m.campaign for m in bench.injected if m.campaign.startswith("letter")]
        begun = len(bench.injected)
        async with bench.make_world() as world:
            assert all(world.hosts[name].model.dump() == standing for name, standing in reputations.items())
            await bench.until(lambda: len(bench.injected) > begun, bench.campaigns)
        again = [m.campaign for m in bench.injected[begun:] if m.campaign.startswith("letter")]
        assert letters[0] not in again, "that day's newsletter was sent"
    finally:
        await bench.inbound.stop()


async def test_a_state_of_nonsense_begins_the_story_anew() -> None:
    bench = Bench()
    bench.stored = ['{"version": 1, "scenario": 5}']
    await bench.inbound.start()
    try:
        async with bench.make_world():
            await bench.until(lambda: bool(bench.injected), bench.campaigns)
    finally:
        await bench.inbound.stop()


async def test_a_taken_port_is_an_error_that_leaves_no_server_behind() -> None:
    bench = Bench()
    with socket.create_server(("127.7.0.4", bench.port)):
        with pytest.raises(InvalidInput, match=r"127\.7\.0\.4:\d+ is in use already"):
            await bench.make_world().start()
        with socket.create_server(("127.7.0.2", bench.port)):
            pass


async def test_the_settings_are_complete_valid_and_name_files_that_only_the_owner_can_read(tmp_path: Path) -> None:
    bench = Bench()
    bench.world = world = World(
        clock=bench.clock,
        seed=1,
        port=bench.port,
        feedback_to=("127.0.0.1", 10_025),
        inject=bench.inject,
        load_state=_nothing,
        save_state=_ignored,
    )
    text = world.settings_toml(tmp_path, 18_025)
    folder = settings.folder_of(tmp_path)
    keys: list[RSAPrivateKey | Ed25519PrivateKey] = [generate_private_key(65537, 2048), Ed25519PrivateKey.generate()]
    for key, (_, _, name) in zip(keys, settings.DKIM_KEYS, strict=True):
        (folder / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "penstock.toml").write_text(text)
    loaded = read_settings(tomllib.loads(text), tmp_path / "penstock.toml", check=True)
    assert [s.bind for s in loaded.sources] == ["127.7.1.1", "127.7.1.2"]
    assert loaded.delivery.port == bench.port
    assert len(loaded.seeds.mailboxes) == 8
    assert {s.port for s in loaded.seeds.mailboxes} == {bench.port + 1}
    for seed in loaded.seeds.mailboxes:
        assert seed.password_file is not None
        assert seed.password_file.stat().st_mode & 0o077 == 0
    assert [p.name for p in load_plans(loaded)] == ["sandbox"]
    assert {r.signal for r in load_rules(loaded)} == {"complaint_rate", "hard_bounce_rate"}

    async with world:
        rsa_record, ed_record = [
            (await world.resolver.txt(f"{selector}._domainkey.meadow.example"))[0] for selector in ("s1", "e1")
        ]
        assert rsa_record.startswith("v=DKIM1; k=rsa; p=MII")
        assert ed_record.startswith("v=DKIM1; k=ed25519; p=")
        assert (await world.resolver.mx("rp.meadow.example"))[0].host == "inbound.meadow.example"
        for source in loaded.sources:
            assert await world.resolver.ptr(source.bind) == [source.ehlo]
            assert await world.resolver.addresses(source.ehlo) == [source.bind]


async def _nothing() -> str | None:
    return None


async def _ignored(_: str) -> None:
    return None
