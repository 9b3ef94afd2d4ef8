"""Ports for what recipients do and wish: see `core.ports`, which importers take them from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from core.recipient import Clicked, Opened, OptIn, Origin


class Engagements(Protocol):
    """Opens and clicks, each kind once a message: what was seen before leaves no second event."""

    async def record(self, found: Sequence[Opened | Clicked]) -> int:
        """Append what is new, in one transaction; sets `Clicked.first`.  How many were new."""
        ...

    async def forget(self, before: float) -> int:
        """Drop the memory of what happened before that instant (the events stay).  How many marks."""
        ...


class Consents(Protocol):
    """Requests for consent, and consents."""

    async def request(self, optin: OptIn, *, since: float, most: int) -> bool:
        """Store with its event; False, storing nothing, when the address has `most` requests since that instant."""
        ...

    async def sent(self, optin_id: str, message_id: str) -> None:
        """Which mail asks."""
        ...

    async def find(self, optin_id: str) -> OptIn | None: ...

    async def confirm(self, optin_id: str, at: float, origin: Origin) -> bool:
        """Store the confirmation with its event.  False when it was confirmed before: the first one stays."""
        ...

    async def of_address(self, address: str) -> list[OptIn]:
        """Of one address (normal form), newest first."""
        ...


class Frequencies(Protocol):
    """How often a recipient wants mail of a stream, where he chose."""

    async def choices(self, address: str) -> dict[str, int]:
        """Stream → least days between two messages."""
        ...

    async def choose(self, address: str, days: Mapping[str, int]) -> None:
        """Replace the choices for these streams; 0 removes one."""
        ...

    async def take(self, addresses: Iterable[str], stream: str, now: float) -> dict[str, int]:
        """Count one message for each address (normal form).  Those that may not have one yet, with their days:
        for them nothing is counted.  Atomic on any number of nodes."""
        ...

    async def give_back(self, addresses: Iterable[str], stream: str, now: float) -> None:
        """Undo a `take` of the same instant whose messages were not accepted after all."""
        ...
