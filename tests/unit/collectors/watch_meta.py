"""An event log and a Meta store in memory, as far as the watches of DNS use them."""

from __future__ import annotations

from collections.abc import Sequence

from core.events import Event, Logged
from core.tokens import MessageId


class MemoryMeta:
    """core.ports.Meta."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def put(self, name: str, value: str) -> None:
        self.values[name] = value


class MemoryLog:
    """core.ports.EventLog."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def append(self, events: Sequence[Event]) -> None:
        self.events += events

    async def read(self, after: int, limit: int = 2000) -> list[Logged]:
        return [Logged(seq=i, event=e) for i, e in enumerate(self.events, start=1) if i > after][:limit]

    async def head(self) -> int:
        return len(self.events)

    async def of_message(self, message_id: MessageId) -> list[Logged]:
        return []

    async def recent(self, kinds: Sequence[str], limit: int, *, before: int = 0) -> list[Logged]:
        found = [x for x in await self.read(0) if type(x.event).__name__ in kinds and (not before or x.seq < before)]
        return found[::-1][:limit]

    async def of_pause(self, pause_id: str) -> list[Logged]:
        return []

    async def changed(self, timeout: float) -> None:
        return None
