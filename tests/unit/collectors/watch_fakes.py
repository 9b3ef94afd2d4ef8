"""An event log in memory for the collectors' tests: the port's contract without a database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from core.events import Event, Logged
from core.tokens import MessageId


class MemoryLog:
    """EventLog in memory; seq counts from 1."""

    def __init__(self) -> None:
        self.kept: list[Logged] = []

    def all(self) -> list[Event]:
        return [logged.event for logged in self.kept]

    async def append(self, events: Sequence[Event]) -> None:
        for event in events:
            self.kept.append(Logged(seq=len(self.kept) + 1, event=event))

    async def read(self, after: int, limit: int = 2000) -> list[Logged]:
        return [logged for logged in self.kept if logged.seq > after][:limit]

    async def head(self) -> int:
        return len(self.kept)

    async def of_message(self, message_id: MessageId) -> list[Logged]:
        return [e for e in self.kept if getattr(e.event, "message_id", None) == message_id]

    async def recent(self, kinds: Sequence[str], limit: int, *, before: int = 0) -> list[Logged]:
        found = [e for e in reversed(self.kept) if type(e.event).__name__ in kinds and (not before or e.seq < before)]
        return found[:limit]

    async def of_pause(self, pause_id: str) -> list[Logged]:
        return [e for e in self.kept if getattr(e.event, "pause_id", None) == pause_id]

    async def changed(self, timeout: float) -> None:
        await asyncio.sleep(0)
