"""What a recipient wants: topics, frequency, or nothing at all.  Behind the page that mail links to.

Contract: the token proves a message; whose wishes they are comes from our own log, never from the request.  Wishes are
suppressions of the reason `unsubscribe` (core.recipient says what a scope is) and chosen frequencies, so they hold
wherever suppressions hold: at intake and in the claim.  A wish can lift only what was a wish: an address that bounced
or complained stays suppressed.  Leaving is stored before coming back, so a crash between the two sends less, not more.

"Nothing at all" covers every stream that one can unsubscribe from, also later ones; receipts and other streams without
unsubscribing are no matter of wishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.model import Settings
from core.address import parse_address
from core.events import LIFTED_BY_WISH, Event, SuppressionReason, Unsubscribed
from core.ports import Clock, Frequencies, Suppressions
from core.recipient import EVERY_OPTIONAL, topic_scope
from core.state import Suppression
from core.tokens import MessageId, Purpose, TokenSigner
from service.unsubscribe import Subscription, Unsubscriber

SPANS = (0, 7, 30)  # days: every mail, at most one a week, at most one a month
BY = "recipient"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamWish:
    """One stream.  `topics` tells by name whether the recipient gets them; `days` is a value of SPANS or any number."""

    wanted: bool
    topics: Mapping[str, bool]
    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Every stream on offer.  `held`: the address gets nothing for another reason than its own wish."""

    streams: Mapping[str, StreamWish]
    held: SuppressionReason | None = None


class Preferences:
    """See the module."""

    def __init__(
        self,
        *,
        settings: Settings,
        signer: TokenSigner,
        unsubscriber: Unsubscriber,
        suppressions: Suppressions,
        frequencies: Frequencies,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._signer = signer
        self._unsubscriber = unsubscriber
        self._suppressions = suppressions
        self._frequencies = frequencies
        self._clock = clock

    def token(self, message_id: MessageId) -> str:
        """The last part of the page's address."""
        return self._signer.sign(Purpose.PREFERENCES, message_id, self._clock.now())

    async def find(self, token: str) -> Subscription | None:
        """Whose page it is, None when the token proves nothing."""
        return await self._unsubscriber.find(token, Purpose.PREFERENCES)

    async def wishes(self, recipient: str) -> Wishes:
        """What is stored."""
        address = parse_address(recipient).normal
        entries = {entry.stream: entry for entry in await self._suppressions.of_address(address)}
        days = await self._frequencies.choices(address)
        every = entries.get("")
        streams: dict[str, StreamWish] = {}
        for stream in self._settings.streams:
            if not stream.unsubscribe:
                continue
            out = any(scope in entries for scope in ("", EVERY_OPTIONAL, stream.name))
            topics = {
                t.name: not out and topic_scope(t.stream, t.name) not in entries
                for t in self._settings.topics
                if t.stream == stream.name
            }
            streams[stream.name] = StreamWish(wanted=not out, topics=topics, days=days.get(stream.name, 0))
        held = every.reason if every is not None and every.reason is not SuppressionReason.UNSUBSCRIBE else None
        return Wishes(streams=streams, held=held)

    async def save(self, subscription: Subscription, wanted: Mapping[str, StreamWish]) -> None:
        """Store the wishes for the streams that are named; others stay as they are."""
        known = (await self.wishes(subscription.recipient)).streams
        wanted = {name: wish for name, wish in wanted.items() if name in known}
        leave: list[str] = []
        enter: list[str] = []
        for name, wish in wanted.items():
            topics = {topic: wish.topics.get(topic, False) for topic in known[name].topics}
            if not wish.wanted or (topics and not any(topics.values())):
                leave.append(name)
                continue
            enter.append(name)
            for topic, stays in topics.items():
                (enter if stays else leave).append(topic_scope(name, topic))
        if enter:  # "nothing at all" is no more the wish: what was not chosen now is left by its own name
            enter.append(EVERY_OPTIONAL)
            everything = {e.stream for e in await self._entries(subscription)} & {EVERY_OPTIONAL, ""}
            leave += [name for name in known if everything and name not in wanted]
        await self._leave(subscription, leave)
        await self._enter(subscription, enter)
        await self._frequencies.choose(
            parse_address(subscription.recipient).normal, {name: wish.days for name, wish in wanted.items()}
        )

    async def leave_all(self, subscription: Subscription) -> None:
        """Nothing at all from now on."""
        # each stream by name as well: what is queued already is looked for by the name of its stream
        names = [stream.name for stream in self._settings.streams if stream.unsubscribe]
        await self._leave(subscription, [EVERY_OPTIONAL, *names])

    async def _leave(self, subscription: Subscription, scopes: list[str]) -> None:
        now = self._clock.now()
        address = parse_address(subscription.recipient).normal
        known = {entry.stream for entry in await self._entries(subscription) if entry.is_lasting_word}
        new = [scope for scope in dict.fromkeys(scopes) if scope not in known]
        entries = [
            Suppression(
                address=address, stream=scope, reason=SuppressionReason.UNSUBSCRIBE, at=now, evidence="preferences"
            )
            for scope in new
        ]
        events: list[Event] = []
        if subscription.stream in new and subscription.attribution is not None:
            events.append(Unsubscribed(
                at=now, message_id=subscription.message_id, recipient=subscription.recipient,
                attribution=subscription.attribution, method="page",
            ))  # fmt: skip
        if entries:
            await self._suppressions.add(entries, subscription.message_id, events)

    async def _enter(self, subscription: Subscription, scopes: list[str]) -> None:
        wished = {e.stream for e in await self._entries(subscription) if e.reason in LIFTED_BY_WISH}
        address = parse_address(subscription.recipient).normal
        if scopes and "" in wished:
            scopes = ["", *scopes]
        for scope in dict.fromkeys(scopes):
            if scope in wished:
                await self._suppressions.remove(address, scope, BY, self._clock.now())

    async def _entries(self, subscription: Subscription) -> list[Suppression]:
        return await self._suppressions.of_address(parse_address(subscription.recipient).normal)
