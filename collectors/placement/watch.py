"""Seed placement: where our own mail landed in mailboxes of ours, and what never arrived.

Contract: a mail in a seed mailbox counts when its token (X-Penstock-Token, or the left part of Message-ID) is ours
*and* the log says that this message was delivered to this very mailbox; anything else is somebody else's mail.
Each message is placed once (SeedPlaced); one that was called MISSING and turns up later is placed after all, and one
that turns up in another place within its window was moved (SeedMoved), each place told once.
A mailbox that cannot be looked into gives one SeedBlind until it works again; while it is blind, and until it has been
looked into after a message's window ended, nothing in it is called missing: unknown is not absent.
Nothing in a mailbox is ever changed.  Many mailboxes are looked into at once; one's failure does not touch the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.errors import MessageError
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import parsedate_to_datetime

from collectors.placement.headers import facts_of
from core.address import parse_address
from core.errors import InvalidInput, LoginRefused, Unavailable
from core.events import Delivered, Event, Placement, SeedBlind, SeedMoved, SeedPlaced, SeedSighted
from core.lane import HOUR
from core.ports import Clock, EventLog, MailboxSource
from core.state import FoundMail
from core.tokens import MessageId, Purpose, Token, TokenSigner

MAX_WAITING = 10_000  # mails found before the log knew of their delivery
MAX_OUTSTANDING = 200_000
_PAGE = 2_000
_MAX_PAGES = 2_000  # of the log, looked through once after a start


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A mail of ours that lies in a mailbox before its delivery is in the log."""

    source: MailboxSource
    found: FoundMail
    message_id: MessageId
    since: float


class SeedWatcher:
    """See the module.  `window_hours`: how long after delivery a mail may still turn up.
    `trusted`: authserv-ids by mailbox, in place of its provider's known ones."""

    def __init__(
        self,
        *,
        sources: Sequence[MailboxSource],
        signer: TokenSigner,
        log: EventLog,
        clock: Clock,
        window_hours: float = 48,
        trusted: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._signer = signer
        self._log = log
        self._clock = clock
        self._window = window_hours * HOUR
        self._trusted = dict(trusted or {})
        self._blind: dict[str, SeedBlind] = {}
        self._looked_at: dict[str, float] = {}  # last look that worked, by mailbox
        self._waiting: list[_Waiting] = []
        self._outstanding: dict[MessageId, Delivered] = {}
        self._cursor = -1
        self._restored = False
        self._by_address = {_normal(s.mailbox): s for s in self._sources}

    @property
    def blind(self) -> tuple[SeedBlind, ...]:
        """Mailboxes that cannot be looked into now, with since when and why."""
        return tuple(self._blind.values())

    @property
    def sources(self) -> tuple[MailboxSource, ...]:
        """The mailboxes."""
        return self._sources

    async def look(self) -> None:
        """Look into every mailbox once."""
        await self.settle()
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(self.look_into(source))

    async def settle(self) -> None:
        """Place mails that were found before the log knew of their delivery."""
        for _ in range(len(self._waiting)):
            await self._place(self._waiting[0])  # which puts it behind when it has to wait on
            del self._waiting[0]

    async def look_into(self, source: MailboxSource) -> None:
        """Look into one mailbox once.  Does not raise for what is wrong with the mailbox."""
        if not self._restored:
            await self._restore()
        began = self._clock.now()
        try:
            async for found in source.new_mail():
                message_id = self._ours(found)
                if message_id is not None:
                    await self._place(_Waiting(source, found, message_id, began))
        except Unavailable as error:
            await self._went_blind(source, str(error), login=isinstance(error, LoginRefused))
        else:
            self._looked_at[source.mailbox] = began
            if self._blind.pop(source.mailbox, None) is not None:
                seen = SeedSighted(at=self._clock.now(), mailbox=source.mailbox, provider=source.provider)
                await self._log.append([seen])

    async def _went_blind(self, source: MailboxSource, problem: str, *, login: bool) -> None:
        before = self._blind.get(source.mailbox)
        if before is None or before.login != login:
            event = SeedBlind(
                at=self._clock.now(), mailbox=source.mailbox, provider=source.provider, problem=problem[:500],
                login=login,
            )  # fmt: skip
            self._blind[source.mailbox] = event
            await self._log.append([event])

    async def _restore(self) -> None:
        """What was blind when an earlier process ended is told to be sighted again once it is."""
        self._restored = True
        ours = {source.mailbox for source in self._sources}
        for logged in reversed(await self._log.recent(["SeedBlind", "SeedSighted"], _PAGE)):
            match logged.event:
                case SeedBlind() as event if event.mailbox in ours:
                    self._blind.setdefault(event.mailbox, event)
                case SeedSighted(mailbox=mailbox):
                    self._blind.pop(mailbox, None)
                case _:
                    pass

    def _ours(self, found: FoundMail) -> MessageId | None:
        now = self._clock.now()
        for text in _tokens(found.headers):
            token = self._signer.verify(text, now, Purpose.MESSAGE_ID)
            if isinstance(token, Token):
                return token.message_id
        return None

    async def _place(self, item: _Waiting) -> None:
        source, found = item.source, item.found
        delivered: Delivered | None = None
        story: list[SeedPlaced | SeedMoved] = []
        for logged in await self._log.of_message(item.message_id):
            match logged.event:
                case SeedPlaced(placement=Placement.MISSING):
                    pass
                case SeedPlaced() | SeedMoved() as event:
                    story.append(event)
                case Delivered() as event:
                    delivered = event
                case _:
                    pass
        now = self._clock.now()
        if story:
            if delivered is not None and now - delivered.at <= self._window:
                await self._moved(item, story, now)
            return
        if delivered is None:
            # the remote host stores before our outcome is committed: look again, but not for ever
            if now - item.since < self._window and len(self._waiting) < MAX_WAITING:
                self._waiting.append(item)
            return
        if _normal(delivered.recipient) != _normal(source.mailbox):
            return  # a mail of ours to somebody else that was copied or forwarded here
        placed = SeedPlaced(
            at=now,
            message_id=item.message_id,
            mailbox=source.mailbox,
            attribution=delivered.attribution,
            placement=_placement(found),
            folder=found.folder,
            seconds=_seconds(found.headers, delivered.at, now),
            facts=facts_of(found.headers, source.provider, self._trusted.get(source.mailbox, ())),
        )
        await self._log.append([placed])
        self._outstanding.pop(item.message_id, None)

    async def _moved(self, item: _Waiting, story: Sequence[SeedPlaced | SeedMoved], now: float) -> None:
        """A mail that was placed before was found: in a place where nobody saw it yet?"""
        first, last, place = story[0], story[-1], _placement(item.found)
        known = {event.folder for event in story}
        if item.source.mailbox != first.mailbox or item.found.folder in known or place is last.placement:
            return  # every mail is found again after a restart
        await self._log.append([
            SeedMoved(
                at=now, message_id=item.message_id, mailbox=first.mailbox, before=last.placement, placement=place,
                folder=item.found.folder, seconds=max(0.0, now - first.at),
            )
        ])  # fmt: skip

    async def missing(self, now: float) -> None:
        """Call missing what was delivered longer than the window ago and lies nowhere."""
        await self._follow(now)
        gone: list[Event] = []
        for message_id, delivered in list(self._outstanding.items()):
            source = self._by_address[_normal(delivered.recipient)]
            deadline = delivered.at + self._window
            if now < deadline or source.mailbox in self._blind:
                continue
            if self._looked_at.get(source.mailbox, 0.0) < deadline:
                continue  # nobody has looked since the window ended
            del self._outstanding[message_id]
            gone.append(
                SeedPlaced(
                    at=now,
                    message_id=message_id,
                    mailbox=source.mailbox,
                    attribution=delivered.attribution,
                    placement=Placement.MISSING,
                    folder="",
                    seconds=-1.0,
                )
            )
        if gone:
            await self._log.append(gone)

    async def _follow(self, now: float) -> None:
        """Keep the list of delivered seed mails that have no placement yet."""
        if self._cursor < 0:
            self._cursor = await self._log.head()
            await self._look_back(now)
        while batch := await self._log.read(self._cursor, _PAGE):
            for logged in batch:
                if isinstance(logged.event, SeedPlaced):
                    self._outstanding.pop(logged.event.message_id, None)
                elif isinstance(logged.event, Delivered):
                    self._expect(logged.event)
            self._cursor = batch[-1].seq

    async def _look_back(self, now: float) -> None:
        """After a start: deliveries of the last two windows, newest first, without those that were placed."""
        placed: set[MessageId] = set()
        before = self._cursor + 1
        for _ in range(_MAX_PAGES):
            page = await self._log.recent(["Delivered", "SeedPlaced"], _PAGE, before=before)
            for logged in page:
                if isinstance(logged.event, SeedPlaced):
                    placed.add(logged.event.message_id)
                elif isinstance(logged.event, Delivered) and logged.event.message_id not in placed:
                    self._expect(logged.event)
            if len(page) < _PAGE or page[-1].event.at < now - 2 * self._window:
                return
            before = page[-1].seq

    def _expect(self, delivered: Delivered) -> None:
        if _normal(delivered.recipient) in self._by_address and len(self._outstanding) < MAX_OUTSTANDING:
            self._outstanding[delivered.message_id] = delivered


def _normal(address: str) -> str:
    try:
        return parse_address(address).normal
    except InvalidInput:
        return address.strip().lower()


def _tokens(headers: bytes) -> list[str]:
    """What may be our token: X-Penstock-Token first, then the left part of Message-ID."""
    try:
        block = BytesHeaderParser(policy=compat32).parsebytes(headers)
    except (MessageError, ValueError, LookupError):
        return []
    own = [str(value).strip() for value in block.get_all("X-Penstock-Token", [])]
    ids = [str(value).strip().lstrip("<").partition("@")[0] for value in block.get_all("Message-ID", [])]
    return (own + ids)[:8]


def _placement(found: FoundMail) -> Placement:
    if found.junk:
        return Placement.SPAM
    return Placement.INBOX if found.folder.upper() == "INBOX" else Placement.TAB


def _seconds(headers: bytes, delivered_at: float, now: float) -> float:
    """From our 250 to the last Received line (the first in the block); to now when that line says nothing sane."""
    try:
        block = BytesHeaderParser(policy=compat32).parsebytes(headers)
        moment = parsedate_to_datetime(str(block.get("Received", "")).rpartition(";")[2].strip())
        seconds = moment.timestamp() - delivered_at
    except (MessageError, ValueError, TypeError, LookupError, OverflowError):
        seconds = now - delivered_at
    # the host stamps a mail when its data begins, which may be before our 250; its clock may also be wrong
    if not -HOUR <= seconds <= max(now - delivered_at, 0) + HOUR:
        seconds = now - delivered_at
    return max(0.0, round(seconds, 3))
