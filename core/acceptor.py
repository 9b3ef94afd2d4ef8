"""The part of the queue that takes mail over: what the door of the sending core needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from core.events import Event
from core.messages import Body, FrequencyCap, Submission
from core.notices import NoticeOrder


class Acceptor(Protocol):
    """See the module."""

    async def accept(
        self,
        bodies: Sequence[Body],
        submissions: Sequence[Submission],
        events: Sequence[Event],
        *,
        idempotency: tuple[str, str] | None = None,
        cap: FrequencyCap | None = None,
        notices: NoticeOrder | None = None,
    ) -> None:
        """Durable when it returns; `notices` are the wishes of a submitter (RFC 3461).

        `idempotency` is (key, answer): stored in the same transaction.  Raises StorageConflict, storing nothing,
        when the key is known already.  `cap` counts its addresses in the same transaction.  Raises OverFrequency,
        storing nothing, when one of them has had its share."""
        ...

    async def over_frequency(self, cap: FrequencyCap) -> frozenset[str]:
        """Addresses of `cap` that have had their share already: a look, without a promise."""
        ...
