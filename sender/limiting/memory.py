"""Buckets in memory: for a sender without a store of its own to share them, as under simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.gcra import Rate, available, given_back, taken


class MemoryRates:
    """core.rate_ports.Rates."""

    def __init__(self) -> None:
        self._tats: dict[str, float] = {}

    async def take(self, wanted: Sequence[tuple[str, Rate]], units: int, now: float) -> tuple[int, dict[str, float]]:
        tats = {name: self._tats.get(name, 0.0) for name, _ in wanted}
        granted = max(0, min([units, *(available(rate, tats[name], now) for name, rate in wanted)]))
        if granted:
            tats = {name: taken(rate, tats[name], now, granted) for name, rate in wanted}
            self._tats |= tats
        return granted, tats

    async def give_back(self, wanted: Sequence[tuple[str, Rate]], units: int) -> None:
        for name, rate in wanted if units > 0 else ():
            self._tats[name] = given_back(rate, self._tats[name], units)

    async def look(self) -> Mapping[str, float]:
        return dict(self._tats)

    async def prune(self, before: float) -> int:
        old = [name for name, tat in self._tats.items() if tat < before]
        for name in old:
            del self._tats[name]
        return len(old)
