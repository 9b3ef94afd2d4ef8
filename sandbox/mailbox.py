"""Seed mailboxes of the sandbox: what the IMAP server serves, filled by the providers.

Contract: mail for an address that has a mailbox is put into INBOX or the junk folder, as the verdict says, below the
header fields that a receiving host adds (Return-Path, Received, Authentication-Results).  UIDs rise within a folder;
UIDVALIDITY is given at the start, so that a client notices that an earlier life's mail is gone (RFC 3501 section
2.3.1.1).  A folder keeps its newest 500 messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.auth import Authenticator
from sandbox.behaviour import Behaviour
from sandbox.feedback import date_of
from sandbox.host import Taken

MAX_KEPT = 500
INBOX = "INBOX"


@dataclass(slots=True)
class StoredMail:
    """One message in a folder."""

    uid: int
    at: float
    content: bytes
    seen: bool = False

    @property
    def header(self) -> bytes:
        """The header block with its empty line."""
        return self.content[: self.content.find(b"\r\n\r\n") + 4]


@dataclass(slots=True)
class Folder:
    """`name` in Unicode; `attribute` is a SPECIAL-USE flag such as '\\Junk', or ''."""

    name: str
    attribute: str = ""
    mails: list[StoredMail] = field(default_factory=list)
    next_uid: int = 1

    def add(self, content: bytes, at: float) -> None:
        self.mails.append(StoredMail(uid=self.next_uid, at=at, content=content))
        self.next_uid += 1
        del self.mails[:-MAX_KEPT]


class Mailbox:
    """One account with the folders of its provider."""

    def __init__(self, address: str, password: str, behaviour: Behaviour, uid_validity: int) -> None:
        self.address = address
        self.password = password
        self.uid_validity = uid_validity
        self.junk_name = behaviour.folders.junk
        self.folders = {INBOX: Folder(INBOX), self.junk_name: Folder(self.junk_name, "\\Junk")}
        for name, attribute in behaviour.folders.others.items():
            self.folders[name] = Folder(name, attribute)
        self.watchers: set[Callable[[], None]] = set()

    def folder(self, name: str) -> Folder | None:
        """INBOX in any case, others exactly (RFC 3501 section 5.1)."""
        return self.folders.get(INBOX if name.upper() == INBOX else name)

    def put(self, content: bytes, at: float, *, junk: bool) -> None:
        """Store a message and tell those who watch."""
        self.folders[self.junk_name if junk else INBOX].add(content, at)
        for watcher in list(self.watchers):
            watcher()


class SeedMailboxes:
    """Every seed mailbox; a Keeper of the providers' hosts."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._boxes: dict[str, Mailbox] = {}

    def open(self, address: str, password: str, behaviour: Behaviour, uid_validity: int) -> Mailbox:
        """Make a mailbox."""
        box = self._boxes[address.lower()] = Mailbox(address, password, behaviour, uid_validity)
        return box

    def get(self, address: str) -> Mailbox | None:
        return self._boxes.get(address.lower())

    def __call__(self, behaviour: Behaviour, taken: Taken) -> None:
        sent = taken.sent
        box = self._boxes.get(sent.recipient.lower())
        if box is None:
            return
        host = behaviour.mx[0]
        results = self._authenticator.check(sent).header(host)
        with_tls = f"ESMTPS ({taken.tls})" if taken.tls else "ESMTP"
        head = (
            f"Return-Path: <{sent.mail_from}>\r\nReceived: from {taken.ehlo} ([{sent.ip}])\r\n"
            f"\tby {host} with {with_tls}\r\n\tfor <{sent.recipient}>; {date_of(sent.at)}\r\n{results}"
        )
        box.put(head.encode() + sent.content, sent.at, junk=taken.verdict.junk)
