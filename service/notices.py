"""Tells submitters what became of their mail when they asked (RFC 3461): failure, delay, success.

Contract: follows the log with a cursor of its own; a notification is mail like any other: it goes through intake into
the durable queue, under a key, so that each is sent once, whatever is repeated after a crash.  A null return path and
no wish of its own keep it from ever causing another.  Nobody asked: then a turn costs one look.  A submitter who is
suppressed gets none.  Waits of our own choosing make a mail late as well: the submitter wants to know.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from config.model import Settings
from core.classify import BounceClass
from core.errors import InvalidInput
from core.events import Bounced, BounceReceived, Deferred, Delivered, Door, Dropped, DropReason, Event
from core.lane import DAY
from core.notices import NoticeAsk, NoticeCase, Notify
from core.ports import Clock
from core.reply import Reply
from sender.injection import Injection, RecipientAnswer, RecipientIn, body_of
from sender.intake import AnswerStatus, Intake
from sender.notices.order import letter_of
from sender.notices.report import Action, Told, notification
from service.job import Job
from storage.stores import Stores

logger = logging.getLogger("penstock.notices")
SECONDS = 2.0  # real, between turns
KEPT = 30 * DAY  # a bounce mail may come days after the delivery
_CURSOR = "notices"
_WINDOW = 5000  # numbers of the log that are looked at at once
_WANTED = {Action.FAILED: Notify.FAILURE, Action.DELAYED: Notify.DELAY, Action.RELAYED: Notify.SUCCESS}
_EXPIRED = "4.4.7"  # RFC 3463: delivery time expired


class NoticeDesk:
    """See the module.  `tick` is for the timetable, which lets one node of many do it."""

    def __init__(self, settings: Settings, stores: Stores, intake: Intake, clock: Clock) -> None:
        self._stores = stores
        self._intake = intake
        self._clock = clock
        self._reporter = settings.sources[0].ehlo
        self._stream = settings.transactional[0] if settings.transactional else settings.streams[0].name
        self._forget_at = 0.0

    @property
    def jobs(self) -> list[Job]:
        """For the timetable."""
        return [Job(name="delivery notices", seconds=SECONDS, work=self.tick)]

    async def tick(self) -> None:
        """Tell whatever happened since the last turn.  Raises Unavailable; then the next turn goes on from there."""
        notices, counters = self._stores.notices, self._stores.counters
        at, head = await counters.cursor(_CURSOR), await self._stores.log.head()
        if not await notices.any():
            if head > at:
                await counters.commit(_CURSOR, at, head, {}, [])
            return
        while at < head:
            upto = min(head, at + _WINDOW)
            for case in await notices.ended(at, upto):
                told = self._told(case)
                if told is not None:
                    await self._send(case, told)
            await counters.commit(_CURSOR, at, upto, {}, [])
            at = upto
        await self._tell_late()
        now = self._clock.now()
        if now >= self._forget_at:
            self._forget_at = now + DAY / 24
            await notices.forget(now - KEPT)

    async def refused(self, injection: Injection, answers: Sequence[RecipientAnswer]) -> None:
        """Tell at once of recipients that intake did not take while it took others.  Raises as intake does."""
        if injection.asked is None:
            return
        told = [
            Told(
                recipient=answer.address, action=Action.FAILED, original=wished.original,
                status="5.1.3" if answer.status is AnswerStatus.INVALID else "5.7.1",
                diagnostic=f"550 {answer.status}: {answer.reason}",
            )
            for wished, answer in zip(injection.recipients, answers, strict=True)
            if answer.status is not AnswerStatus.ACCEPTED and Notify.FAILURE in wished.notify
        ]  # fmt: skip
        if told:
            now = self._clock.now()
            letter = letter_of(injection, body_of(injection, now), self._intake.sending_domain(injection))
            content = notification(letter, told, reporter=self._reporter, arrived=now, now=now)
            await self._submit(letter.sender, letter.sending_domain, content, f"notice:{letter.letter_id}", {})

    async def _tell_late(self) -> None:
        while cases := await self._stores.notices.late(self._clock.now()):
            for case in cases:
                waiting = await self._stores.queue.find(case.wish.message_id)
                if waiting is None:
                    continue
                last = [
                    line.event
                    for line in await self._stores.log.of_message(case.wish.message_id)
                    if isinstance(line.event, Deferred)
                ][-1:]
                reply, remote, at = (last[0].reply, last[0].remote, last[0].at) if last else (None, "", 0.0)
                until = min(waiting.expires_at, waiting.deadline or waiting.expires_at)
                status = (reply.status if reply and reply.status[:1] == "4" else "") or "4.4.1"
                diagnostic = str(reply) if reply else "no attempt was made yet"
                await self._send(
                    case, self._one(case, Action.DELAYED, status, diagnostic, remote=remote, at=at, until=until)
                )
            await self._stores.notices.told_late([case.wish.message_id for case in cases])

    def _told(self, case: NoticeCase) -> Told | None:
        assert case.logged is not None
        event: Event = case.logged.event
        match event:
            case Delivered():
                told = self._one(
                    case, Action.RELAYED, event.reply.status or "2.0.0", str(event.reply), remote=event.remote,
                    at=event.at,
                )  # fmt: skip
            case Bounced():
                expired = event.bounce_class is BounceClass.EXPIRED
                status = _EXPIRED if expired else _permanent(event.reply)
                told = self._one(case, Action.FAILED, status, str(event.reply), remote=event.remote, at=event.at)
            case BounceReceived(terminal=True):
                told = self._one(case, Action.FAILED, _permanent(event.reply), str(event.reply), at=event.at)
            case Dropped():
                status = "5.7.1" if event.reason is DropReason.SUPPRESSED else "5.6.0"
                told = self._one(case, Action.FAILED, status, f"550 {event.reason}: {event.detail}", at=event.at)
            case _:
                return None
        return told if _WANTED[told.action] in case.wish.notify else None

    def _one(
        self, case: NoticeCase, action: Action, status: str, diagnostic: str, *, remote: str = "", at: float = 0.0,
        until: float = 0.0,
    ) -> Told:  # fmt: skip
        return Told(
            recipient=case.wish.recipient, action=action, status=status, diagnostic=diagnostic,
            original=case.wish.original, remote=remote.split(" ")[0].split("[")[0], attempted_at=at, until=until,
        )  # fmt: skip

    async def _send(self, case: NoticeCase, told: Told) -> None:
        letter, wish = case.letter, case.wish
        if _WANTED[told.action] not in wish.notify:
            return
        content = notification(letter, [told], reporter=self._reporter, arrived=wish.accepted_at, now=self._clock.now())
        about = {"notice": str(told.action), "about": wish.message_id}
        await self._submit(
            letter.sender, letter.sending_domain, content, f"notice:{wish.message_id}:{told.action}", about
        )

    async def _submit(self, to: str, sending_domain: str, content: bytes, key: str, about: dict[str, str]) -> None:
        injection = Injection(
            stream=self._stream, door=Door.INTERNAL, mime=content, sending_domain=sending_domain, metadata=about,
            recipients=(RecipientIn(address=to),), idempotency_key=key, kind="notice",
        )  # fmt: skip
        try:
            (answer,) = await self._intake.submit(injection)
        except InvalidInput as error:  # e.g. the sending domain is no longer ours: nobody will ever send this one
            logger.warning("a notification to %s cannot be sent: %s", to, error)
            return
        if answer.status is not AnswerStatus.ACCEPTED:
            logger.info("a notification to %s is not sent: %s %s", to, answer.status, answer.reason)


def asked_by(sender: str, *, envelope_id: str, full: bool | None, late_after: float) -> NoticeAsk | None:
    """How a submitter asked; None for the null sender, who can be told nothing."""
    if not sender:
        return None
    return NoticeAsk(sender=sender, envelope_id=envelope_id, full=bool(full), late_after=late_after)


def _permanent(reply: Reply) -> str:
    return reply.status if reply.status[:1] == "5" else "5.0.0"
