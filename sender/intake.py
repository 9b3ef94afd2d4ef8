"""Intake: what may come in, and the moment it becomes ours.

Contract: `submit` returns only after the durable commit.  Each recipient is answered for itself: accepted,
suppressed (and why), over frequency, or invalid (and why); one bad recipient never fails the others.  Nothing is
accepted from a sender domain that is not ours.  An idempotency key that was seen answers as it did the first time, and
refuses another message (sender.remembered).
Whatever would make a message impossible to compose later (a missing variable, a header that cannot be read, a line
that SMTP cannot carry) is refused here, where the caller still listens.
Raises InvalidInput when the message itself cannot be taken, Unavailable when storage cannot commit.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from config.model import Settings, StreamSettings
from core.acceptor import Acceptor
from core.address import Address, normal_domain, parse_address
from core.errors import InvalidInput, LimitExceeded, OverFrequency, StorageConflict, Unavailable
from core.events import Accepted, Event, IntakeRefused
from core.lane import Campaign, Pool, Provider, SendingDomain, Site, Stream, day_of
from core.messages import Body, FrequencyCap, Submission
from core.ports import Clock, Frequencies, Idempotency, Suppressions
from core.recipient import EVERY_OPTIONAL, topic_scope
from core.state import Suppression
from core.tokens import new_message_id
from sender.compose import check_template
from sender.headers import split_mailbox
from sender.injection import (
    AnswerStatus,
    Injection,
    RecipientAnswer,
    RecipientIn,
    body_of,
    check_notes,
    check_variables,
    encoded_text,
    from_header,
    with_from,
)
from sender.notices.order import order_of
from sender.remembered import check_key, recall, remember
from sender.routebook import no_way

__all__ = ["AnswerStatus", "Injection", "Intake", "Overloaded", "RecipientAnswer", "RecipientIn"]

MAX_RECIPIENTS = 10_000  # in one call
MAX_NAME = 100  # characters of a campaign's name
MAX_AHEAD = 366 * 86400.0  # seconds that a message may be scheduled ahead
_SOON = 1.0  # seconds: mail of one call is due together, or nearly so
_YIELD_EVERY = 250  # recipients handled before other tasks get a turn


class Overloaded(Unavailable):
    """The queue is full; the caller should try again after `retry_after` real seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The queue is full. Send again in {retry_after} seconds")
        self.retry_after = retry_after


class Intake:
    """The door of the sending core.  `backlog()` gives queued recipients; above `max_queued` calls are put off.

    `on_accepted()` is called after each commit (the dispatcher's `wake`); `way` is RouteBook's."""

    def __init__(
        self,
        *,
        queue: Acceptor,
        suppressions: Suppressions,
        idempotency: Idempotency,
        clock: Clock,
        settings: Settings,
        frequencies: Frequencies | None = None,
        backlog: Callable[[], int] = lambda: 0,
        on_accepted: Callable[[], None] = lambda: None,
        way: Callable[[str, str], tuple[Provider, Site]] = no_way,
        max_queued: int = 5_000_000,
    ) -> None:
        self._queue = queue
        self._suppressions = suppressions
        self._idempotency = idempotency
        self._clock = clock
        self._settings = settings
        self._frequencies = frequencies
        self._backlog = backlog
        self._on_accepted = on_accepted
        self._way = way
        self._max_queued = max_queued
        self._urgent = frozenset(settings.transactional)
        self._ours = [normal_domain(row.name) for row in settings.sending_domains]
        # a placement test is no reader to be tired
        self._uncapped = frozenset(seed.mailbox.lower() for seed in settings.seeds.mailboxes)
        self._refusals: Counter[tuple[str, AnswerStatus]] = Counter()

    @property
    def refusals(self) -> dict[tuple[str, AnswerStatus], int]:
        """Recipients that were not taken over since the start, by stream and why."""
        return dict(self._refusals)

    async def submit(self, injection: Injection) -> list[RecipientAnswer]:
        """Take over what can be taken over.  See the module for the contract."""
        # a campaign that fills the queue must not keep receipts out: the last tenth is theirs
        if self._backlog() >= self._max_queued * (1.1 if injection.stream in self._urgent else 1.0):
            raise Overloaded(retry_after=30)
        injection = with_from(injection)
        if injection.idempotency_key:
            check_key(injection.idempotency_key)
            before = await self._idempotency.get(injection.idempotency_key)
            if before is not None:
                return recall(before, injection)
        stream = self._stream(injection)
        sending_domain = self.sending_domain(injection)
        check_notes(injection)
        body = body_of(injection, self._clock.now())
        addresses, answers = await self._addresses(injection, body)
        # `*` stands for streams that come later: whoever wanted none of them is not asked again for a new one
        also = [*filter(None, [topic_scope(stream.name, injection.topic)]), *([EVERY_OPTIONAL] * stream.unsubscribe)]
        suppressed = await self._suppressions.check(
            {a.normal for a in addresses if a is not None}, stream.name, also=also
        )
        now = self._clock.now()
        cap = self._cap(injection, stream, [a for a in addresses if a is not None and a.normal not in suppressed], now)
        over = await self._queue.over_frequency(cap) if cap is not None else frozenset()
        wanted = {a.normal for a in addresses if a is not None and a.normal not in suppressed} - over - self._uncapped
        asked = self._frequencies if stream.unsubscribe else None
        due = max(now, injection.not_before or now)  # when it is to come, which is what its reader counts
        chosen = await asked.take(wanted, stream.name, due) if asked is not None else {}
        try:
            while True:
                try:
                    return await self._take_over(
                        injection, stream, sending_domain, body, list(zip(addresses, answers, strict=True)),
                        suppressed, over, chosen, cap, now,
                    )  # fmt: skip
                except OverFrequency as error:
                    # somebody else mailed them since the look: each turn refuses at least one more
                    over |= error.addresses
        except BaseException:
            if asked is not None:
                await asked.give_back(wanted - chosen.keys(), stream.name, due)
            raise
        finally:
            if asked is not None and (late := over & wanted):
                await asked.give_back(late, stream.name, due)

    async def _take_over(
        self,
        injection: Injection,
        stream: StreamSettings,
        sending_domain: SendingDomain,
        body: Body,
        checked: Sequence[tuple[Address | None, RecipientAnswer | None]],
        suppressed: Mapping[str, Suppression],
        over: frozenset[str],
        chosen: Mapping[str, int],
        cap: FrequencyCap | None,
        now: float,
    ) -> list[RecipientAnswer]:
        submissions: list[Submission] = []
        events: list[Event] = []
        done: list[RecipientAnswer] = []
        for index, (recipient, (address, answer)) in enumerate(zip(injection.recipients, checked, strict=True)):
            if index % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
            entry = suppressed.get(address.normal) if address is not None else None
            if answer is None and entry is not None:
                answer = RecipientAnswer(
                    address=recipient.address, status=AnswerStatus.SUPPRESSED, reason=str(entry.reason)
                )
            if answer is None and address is not None and address.normal in over:
                answer = RecipientAnswer(
                    address=recipient.address, status=AnswerStatus.OVER_FREQUENCY, reason=_share(stream)
                )
            if answer is None and address is not None and address.normal in chosen:
                answer = RecipientAnswer(
                    address=recipient.address, status=AnswerStatus.OVER_FREQUENCY,
                    reason=f"{stream.name}: the recipient wants at most one in {chosen[address.normal]} days",
                )  # fmt: skip
            if answer is None and address is not None:
                submission = self._submission(injection, stream, sending_domain, body, address, recipient, now)
                submissions.append(submission)
                events.append(_accepted(submission, injection, len(body.content)))
                answer = RecipientAnswer(
                    address=recipient.address, status=AnswerStatus.ACCEPTED, message_id=submission.message_id
                )
            assert answer is not None
            done.append(answer)
            if answer.status is not AnswerStatus.ACCEPTED:
                events.append(_refused(injection, answer, now))
        if cap is not None:
            cap = replace(cap, addresses=cap.addresses - over - chosen.keys())
        answers = await self._commit(injection, body, submissions, events, done, cap)
        self._refusals.update(
            (stream.name, answer.status) for answer in answers if answer.status is not AnswerStatus.ACCEPTED
        )
        return answers

    async def _commit(
        self,
        injection: Injection,
        body: Body,
        submissions: Sequence[Submission],
        events: Sequence[Event],
        answers: list[RecipientAnswer],
        cap: FrequencyCap | None,
    ) -> list[RecipientAnswer]:
        key = injection.idempotency_key
        remembered = (key, remember(injection, answers)) if key else None
        try:
            await self._queue.accept(
                [body] if submissions else [], submissions, events, idempotency=remembered, cap=cap,
                notices=order_of(injection, body, submissions, answers) if injection.asked else None,
            )  # fmt: skip
        except StorageConflict:
            # the same key was committed by a call that ran beside this one: its answer is the answer
            before = await self._idempotency.get(key)
            if before is None:
                raise
            return recall(before, injection)
        # what is due later nobody need look for now: the dispatcher finds it at its next look by itself
        if submissions and submissions[0].not_before <= self._clock.now() + _SOON:
            self._on_accepted()
        return answers

    def _cap(
        self, injection: Injection, stream: StreamSettings, addresses: Sequence[Address], now: float
    ) -> FrequencyCap | None:
        """What counts these addresses, on the day on which they are to be mailed; None when nothing does."""
        counted = frozenset(address.normal for address in addresses) - self._uncapped
        if stream.kind == "transactional" or not (stream.per_day or stream.per_week) or not counted:
            return None
        day = day_of(max(now, injection.not_before or now))
        return FrequencyCap(
            stream=stream.name, day=day, per_day=stream.per_day, per_week=stream.per_week, addresses=counted
        )

    def _stream(self, injection: Injection) -> StreamSettings:
        found = self._settings.stream(injection.stream)
        if found is None:
            known = ", ".join(s.name for s in self._settings.streams)
            raise InvalidInput("stream", f"{injection.stream!r} is not configured", f"Use one of: {known}")
        if injection.topic and not any(
            t.stream == found.name and t.name == injection.topic for t in self._settings.topics
        ):
            raise InvalidInput(
                "topic", f"{injection.topic[:80]!r} is no topic of {found.name}",
                "Add it under [[topics]], or leave it out",
            )  # fmt: skip
        if len(injection.campaign) > MAX_NAME or not injection.campaign.isprintable():
            raise InvalidInput("campaign", "is too long or holds control characters", f"At most {MAX_NAME} characters")
        if injection.pool and not any(pool.name == injection.pool for pool in self._settings.pools):
            known = ", ".join(pool.name for pool in self._settings.pools) or "none is configured"
            raise InvalidInput("pool", f"{injection.pool[:80]!r} is no pool", f"Leave it out, or use one of: {known}")
        at = injection.not_before
        if at is not None and not (math.isfinite(at) and at <= self._clock.now() + MAX_AHEAD):
            raise InvalidInput("send_at", "lies too far ahead", "At most 366 days ahead")
        end = injection.deadline
        if end is not None and not (math.isfinite(end) and end > max(self._clock.now(), at or 0.0)):
            raise InvalidInput("expires_at", "lies in the past, or before send_at", "Give a later instant")
        return found

    def sending_domain(self, injection: Injection) -> SendingDomain:
        """Whose signature it gets.  Raises InvalidInput when From is not ours."""
        sender = injection.parts.get("from") or injection.sender
        if injection.mime is not None:
            sender = from_header(injection.mime)
        if not sender:
            raise InvalidInput("from", "there is no From address", "Give one address of a configured sending domain")
        address = split_mailbox(sender)[1]
        domain = parse_address(address).domain
        wanted = normal_domain(injection.sending_domain) if injection.sending_domain else ""
        # relaxed alignment (RFC 9989): From may lie in a subdomain of the signing domain; the nearest one signs
        fit = [n for n in self._ours if wanted in ("", n) and (domain == n or domain.endswith("." + n))]
        if fit:
            return SendingDomain(max(fit, key=len))
        raise InvalidInput(
            "from",
            f"{domain} is not one of our sending domains" + (f" or not {wanted}" if wanted else ""),
            "Add it under [[sending_domains]], or send from a configured domain",
        )

    async def _addresses(
        self, injection: Injection, body: Body
    ) -> tuple[list[Address | None], list[RecipientAnswer | None]]:
        if not injection.recipients:
            raise InvalidInput("recipients", "the list is empty", "Give at least one address")
        if len(injection.recipients) > MAX_RECIPIENTS:
            raise LimitExceeded("recipients", f"{len(injection.recipients)} in one call", f"At most {MAX_RECIPIENTS}")
        addresses: list[Address | None] = []
        answers: list[RecipientAnswer | None] = []
        seen: set[str] = set()
        parts = json.loads(body.content) if body.kind == "template" else {}
        for index, recipient in enumerate(injection.recipients):
            if index % _YIELD_EVERY == _YIELD_EVERY - 1:
                await asyncio.sleep(0)
            try:
                encoded_text("address", recipient.address)
                address = parse_address(recipient.address)
                if address.normal in seen:
                    raise InvalidInput("address", "stands twice in this call", "Send one message to each address")
                check_variables(recipient.variables)
                if body.kind == "template":
                    check_template(parts, recipient.variables)
            except InvalidInput as error:
                addresses.append(None)
                answers.append(
                    RecipientAnswer(address=_shown(recipient.address), status=AnswerStatus.INVALID, reason=str(error))
                )
                continue
            seen.add(address.normal)
            addresses.append(address)
            answers.append(None)
        return addresses, answers

    def _submission(
        self,
        injection: Injection,
        stream: StreamSettings,
        sending_domain: SendingDomain,
        body: Body,
        address: Address,
        recipient: RecipientIn,
        now: float,
    ) -> Submission:
        not_before = max(now, now if injection.not_before is None else injection.not_before)
        provider, site = self._way(address.domain, stream.name)
        return Submission(
            message_id=new_message_id(now),
            recipient=str(address),
            stream=Stream(stream.name),
            campaign=Campaign(injection.campaign),
            sending_domain=sending_domain,
            body_id=body.body_id,
            accepted_at=now,
            not_before=not_before,
            expires_at=not_before + stream.max_age_hours * 3600,
            priority=stream.priority,
            provider=provider,
            site=site,
            variables=recipient.variables,
            topic=injection.topic,
            deadline=injection.deadline or 0.0,
            pool=Pool(injection.pool),
            list_source=injection.list_source,
        )


def _accepted(submission: Submission, injection: Injection, size: int) -> Accepted:
    return Accepted(
        at=submission.accepted_at,
        message_id=submission.message_id,
        recipient=submission.recipient,
        stream=submission.stream,
        campaign=submission.campaign,
        sending_domain=submission.sending_domain,
        door=injection.door,
        size=size,
        metadata=injection.metadata,
        list_source=injection.list_source,
        by=injection.by,
    )


def _refused(injection: Injection, answer: RecipientAnswer, now: float) -> IntakeRefused:
    prefix = "" if answer.status is AnswerStatus.INVALID else f"{answer.status}:"
    return IntakeRefused(
        at=now,
        recipient=answer.address,
        stream=injection.stream,
        campaign=injection.campaign,
        door=injection.door,
        reason=prefix + answer.reason,
    )


def _share(stream: StreamSettings) -> str:
    parts = ((stream.per_day, "a day"), (stream.per_week, "in seven days"))
    return f"{stream.name}: at most " + ", ".join(f"{n} {span}" for n, span in parts if n)


def _shown(address: str) -> str:
    """An address that was refused, fit for storage and log."""
    return "".join(c if c.isprintable() else "?" for c in address[:320])
