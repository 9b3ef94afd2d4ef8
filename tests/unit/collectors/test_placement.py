"""Seed placement: what counts as our mail, what is missing, and what is only unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from email.utils import format_datetime

import pytest

from collectors.placement.watch import SeedWatcher
from core.clock import FixedClock, utc
from core.errors import Unavailable
from core.events import Delivered, Event, Placement, SeedBlind, SeedMoved, SeedPlaced, SeedSighted
from core.lane import Attribution, Lane, Provider, SendingDomain, Source, Stream, Traffic
from core.reply import Reply
from core.state import FoundMail
from core.tokens import MessageId, Purpose, TokenSigner, new_message_id
from tests.unit.collectors.watch_fakes import MemoryLog

NOW = 1_793_000_000.0
HOUR = 3600.0
SIGNER = TokenSigner({"a": b"0123456789abcdef"})
SEED = "seed@mailhaus.example"
ATTRIBUTION = Attribution(
    traffic=Traffic(
        lane=Lane(source=Source("s1"), sending_domain=SendingDomain("news.example"), provider=Provider("mailhaus")),
        stream=Stream("bulk"),
    ),
    cohort=int(NOW // HOUR),
)


class Shelf:
    """A MailboxSource whose mails a test puts there."""

    def __init__(self, mailbox: str = SEED) -> None:
        self.mailbox = mailbox
        self.provider = Provider("mailhaus")
        self.mails: list[FoundMail] = []
        self.problem = ""

    def put(self, headers: str, folder: str = "INBOX", *, junk: bool = False) -> None:
        self.mails.append(FoundMail(uid=len(self.mails) + 1, folder=folder, junk=junk, headers=headers.encode()))

    async def new_mail(self) -> AsyncIterator[FoundMail]:
        if self.problem:
            raise Unavailable(self.problem)
        while self.mails:
            yield self.mails[0]
            del self.mails[0]

    async def wait(self, seconds: float, roused: asyncio.Event) -> None:
        await roused.wait()


class World:
    """One watcher with its log, clock and shelves."""

    def __init__(self, *shelves: Shelf) -> None:
        self.log = MemoryLog()
        self.clock = FixedClock(NOW)
        self.shelves = shelves or (Shelf(),)
        self.watcher = self.restarted()

    def restarted(self) -> SeedWatcher:
        return SeedWatcher(sources=self.shelves, signer=SIGNER, log=self.log, clock=self.clock)

    async def delivered(self, recipient: str = SEED) -> MessageId:
        message_id = new_message_id(self.clock.now())
        await self.log.append([delivery(message_id, recipient, self.clock.now())])
        return message_id

    def events(self) -> list[Event]:
        return [e for e in self.log.all() if not isinstance(e, Delivered | SeedSighted)]

    def placements(self) -> list[tuple[MessageId, Placement]]:
        return [(e.message_id, e.placement) for e in self.log.all() if isinstance(e, SeedPlaced)]


def delivery(message_id: MessageId, recipient: str, at: float) -> Delivered:
    return Delivered(
        at=at, message_id=message_id, recipient=recipient, attribution=ATTRIBUTION, site="mx.mailhaus.example",
        remote="mx.mailhaus.example", reply=Reply(code=250, status="2.0.0", text="ok"), attempt=1,
        tls="", latency=1.0,
    )  # fmt: skip


def token(message_id: MessageId, purpose: Purpose = Purpose.MESSAGE_ID) -> str:
    return SIGNER.sign(purpose, message_id, NOW)


@pytest.mark.parametrize(
    ("folder", "junk", "placement"),
    [
        ("INBOX", False, Placement.INBOX),
        ("Inbox", False, Placement.INBOX),
        ("Спам", True, Placement.SPAM),
        ("INBOX#promotions", False, Placement.TAB),
        ("INBOX/Newsletters", False, Placement.TAB),
    ],
)
async def test_a_mail_of_ours_is_placed_where_it_lies(folder: str, junk: bool, placement: Placement) -> None:
    world = World()
    message_id = await world.delivered("Seed@MAILHAUS.example")
    arrived = format_datetime(utc(NOW + 42))
    world.shelves[0].put(
        f"Received: from a by b;\r\n\t{arrived}\r\nX-Penstock-Token: {token(message_id)}\r\n\r\n", folder, junk=junk
    )
    world.clock.advance(600)
    await world.watcher.look()
    placed = world.events()
    assert len(placed) == 1
    assert isinstance(placed[0], SeedPlaced)
    assert (placed[0].placement, placed[0].folder, placed[0].seconds) == (placement, folder, 42.0)
    assert (placed[0].mailbox, placed[0].attribution, placed[0].message_id) == (SEED, ATTRIBUTION, message_id)


async def test_the_message_id_alone_is_proof_enough_and_is_counted_once() -> None:
    world = World()
    message_id = await world.delivered()
    for _ in range(2):
        world.shelves[0].put(f"Message-ID: <{token(message_id)}@news.example>\r\n\r\n")
        await world.watcher.look()
    world.shelves[0].put(f"Message-ID: <{token(message_id)}@news.example>\r\n\r\n", "Junk", junk=True)
    await world.restarted().look()
    assert world.placements() == [(message_id, Placement.INBOX)]


async def test_what_proves_nothing_places_nothing() -> None:
    world = World()
    message_id = await world.delivered()
    elsewhere = await world.delivered("other@mailhaus.example")
    for headers in (
        "Subject: hello\r\n\r\n",
        f"Message-ID: <{token(message_id, Purpose.UNSUBSCRIBE)}@news.example>\r\n\r\n",
        f"Message-ID: <{token(message_id)[:-1]}a@news.example>\r\n\r\n",
        f"X-Penstock-Token: {token(elsewhere)}\r\n\r\n",
        "\r\n",
    ):
        world.shelves[0].put(headers)
    await world.watcher.look()
    assert world.events() == []


async def test_a_mail_found_before_its_delivery_was_logged_is_placed_afterwards() -> None:
    world = World()
    message_id = new_message_id(NOW)
    world.shelves[0].put(f"X-Penstock-Token: {token(message_id)}\r\n\r\n")
    await world.watcher.look()
    assert world.events() == []
    await world.log.append([delivery(message_id, SEED, NOW)])
    await world.watcher.look()
    assert world.placements() == [(message_id, Placement.INBOX)]


async def test_an_insane_received_line_counts_the_time_until_now() -> None:
    world = World()
    message_id = await world.delivered()
    world.shelves[0].put(
        f"Received: by b; Thu, 1 Jan 1970 00:00:00 +0000\r\nX-Penstock-Token: {token(message_id)}\r\n\r\n"
    )
    world.clock.advance(90)
    await world.watcher.look()
    placed = world.events()[0]
    assert isinstance(placed, SeedPlaced)
    assert placed.seconds == 90.0


async def test_a_blind_mailbox_is_told_once_until_it_works_again() -> None:
    world = World()
    shelf = world.shelves[0]
    shelf.problem = "the login was refused"
    for _ in range(3):
        await world.watcher.look()
    assert [type(e) for e in world.events()] == [SeedBlind]
    assert [b.mailbox for b in world.watcher.blind] == [SEED]
    shelf.problem = ""
    await world.watcher.look()
    assert world.watcher.blind == ()
    shelf.problem = "again"
    await world.watcher.look()
    assert [type(e) for e in world.events()] == [SeedBlind, SeedBlind]


async def test_one_blind_mailbox_does_not_keep_another_from_being_looked_into() -> None:
    blind, well = Shelf("blind@mailhaus.example"), Shelf()
    blind.problem = "no answer"
    world = World(blind, well)
    message_id = await world.delivered()
    well.put(f"X-Penstock-Token: {token(message_id)}\r\n\r\n")
    await world.watcher.look()
    assert world.placements() == [(message_id, Placement.INBOX)]


async def test_a_mail_that_lies_nowhere_after_the_window_is_missing_once_and_placed_should_it_turn_up() -> None:
    world = World()
    message_id = await world.delivered()
    await world.delivered("customer@mailhaus.example")
    await world.watcher.look()
    world.clock.advance(47 * HOUR)
    await world.watcher.missing(world.clock.now())
    assert world.placements() == []
    world.clock.advance(2 * HOUR)
    await world.watcher.look()
    for _ in range(2):
        await world.watcher.missing(world.clock.now())
    assert world.placements() == [(message_id, Placement.MISSING)]
    await world.restarted().missing(world.clock.now())
    world.shelves[0].put(f"X-Penstock-Token: {token(message_id)}\r\n\r\n")
    await world.watcher.look()
    assert world.placements() == [(message_id, Placement.MISSING), (message_id, Placement.INBOX)]


async def test_nothing_is_missing_in_a_mailbox_that_nobody_could_look_into() -> None:
    world = World()
    await world.delivered()
    await world.watcher.look()
    world.shelves[0].problem = "dead"
    world.clock.advance(60 * HOUR)
    await world.watcher.look()
    await world.watcher.missing(world.clock.now())
    await world.restarted().missing(world.clock.now())
    assert world.placements() == []


async def test_a_restarted_watcher_still_knows_what_has_to_arrive() -> None:
    world = World()
    found, lost = await world.delivered(), await world.delivered()
    world.shelves[0].put(f"X-Penstock-Token: {token(found)}\r\n\r\n")
    await world.watcher.look()
    world.clock.advance(50 * HOUR)
    again = world.restarted()
    await again.look()
    await again.missing(world.clock.now())
    assert world.placements() == [(found, Placement.INBOX), (lost, Placement.MISSING)]


def moves(world: World) -> list[tuple[Placement, Placement, str, float]]:
    return [(e.before, e.placement, e.folder, e.seconds) for e in world.log.all() if isinstance(e, SeedMoved)]


async def test_a_mail_that_its_host_moves_afterwards_is_followed_within_the_window() -> None:
    world = World()
    message_id = await world.delivered()
    headers = f"X-Penstock-Token: {token(message_id)}\r\n\r\n"
    world.shelves[0].put(headers)
    await world.watcher.look()
    world.clock.advance(2 * HOUR)
    world.shelves[0].put(headers, "Junk", junk=True)
    await world.watcher.look()
    assert moves(world) == [(Placement.INBOX, Placement.SPAM, "Junk", 2 * HOUR)]
    assert world.placements() == [(message_id, Placement.INBOX)], "figures count where it lay first"

    # after a restart every mail is found again: nothing moved
    watcher = world.restarted()
    world.shelves[0].put(headers)
    world.shelves[0].put(headers, "Junk", junk=True)
    await watcher.look()
    assert len(moves(world)) == 1

    world.clock.advance(48 * HOUR)
    world.shelves[0].put(headers, "Archive")
    await watcher.look()
    assert len(moves(world)) == 1


async def test_a_mail_that_is_taken_out_of_spam_is_told_and_another_mailbox_has_no_say() -> None:
    world = World(Shelf(), Shelf("other@mailhaus.example"))
    message_id = await world.delivered()
    headers = f"X-Penstock-Token: {token(message_id)}\r\n\r\n"
    world.shelves[0].put(headers, "Junk", junk=True)
    await world.watcher.look()
    world.shelves[1].put(headers)
    await world.watcher.look()
    assert moves(world) == []
    world.shelves[0].put(headers)
    await world.watcher.look()
    assert [(before, after) for before, after, _, _ in moves(world)] == [(Placement.SPAM, Placement.INBOX)]
