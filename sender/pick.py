"""What a line is told to claim next.  Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from core.lane import Traffic
from sender.board import Pile
from sender.limiting.book import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What a line may claim now."""

    pile: Pile
    traffic: Traffic
    pool: str
    bounds: Bounds
    messages: int
    fresh: int
    retries: int
    allowances: tuple[tuple[str, int, int], ...]
    retry_allowances: tuple[tuple[str, int, int], ...]
