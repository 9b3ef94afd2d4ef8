"""Unsubscribing by token: one click (RFC 8058) and the page.

Contract: the token proves the message; the recipient and stream come from our own log, never from the request.
Suppression and event are one transaction; asking twice changes nothing.  Effect: before the next send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.address import parse_address
from core.events import Accepted, SuppressionReason, Unsubscribed
from core.lane import Attribution
from core.ports import Clock, EventLog, Suppressions
from core.state import Suppression, has_left
from core.tokens import MessageId, Purpose, Token, TokenSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What an unsubscribe link is about."""

    message_id: MessageId
    recipient: str
    stream: str
    attribution: Attribution | None


class Unsubscriber:
    """See the module."""

    def __init__(self, *, signer: TokenSigner, log: EventLog, suppressions: Suppressions, clock: Clock) -> None:
        self._signer = signer
        self._log = log
        self._suppressions = suppressions
        self._clock = clock

    async def find(self, token: str, purpose: Purpose = Purpose.UNSUBSCRIBE) -> Subscription | None:
        """The subscription of a link, None when the token proves nothing."""
        verified = self._signer.verify(token, self._clock.now(), purpose)
        if not isinstance(verified, Token):
            return None
        attribution: Attribution | None = None
        accepted: Accepted | None = None
        for logged in await self._log.of_message(verified.message_id):
            if isinstance(logged.event, Accepted):
                accepted = logged.event
            found = getattr(logged.event, "attribution", None)
            attribution = found if isinstance(found, Attribution) else attribution
        if accepted is None:
            return None
        return Subscription(
            message_id=verified.message_id,
            recipient=accepted.recipient,
            stream=accepted.stream,
            attribution=attribution,
        )

    async def unsubscribe(self, subscription: Subscription, method: Literal["one_click", "page"]) -> bool:
        """Suppress the recipient for the stream.  False when that was so already by a wish that stays."""
        now = self._clock.now()
        address = parse_address(subscription.recipient).normal
        if has_left(await self._suppressions.of_address(address), subscription.stream):
            return False
        entry = Suppression(
            address=address, stream=subscription.stream, reason=SuppressionReason.UNSUBSCRIBE, at=now, evidence=method
        )
        events = (
            [
                Unsubscribed(
                    at=now, message_id=subscription.message_id, recipient=subscription.recipient,
                    attribution=subscription.attribution, method=method,
                )
            ]
            if subscription.attribution is not None
            else []
        )  # fmt: skip
        return await self._suppressions.add([entry], subscription.message_id, events) > 0
