"""A piece of work that the timetable runs again and again; whoever offers one needs no more than this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Periodic work for the timetable."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[object]]
