"""Looks into one seed mailbox by IMAP (RFC 3501, RFC 6154), and waits for new mail (IDLE, RFC 2177): a MailboxSource.

Contract: folders are opened with EXAMINE and headers are read with BODY.PEEK, so nothing is ever marked, moved or
answered.  A mail is given once in this life of the process: UIDs are remembered for each folder and forgotten when
its UIDVALIDITY changes; a mail counts as given only when the consumer has come back for the next.  The first look
takes the newest mails only.  All IMAP work runs in a thread, and waiting takes none: an idle connection is a
descriptor that the loop watches; a mailbox that hangs holds one thread until its time-out.
Bounded: mails a look, header bytes, folders, seconds.  Failure: raises Unavailable (LoginRefused when the login is
dead); after it the mailbox is left alone for a growing while, and asking meanwhile raises the same again.
"""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from imapclient import imap_utf7
from imapclient.exceptions import IMAPClientError

from collectors.placement import idle
from collectors.placement.folders import Folder, choose_folders
from collectors.placement.login import open_client, public, shut
from collectors.placement.oauth import TokenSource
from config.model import Seed
from core.errors import LoginRefused, Unavailable
from core.lane import Provider
from core.state import FoundMail

T = TypeVar("T")
MAX_MAILS = 200  # of one folder at once; more come in further rounds of the same look
MAX_ROUNDS = 50
FIRST_LOOK = 500  # newest mails of a folder that a new process looks at
MAX_HEADER = 65_536
GMAIL_TABS = ("promotions", "social", "updates", "forums")
THREADS = 32
_IDLE_MOST = 1500.0  # RFC 2177: servers may end it after 30 minutes
_FOLDERS_KEPT = 600.0  # real seconds that a list of folders serves
_WAIT_FIRST, _WAIT_LOGIN, _WAIT_MOST = 2.0, 15.0, 300.0
_IMAP_ERRORS = (IMAPClientError, imaplib.IMAP4.error, OSError, ValueError)


class _Pool:
    """One pool of threads for all mailboxes of the process, made when first needed."""

    _lock = threading.Lock()
    _executor: ThreadPoolExecutor | None = None

    @classmethod
    def get(cls) -> ThreadPoolExecutor:
        with cls._lock:
            if cls._executor is None:
                cls._executor = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="seed")
            return cls._executor


@dataclass(slots=True)
class _Place:
    """What was given of one folder."""

    validity: int
    last: int


_Given: TypeAlias = tuple[tuple[str, int], FoundMail]  # folder and its UIDVALIDITY, mail


class ImapMailbox:
    """See the module.  `secret` is a password, or a source of tokens.  `executor` None shares one pool of threads."""

    def __init__(
        self,
        seed: Seed,
        secret: str | TokenSource,
        *,
        executor: Executor | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seed = seed
        self._secret = secret
        self._shown = ""  # the password or token of the last login, to keep it out of texts
        self._executor = executor
        self._monotonic = monotonic
        self._client: Any = None  # imapclient has no types
        self._folders: tuple[float, list[Folder], dict[str, bytes]] = (float("-inf"), [], {})
        self._places: dict[str, _Place] = {}
        self._inbox: tuple[object, ...] = ()  # what it was like when it was last looked into
        self._busy = threading.Lock()
        self._idling = False
        self._failures = 0
        self._problem: Unavailable | None = None
        self._retry_at = 0.0

    @property
    def mailbox(self) -> str:
        return self._seed.mailbox

    @property
    def provider(self) -> Provider:
        return Provider(self._seed.provider)

    @property
    def host(self) -> str:
        """Where it lies: hosts bear few connections at once."""
        return self._seed.host

    async def new_mail(self) -> AsyncIterator[FoundMail]:
        """As core.ports.MailboxSource.new_mail."""
        if self._problem is not None and self._monotonic() < self._retry_at:
            raise self._problem
        for _ in range(MAX_ROUNDS):
            batch = await self._round()
            for place, found in batch:
                yield found
                self._remember(*place, found.uid)
            if len(batch) < MAX_MAILS:
                return

    async def wait(self, seconds: float, roused: asyncio.Event) -> None:
        """As core.ports.MailboxSource.wait."""
        if self._problem is not None:
            # not even a test that began makes a blind mailbox's host be asked sooner
            await asyncio.sleep(max(0.0, min(self._retry_at - self._monotonic(), _WAIT_MOST)))
            return
        descriptor = await self._in_thread(self._begin_idle)
        if descriptor is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await roused.wait()
        elif descriptor != idle.NOW:
            await idle.watch(descriptor, min(seconds, _IDLE_MOST), roused, lambda: self._in_thread(self._is_news))
            await self._in_thread(self._end_idle)

    async def close(self) -> None:
        """Log out.  The mailbox can be looked into again."""
        await self._in_thread(self._drop)

    async def _round(self) -> list[_Given]:
        try:
            try:
                return await self._in_thread(self._look, *await self._login())
            except LoginRefused:
                if isinstance(self._secret, str):
                    raise
                # a token may have been revoked before its time
                return await self._in_thread(self._look, *await self._login(fresh=True))
        except Unavailable as error:
            raise self._failed(error) from None

    async def _login(self, *, fresh: bool = False) -> tuple[str, str]:
        """(secret, mechanism)."""
        if self._client is not None and not fresh:
            return self._shown, "" if isinstance(self._secret, str) else self._secret.mechanism
        if isinstance(self._secret, str):
            return self._secret, ""
        return await self._secret.token(fresh=fresh), self._secret.mechanism

    async def _in_thread(self, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor or _Pool.get(), work, *given)

    def _remember(self, folder: str, validity: int, uid: int) -> None:
        place = self._places.get(folder)
        if place is None or place.validity != validity:
            self._places[folder] = _Place(validity, uid)
        else:
            place.last = max(place.last, uid)

    def _failed(self, error: Unavailable) -> Unavailable:
        self._failures += 1
        # providers lock an account that keeps on guessing
        first = _WAIT_LOGIN if isinstance(error, LoginRefused) else _WAIT_FIRST
        self._retry_at = self._monotonic() + min(first * 2 ** min(self._failures - 1, 20), _WAIT_MOST)
        self._problem = error
        return error

    # --- in the thread ---------------------------------------------------------------------------
    def _look(self, secret: str, mechanism: str) -> list[_Given]:
        with self._busy:
            fresh = self._client is None
            self._shown = secret
            try:
                try:
                    found = self._look_once(secret, mechanism)
                except _IMAP_ERRORS:
                    if fresh:
                        raise
                    # a connection that lay idle was closed by the other side: that alone is no failure
                    self._disconnect()
                    found = self._look_once(secret, mechanism)
            except _IMAP_ERRORS as error:
                self._disconnect()
                where = f"{self._seed.mailbox} at {self._seed.host}"
                # `from None`: the cause may hold the command line with the password
                raise Unavailable(f"{where}: cannot be looked into: {public(error, secret)}") from None
            self._failures = 0
            self._problem = None
            return found

    def _look_once(self, secret: str, mechanism: str) -> list[_Given]:
        if self._client is None:
            self._client = open_client(self._seed, secret, mechanism)
            self._folders = (float("-inf"), [], {})
        client = self._client
        listed_at, folders, wires = self._folders
        if self._monotonic() - listed_at > _FOLDERS_KEPT:
            listed = [(flags, delimiter, *_names(raw)) for flags, delimiter, raw in client.list_folders()]
            wires = {name: raw for _, _, name, raw in listed}
            folders = choose_folders(
                ((flags, delimiter, name) for flags, delimiter, name, _ in listed),
                tabs=self._seed.tabs, junk=self._seed.junk,
            )  # fmt: skip
            self._folders = (self._monotonic(), folders, wires)
        found: list[_Given] = []
        for folder in folders:
            found += self._look_into(client, folder, wires.get(folder.name, b"INBOX"))
        return found

    def _look_into(self, client: Any, folder: Folder, wire: bytes) -> list[_Given]:
        try:
            state = client.select_folder(wire, readonly=True)  # EXAMINE
        except (IMAPClientError, ValueError) as error:
            if folder.name.upper() == "INBOX" or isinstance(error, imaplib.IMAP4.abort):
                raise
            return []  # a folder that cannot be opened says nothing; INBOX must open
        validity = int(state.get(b"UIDVALIDITY", 0))
        uids = self._new_uids(client, folder, validity, state)
        inbox = folder.name.upper() == "INBOX"
        if inbox:
            self._inbox = _newness(state)
        tabs = _gmail_tabs(client, uids) if inbox and uids else {}
        found = []
        for uid, headers in _headers(client, uids):
            name = f"{folder.name}#{tabs[uid]}" if uid in tabs else folder.name
            found.append(((folder.name, validity), FoundMail(uid=uid, folder=name, junk=folder.junk, headers=headers)))
        return found

    def _new_uids(self, client: Any, folder: Folder, validity: int, state: dict[bytes, Any]) -> list[int]:
        place = self._places.get(folder.name)
        exists = int(state.get(b"EXISTS", 0))
        if not exists:
            return []
        if place is not None and place.validity == validity:
            if state.get(b"UIDNEXT") == place.last + 1:
                return []
            # `n:*` always names the last mail, even when its UID is below n (RFC 3501 section 6.4.8)
            uids = client.search(["UID", f"{place.last + 1}:*"])
            return sorted(uid for uid in uids if uid > place.last)[:MAX_MAILS]
        # by sequence number: UIDs may have gaps of any size
        return sorted(client.search([f"{max(1, exists - FIRST_LOOK + 1)}:*"]))[-FIRST_LOOK:][:MAX_MAILS]

    def _begin_idle(self) -> int | None:
        """A descriptor to watch; None where IDLE is not offered."""
        with self._busy:
            client = self._client
            try:
                if client is None or not client.has_capability("IDLE"):
                    return None
                _, folders, wires = self._folders
                state = client.select_folder(wires.get(folders[0].name, b"INBOX"), readonly=True)
                if _newness(state) != self._inbox:
                    return idle.NOW
                descriptor = idle.begin(client)
                self._idling = descriptor != idle.NOW
                return descriptor
            except _IMAP_ERRORS:
                self._disconnect()  # the next look connects again, and tells if it cannot
                return idle.NOW

    def _is_news(self) -> bool:
        with self._busy:
            try:
                return self._client is None or idle.is_news(self._client)
            except _IMAP_ERRORS:
                self._disconnect()
                return True

    def _end_idle(self) -> None:
        with self._busy:
            self._idling = False
            if self._client is not None:
                try:
                    self._client.idle_done()
                except _IMAP_ERRORS:
                    self._disconnect()

    def _drop(self) -> None:
        with self._busy:
            client, self._client = self._client, None
            if client is not None and self._idling:
                shut(client)
            elif client is not None:
                try:
                    client.logout()
                except _IMAP_ERRORS:
                    shut(client)

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._idling = False
        if client is not None:
            shut(client)


def _newness(state: dict[bytes, Any]) -> tuple[object, ...]:
    return state.get(b"UIDVALIDITY"), state.get(b"UIDNEXT"), state.get(b"EXISTS")


def _names(raw: bytes | str) -> tuple[str, bytes]:
    """(name, as it stands on the wire) of a folder; what is no modified UTF-7 is read as UTF-8 (RFC 6855)."""
    wire = raw.encode() if isinstance(raw, str) else raw
    try:
        return (imap_utf7.decode(wire) if wire.isascii() else wire.decode()), wire
    except ValueError:
        return wire.decode("utf-8", "replace"), wire


def _headers(client: Any, uids: list[int]) -> list[tuple[int, bytes]]:
    """Header blocks, in the order of the UIDs; a mail that vanished meanwhile is left out."""
    if not uids:
        return []
    try:
        answer = client.fetch(uids, [f"BODY.PEEK[HEADER]<0.{MAX_HEADER}>"])
    except imaplib.IMAP4.abort:
        raise
    except IMAPClientError:
        # partial headers are part of RFC 3501, yet there are servers that do not know them
        answer = client.fetch(uids, ["BODY.PEEK[HEADER]"])
    found = []
    for uid in uids:
        data = next((v for k, v in answer.get(uid, {}).items() if k.startswith(b"BODY[HEADER]")), None)
        if isinstance(data, bytes):
            found.append((uid, data[:MAX_HEADER]))
    return found


def _gmail_tabs(client: Any, uids: list[int]) -> dict[int, str]:
    """Gmail's tab of each mail in INBOX that is not in the primary one (capability X-GM-EXT-1)."""
    if not client.has_capability("X-GM-EXT-1"):
        return {}
    tabs: dict[int, str] = {}
    for tab in GMAIL_TABS:
        for uid in client.search(["UID", f"{uids[0]}:{uids[-1]}", "X-GM-RAW", f"category:{tab}"]):
            tabs[uid] = tab
    return tabs
