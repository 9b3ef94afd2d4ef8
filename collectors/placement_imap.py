"""Looks into one seed mailbox by IMAP (RFC 3501, RFC 6154): a MailboxSource.

Contract: folders are opened with EXAMINE and headers are read with BODY.PEEK, so nothing is ever marked, moved or
answered.  A mail is given once in this life of the process: UIDs are remembered for each folder and forgotten when
its UIDVALIDITY changes; a mail counts as given only when the consumer has come back for the next.  The first look
takes the newest mails only.  All IMAP work runs in a thread; a mailbox that hangs holds one thread until its time-out.
Bounded: mails a look, header bytes, folders, seconds.  Failure: raises Unavailable; after it the mailbox is left alone
for a growing while, and asking meanwhile raises the same again.  The password never appears in a text.
"""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import logging
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

from collectors.placement_folders import Folder, choose_folders
from config.model import Seed
from core.errors import Unavailable
from core.lane import Provider
from core.state import FoundMail

T = TypeVar("T")
MAX_MAILS = 200  # of one folder at once; more come in further rounds of the same look
MAX_ROUNDS = 50
FIRST_LOOK = 500  # newest mails of a folder that a new process looks at
MAX_HEADER = 65_536
GMAIL_TABS = ("promotions", "social", "updates", "forums")
_CONNECT_SECONDS, _ANSWER_SECONDS = 15.0, 30.0
_WAIT_FIRST, _WAIT_LOGIN, _WAIT_MOST = 2.0, 15.0, 300.0

# imapclient logs whole responses, and with them what people wrote
logging.getLogger("imapclient").setLevel(logging.WARNING)


class _Pool:
    """One pool of threads for all mailboxes of the process, made when first needed."""

    _lock = threading.Lock()
    _executor: ThreadPoolExecutor | None = None

    @classmethod
    def get(cls) -> ThreadPoolExecutor:
        with cls._lock:
            if cls._executor is None:
                cls._executor = ThreadPoolExecutor(max_workers=16, thread_name_prefix="seed")
            return cls._executor


@dataclass(slots=True)
class _Place:
    """What was given of one folder."""

    validity: int
    last: int


class ImapMailbox:
    """See the module.  `executor` None shares one pool of 16 threads among all mailboxes."""

    def __init__(
        self,
        seed: Seed,
        password: str,
        *,
        executor: Executor | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seed = seed
        self._password = password
        self._executor = executor
        self._monotonic = monotonic
        self._client: Any = None  # imapclient has no types
        self._places: dict[str, _Place] = {}
        self._busy = threading.Lock()
        self._failures = 0
        self._problem = ""
        self._retry_at = 0.0

    @property
    def mailbox(self) -> str:
        return self._seed.mailbox

    @property
    def provider(self) -> Provider:
        return Provider(self._seed.provider)

    async def new_mail(self) -> AsyncIterator[FoundMail]:
        """As core.ports.MailboxSource.new_mail."""
        if self._monotonic() < self._retry_at:
            raise Unavailable(self._problem)
        for _ in range(MAX_ROUNDS):
            batch = await self._in_thread(self._look)
            for validity, found in batch:
                yield found
                self._remember(found, validity)
            if len(batch) < MAX_MAILS:
                return

    async def close(self) -> None:
        """Log out.  The mailbox can be looked into again."""
        await self._in_thread(self._drop)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor or _Pool.get(), work)

    def _remember(self, found: FoundMail, validity: int) -> None:
        name = found.folder.partition("#")[0]
        place = self._places.get(name)
        if place is None or place.validity != validity:
            self._places[name] = _Place(validity, found.uid)
        else:
            place.last = max(place.last, found.uid)

    # --- in the thread ---------------------------------------------------------------------------
    def _look(self) -> list[tuple[int, FoundMail]]:
        with self._busy:
            fresh = self._client is None
            try:
                try:
                    found = self._look_once()
                except (IMAPClientError, OSError) as error:
                    if fresh or isinstance(error, LoginError):
                        raise
                    # a connection that lay idle was closed by the other side: that alone is no failure
                    self._disconnect()
                    found = self._look_once()
            except (IMAPClientError, imaplib.IMAP4.error, OSError, ValueError) as error:
                self._disconnect()
                raise self._failed(error) from None  # the cause may hold the command line with the password
            self._failures = 0
            self._retry_at = 0.0
            return found

    def _failed(self, error: Exception) -> Unavailable:
        login = isinstance(error, LoginError)
        self._failures += 1
        first = _WAIT_LOGIN if login else _WAIT_FIRST  # providers lock an account that keeps on guessing
        self._retry_at = self._monotonic() + min(first * 2 ** (self._failures - 1), _WAIT_MOST)
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if self._password:
            text = text.replace(self._password, "***")
        what = "the login was refused" if login else "cannot be looked into"
        self._problem = f"{self._seed.mailbox} at {self._seed.host}: {what}: {text}"
        return Unavailable(self._problem)

    def _look_once(self) -> list[tuple[int, FoundMail]]:
        client = self._connected()
        found: list[tuple[int, FoundMail]] = []
        for folder in choose_folders(client.list_folders()):
            found += self._look_into(client, folder)
        return found

    def _connected(self) -> Any:
        if self._client is not None:
            return self._client
        seed = self._seed
        context = None if seed.security == "none" else _context(seed)
        client = IMAPClient(
            seed.host,
            port=seed.port,
            ssl=seed.security == "tls",
            ssl_context=context,
            timeout=SocketTimeout(connect=_CONNECT_SECONDS, read=_ANSWER_SECONDS),
        )
        try:
            client.normalise_times = False
            if seed.security == "starttls":
                client.starttls(context)
            client.login(seed.user, self._password)
        except BaseException:
            _shut(client)
            raise
        self._client = client
        return client

    def _look_into(self, client: Any, folder: Folder) -> list[tuple[int, FoundMail]]:
        try:
            state = client.select_folder(folder.name, readonly=True)  # EXAMINE
        except IMAPClientError as error:
            if folder.name.upper() == "INBOX" or isinstance(error, imaplib.IMAP4.abort):
                raise
            return []  # a folder that cannot be opened says nothing; INBOX must open
        validity = int(state.get(b"UIDVALIDITY", 0))
        uids = self._new_uids(client, folder, validity, state)
        tabs = _gmail_tabs(client, uids) if folder.name.upper() == "INBOX" and uids else {}
        found = []
        for uid, headers in _headers(client, uids):
            name = f"{folder.name}#{tabs[uid]}" if uid in tabs else folder.name
            found.append((validity, FoundMail(uid=uid, folder=name, junk=folder.junk, headers=headers)))
        return found

    def _new_uids(self, client: Any, folder: Folder, validity: int, state: dict[bytes, Any]) -> list[int]:
        place = self._places.get(folder.name)
        if not int(state.get(b"EXISTS", 0)):
            return []
        if place is not None and place.validity == validity:
            if state.get(b"UIDNEXT") == place.last + 1:
                return []
            # `n:*` always names the last mail, even when its UID is below n (RFC 3501 section 6.4.8)
            uids = client.search(["UID", f"{place.last + 1}:*"])
            return sorted(uid for uid in uids if uid > place.last)[:MAX_MAILS]
        begin = max(1, int(state.get(b"UIDNEXT", 1)) - 4 * FIRST_LOOK)
        return sorted(client.search(["UID", f"{begin}:*"]))[-FIRST_LOOK:][:MAX_MAILS]

    def _drop(self) -> None:
        with self._busy:
            client, self._client = self._client, None
            if client is not None:
                try:
                    client.logout()
                except (IMAPClientError, OSError):
                    _shut(client)

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            _shut(client)


def _shut(client: Any) -> None:
    with contextlib.suppress(IMAPClientError, OSError):  # it may be closed already
        client.shutdown()


def _context(seed: Seed) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(seed.ca_file) if seed.ca_file else None)


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
