"""A seed mailbox over IMAP: which folders, what is given once, and what never happens to a mail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collectors.placement.folders import choose_folders
from collectors.placement.imap import MAX_HEADER, ImapMailbox
from config.model import Seed
from core.errors import Unavailable
from core.state import FoundMail
from tests.unit.collectors.watch_imap import FolderScript, ImapScript
from tests.waiting import within


class Hands:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def header(subject: str, extra: str = "") -> bytes:
    return f"Subject: {subject}\r\n{extra}\r\n".encode()


@pytest.fixture
def inbox() -> FolderScript:
    return FolderScript("INBOX", mails={7: header("seven"), 9: header("nine")})


@pytest.fixture
def server(inbox: FolderScript) -> Iterator[ImapScript]:
    junk = FolderScript("&BCEEPwQwBDw-", "\\Junk", {3: header("three")})
    sent = FolderScript("Sent", "\\Sent", {1: header("mine")})
    with ImapScript(inbox, junk, sent) as running:
        yield running


@asynccontextmanager
async def mailbox_at(
    server: ImapScript, password: str = "secret", hands: Hands | None = None
) -> AsyncIterator[ImapMailbox]:
    seed = Seed(
        mailbox="seed@mailhaus.example", provider="mailhaus", host="127.0.0.1", port=server.port, security="none",
        user="seed", password_file=Path("unused"),
    )  # fmt: skip
    box = ImapMailbox(seed, password, monotonic=hands or Hands())
    try:
        yield box
    finally:
        await box.close()


async def seen(box: ImapMailbox) -> list[tuple[str, int, bool]]:
    return [(found.folder, found.uid, found.junk) async for found in box.new_mail()]


async def test_inbox_and_junk_are_read_and_each_mail_is_given_once(server: ImapScript, inbox: FolderScript) -> None:
    async with mailbox_at(server) as box:
        assert await seen(box) == [("INBOX", 7, False), ("INBOX", 9, False), ("Спам", 3, True)]
        assert await seen(box) == []
        inbox.mails[12] = header("twelve")
        assert await seen(box) == [("INBOX", 12, False)]
        assert sum(command.startswith("LOGIN") for command in server.commands) == 1


async def test_nothing_that_marks_a_mail_is_ever_said(server: ImapScript) -> None:
    async with mailbox_at(server) as box:
        await seen(box)
    verbs = {c.upper().removeprefix("UID ").split()[0] for c in server.commands}
    assert verbs == {"CAPABILITY", "LOGIN", "LIST", "EXAMINE", "SEARCH", "FETCH", "LOGOUT"}
    assert all("BODY.PEEK[HEADER]" in c for c in server.commands if "FETCH" in c)


async def test_a_new_uidvalidity_makes_every_mail_new_again(server: ImapScript, inbox: FolderScript) -> None:
    async with mailbox_at(server) as box:
        await seen(box)
        inbox.validity = 2
        assert await seen(box) == [("INBOX", 7, False), ("INBOX", 9, False)]


async def test_a_mail_counts_as_given_only_when_the_consumer_came_back(server: ImapScript) -> None:
    async with mailbox_at(server) as box:
        first: FoundMail | None = None
        async for found in box.new_mail():
            first = found
            break
        assert first is not None
        assert (await seen(box))[0] == ("INBOX", first.uid, False)


async def test_headers_are_cut_and_a_server_without_partial_fetch_is_read_too(
    server: ImapScript, inbox: FolderScript
) -> None:
    inbox.mails = {1: header("long", "X-Long: " + "x" * 200_000 + "\r\n")}
    for partial in (True, False):
        server.partial = partial
        async with mailbox_at(server) as box:
            found = [mail async for mail in box.new_mail()]
            assert len(found[0].headers) == MAX_HEADER


async def test_more_mail_than_one_round_takes_is_all_given(server: ImapScript, inbox: FolderScript) -> None:
    inbox.mails = {uid: header(str(uid)) for uid in range(1, 451)}
    async with mailbox_at(server) as box:
        given = [uid for folder, uid, _ in await seen(box) if folder == "INBOX"]
    assert given == list(range(1, 451))


async def test_gmail_tabs_are_told_apart(server: ImapScript, inbox: FolderScript) -> None:
    server.capabilities = "X-GM-EXT-1"
    inbox.mails[9] = header("nine", "X-Tab: promotions\r\n")
    async with mailbox_at(server) as box:
        assert (await seen(box))[:2] == [("INBOX", 7, False), ("INBOX#promotions", 9, False)]


async def test_a_lost_idle_connection_is_opened_again_at_once(server: ImapScript, inbox: FolderScript) -> None:
    async with mailbox_at(server) as box:
        await seen(box)
        inbox.mails[12] = header("twelve")
        server.drop = 1
        assert await seen(box) == [("INBOX", 12, False)]


async def test_a_refused_login_is_unavailable_and_not_tried_again_before_its_time(server: ImapScript) -> None:
    hands = Hands()
    async with mailbox_at(server, "wr0ng-pass", hands) as box:
        for expected_logins, wait in ((1, 0.0), (1, 14.0), (2, 1.5), (2, 29.0), (3, 1.5)):
            hands.at += wait
            with pytest.raises(Unavailable, match="login was refused") as caught:
                await seen(box)
            assert "wr0ng-pass" not in str(caught.value)
            assert sum(c.startswith("LOGIN") for c in server.commands) == expected_logins


async def test_a_mailbox_works_again_after_its_host_came_back(server: ImapScript) -> None:
    hands = Hands()
    async with mailbox_at(server, hands=hands) as box:
        server.drop = 2
        with pytest.raises(Unavailable, match="cannot be looked into"):
            await seen(box)
        server.drop = 0
        hands.at += 3
        assert len(await seen(box)) == 3


async def test_new_mail_ends_the_wait_and_a_still_here_does_not(server: ImapScript, inbox: FolderScript) -> None:
    server.capabilities = "IDLE"
    async with mailbox_at(server) as box:
        await seen(box)
        waiting = asyncio.ensure_future(box.wait(60, asyncio.Event()))
        await asyncio.to_thread(server.tell, b"* OK still here\r\n")
        inbox.mails[12] = header("twelve")
        await asyncio.to_thread(server.tell, b"* 3 EXISTS\r\n")
        await within(waiting, lambda: f"the end of the wait; heard {server.commands}")
        assert await seen(box) == [("INBOX", 12, False)]


async def test_news_in_one_piece_with_the_answer_to_idle_are_heard(server: ImapScript) -> None:
    server.capabilities, server.idle_news = "IDLE", b"* 3 EXISTS\r\n"
    async with mailbox_at(server) as box:
        await seen(box)
        await within(box.wait(60, asyncio.Event()), lambda: f"the end of the wait; heard {server.commands}")


async def test_mail_that_came_before_idle_began_is_not_waited_for(server: ImapScript, inbox: FolderScript) -> None:
    server.capabilities = "IDLE"
    async with mailbox_at(server) as box:
        await seen(box)
        inbox.mails[12] = header("twelve")
        await within(box.wait(60, asyncio.Event()), lambda: f"the end of the wait; heard {server.commands}")
        assert not any(command == "IDLE" for command in server.commands)


@pytest.mark.parametrize("capabilities", ["IDLE", "SPECIAL-USE"])
async def test_a_test_that_began_ends_the_wait_with_and_without_idle(server: ImapScript, capabilities: str) -> None:
    server.capabilities = capabilities
    async with mailbox_at(server) as box:
        await seen(box)
        roused = asyncio.Event()
        waiting = asyncio.ensure_future(box.wait(60, roused))
        await asyncio.sleep(0)
        roused.set()
        await within(waiting, lambda: f"the end of the wait; heard {server.commands}")
        assert await seen(box) == []


async def test_a_connection_that_ends_while_idle_is_opened_anew(server: ImapScript, inbox: FolderScript) -> None:
    server.capabilities = "IDLE"
    async with mailbox_at(server) as box:
        await seen(box)
        waiting = asyncio.ensure_future(box.wait(60, asyncio.Event()))
        await asyncio.to_thread(server.tell, b"* BYE shutting down\r\n")
        await within(waiting, lambda: f"the end of the wait; heard {server.commands}")
        inbox.mails[12] = header("twelve")
        assert await seen(box) == [("INBOX", 12, False)]


@pytest.mark.parametrize(
    ("listed", "junk"),
    [
        ([((b"\\Junk",), b"/", "Quatsch"), ((), b"/", "Spam")], ["Quatsch"]),
        ([((), b"/", "[Gmail]/Спам")], ["[Gmail]/Спам"]),
        ([((), b"/", "Bulk Mail"), ((), b"/", "Work")], ["Bulk Mail"]),
        ([((b"\\Noselect",), b"/", "Junk")], []),
        ([((), None, "Нежелательная почта")], ["Нежелательная почта"]),
        ([((b"\\junk",), b".", "INBOX.Junk E-mail")], ["INBOX.Junk E-mail"]),
    ],
)
def test_the_junk_folder_is_the_marked_one_and_else_the_one_that_is_called_so(
    listed: list[tuple[tuple[bytes, ...], bytes | None, str]], junk: list[str]
) -> None:
    chosen = choose_folders([((), b"/", "INBOX"), *listed])
    assert [folder.name for folder in chosen if folder.junk] == junk
    assert chosen[0].name == "INBOX"


def test_folders_that_are_tabs_are_looked_into_and_are_no_junk() -> None:
    chosen = choose_folders([((), b"/", "INBOX"), ((), b"/", "INBOX/Newsletters"), ((), b"/", "Newsletters")])
    assert [(f.name, f.junk) for f in chosen] == [("INBOX", False), ("INBOX/Newsletters", False)]
