"""Ports for rates that all senders share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.gcra import Rate


class Rates(Protocol):
    """Buckets (core.gcra) by name, common to every process and node."""

    async def take(self, wanted: Sequence[tuple[str, Rate]], units: int, now: float) -> tuple[int, dict[str, float]]:
        """Take up to `units` from every one of these buckets alike, in one transaction.

        How many were granted, and each bucket as it is afterwards."""
        ...

    async def give_back(self, wanted: Sequence[tuple[str, Rate]], units: int) -> None:
        """Units that were granted and not used."""
        ...

    async def look(self) -> Mapping[str, float]:
        """Every bucket that is known."""
        ...

    async def prune(self, before: float) -> int:
        """Forget buckets that owe nothing since then.  How many."""
        ...
