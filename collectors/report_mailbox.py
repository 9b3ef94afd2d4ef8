"""Reads bounces, complaints and reports from a mailbox that they are routed to (IMAP, RFC 3501, RFC 6851).

Contract: `look()` hands every mail that is not marked yet to `receive`, one by one, and marks it only when that has
returned: everything the mail says is stored then.  A crash in between hands it over again, which changes nothing twice
(collectors.returnmail).  A mail is never deleted: it is moved to `processed_folder`, or stays and gets the keyword
$PenstockRead.  What cannot be taken ever (too large, refused) is marked $PenstockRefused and stays where it is.
A mail whose message is not settled yet (Unavailable) stays unmarked for the next look.
Bounded: mails a look, bytes a mail, seconds.  Failure: raises Unavailable, which names the mailbox; the next look
connects anew.  The password never appears in a text.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.parser
import email.utils
import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError

from config.model import ReportMailbox as Box
from core.errors import InvalidInput, PenstockError, Unavailable
from core.ports import Clock

T = TypeVar("T")
READ, REFUSED = b"$PenstockRead", b"$PenstockRefused"
MAX_MAILS = 500  # of one look; the rest comes with the next
_CHUNK = 20  # mails in memory at once
_CONNECT_SECONDS, _ANSWER_SECONDS = 15.0, 60.0
_TO_FIELDS = ("delivered-to", "x-original-to", "envelope-to", "to")
_MAX_TO = 20
logger = logging.getLogger("penstock.collectors")


class Receiver(Protocol):
    """collectors.returnmail.ReturnMail."""

    async def receive(self, mail_from: str, rcpt_tos: Sequence[str], content: bytes) -> None: ...


@dataclass(slots=True, kw_only=True)
class Looked:
    """What one look did."""

    read: int = 0
    refused: int = 0
    put_off: int = 0


class ReportMailbox:
    """See the module."""

    def __init__(self, box: Box, password: str, receiver: Receiver, clock: Clock, *, max_size: int) -> None:
        self._box = box
        self._password = password
        self._receiver = receiver
        self._clock = clock
        self._max_size = max_size
        self._busy = threading.Lock()
        self.problem = ""
        self.blind_since = 0.0

    @property
    def name(self) -> str:
        return self._box.name

    async def look(self) -> Looked:
        """Take in what is new.  Raises Unavailable when the mailbox cannot be read."""
        done = Looked()
        try:
            client = await self._in_thread(self._connect)
            try:
                await self._drain(client, done)
            finally:
                await self._in_thread(lambda: _shut(client))
        except (IMAPClientError, OSError, ssl.SSLError, ValueError) as error:
            self.problem = f"{self._box.name}: {str(error).replace(self._password, '…')[:200]}"
            self.blind_since = self.blind_since or self._clock.now()
            raise Unavailable(self.problem) from error
        self.problem, self.blind_since = "", 0.0
        return done

    async def _drain(self, client: Any, done: Looked) -> None:
        uids = await self._in_thread(lambda: self._new(client))
        for start in range(0, len(uids), _CHUNK):
            part = uids[start : start + _CHUNK]
            for uid, content in await self._in_thread(lambda part=part: self._fetch(client, part)):  # type: ignore[misc]
                verdict = await self._hand_over(content)
                if verdict is None:
                    done.put_off += 1
                    continue
                done.read += verdict
                done.refused += not verdict
                await self._in_thread(lambda uid=uid, good=verdict: self._mark(client, uid, good=good))  # type: ignore[misc]

    async def _hand_over(self, content: bytes | None) -> bool | None:
        """True: stored.  False: never to be taken.  None: later."""
        if content is None:
            logger.warning("report mailbox %s: a mail is larger than %d bytes", self._box.name, self._max_size)
            return False
        headers = email.parser.BytesHeaderParser().parsebytes(content[:65_536])
        named = [str(value)[:2000] for field in _TO_FIELDS for value in headers.get_all(field, [])][:_MAX_TO]
        to = [address for _, address in email.utils.getaddresses(named) if address][:_MAX_TO]
        sender = str(headers.get("return-path") or "").strip().strip("<>")[:320]
        try:
            await self._receiver.receive(sender, [one[:320] for one in to], content)
        except InvalidInput as error:
            logger.warning("report mailbox %s: a mail is refused: %s", self._box.name, error)
            return False
        except PenstockError:
            return None
        except Exception:  # an error of ours with this mail must not keep all others from being read
            logger.exception("report mailbox %s: a mail could not be read", self._box.name)
            return None
        return True

    # --- in a thread -------------------------------------------------------------------------------
    async def _in_thread(self, work: Callable[[], T]) -> T:
        def alone() -> T:
            with self._busy:
                return work()

        return await asyncio.to_thread(alone)

    def _connect(self) -> Any:
        box = self._box
        context = ssl.create_default_context(cafile=str(box.ca_file) if box.ca_file else None)
        client = IMAPClient(
            box.host, box.port, ssl=box.security == "tls", ssl_context=context if box.security == "tls" else None,
            timeout=SocketTimeout(connect=_CONNECT_SECONDS, read=_ANSWER_SECONDS),
        )  # fmt: skip
        try:
            if box.security == "starttls":
                client.starttls(context)
            client.login(box.user, self._password)
            self._open(client)
        except BaseException:
            _shut(client)
            raise
        return client

    def _open(self, client: Any) -> None:
        state = client.select_folder(self._box.folder)
        flags = state.get(b"PERMANENTFLAGS", ())
        if b"\\*" not in flags and not {READ, REFUSED} <= set(flags):
            raise ValueError("the folder takes no keywords, so nothing can be marked as read there")
        target = self._box.processed_folder
        if target and not client.folder_exists(target):
            client.create_folder(target)

    def _new(self, client: Any) -> list[int]:
        found = client.search(["UNKEYWORD", READ.decode(), "UNKEYWORD", REFUSED.decode(), "UNDELETED"])
        return sorted(found)[:MAX_MAILS]

    def _fetch(self, client: Any, uids: Sequence[int]) -> list[tuple[int, bytes | None]]:
        sizes = client.fetch(uids, ["RFC822.SIZE"])
        fit = [uid for uid in uids if sizes.get(uid, {}).get(b"RFC822.SIZE", 0) <= self._max_size]
        bodies = client.fetch(fit, ["BODY.PEEK[]"]) if fit else {}
        found: list[tuple[int, bytes | None]] = []
        for uid in uids:
            if uid not in sizes:
                continue  # it vanished meanwhile
            content = bodies.get(uid, {}).get(b"BODY[]")
            if uid not in fit or isinstance(content, bytes):
                found.append((uid, content if uid in fit else None))
        return found

    def _mark(self, client: Any, uid: int, *, good: bool) -> None:
        # the keyword comes first: should the move fail, nothing is handed over again
        client.add_flags([uid], [READ if good else REFUSED])
        if good and self._box.processed_folder:
            if client.has_capability("MOVE"):
                client.move([uid], self._box.processed_folder)
            else:
                client.copy([uid], self._box.processed_folder)


def _shut(client: Any) -> None:
    try:
        client.logout()
    except (IMAPClientError, OSError):
        with contextlib.suppress(IMAPClientError, OSError):
            client.shutdown()
