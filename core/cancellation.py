"""Taking queued mail back: what one portion of a cancellation did, and the port that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from core.lane import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """`ended` messages are Dropped now; `held` are in a sender's hands and are sent or come back in a moment.

    Of more than a portion holds, `held` is not told (0)."""

    ended: int
    held: int


class Cancelling(Protocol):
    """Queued mail of a scope ends as Dropped (cancelled), a bounded portion in a transaction."""

    async def portion(self, scope: Scope, *, before: float, now: float, detail: str, limit: int) -> Portion:
        """End at most `limit` messages of the scope that were accepted until `before` and that nobody holds.

        The scope's source and pool are not looked at: queued mail has none yet.  Mail without a route lies in no
        provider or site."""
        ...
