"""Whose turn it is at a bucket that several kinds of mail draw from, so that none is starved by a faster asker.

Contract: pure.  A kind that was refused waits; while it waits (it asked within FRESH seconds) no kind of lower urgency,
or of the same that has had more, may go before it.  A newcomer starts level with the one that was served last.  Who
waits and asks no more loses its claim by itself, so nothing can be blocked for long by mail that has gone elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

FRESH = 2.0  # seconds that a refusal is a claim
FORGET = 60.0  # seconds after which a kind that did not ask is a newcomer again
K = TypeVar("K")


@dataclass(slots=True)
class _Party:
    priority: int
    had: float
    asked_at: float
    waits: bool = False


class Turns(Generic[K]):
    """See the module.  Spans are in the caller's seconds times `second` (domain seconds in a real one)."""

    def __init__(self, second: float = 1.0) -> None:
        self._parties: dict[K, _Party] = {}
        self._first: _Party | None = None  # of those who wait; found anew when it does no more
        self._fresh = FRESH * second
        self._forget = FORGET * second
        self._moved = False  # the first has been served: find it anew
        self._sweep_at = 0.0
        self._level: dict[int, float] = {}  # by priority: what the one that was served last had had

    def may(self, kind: K, priority: int, now: float) -> bool:
        """True when nobody who waits goes before this kind."""
        party = self._party(kind, priority, now)
        first = self._first
        if self._moved or (first is not None and not self._claims(first, now)):
            self._moved = False
            waiting = [p for p in self._parties.values() if self._claims(p, now)]
            first = self._first = min(waiting, key=_turn, default=None)
        return first is None or first is party or _turn(party) <= _turn(first)

    def refused(self, kind: K, priority: int, now: float) -> None:
        """It asked and got nothing."""
        party = self._party(kind, priority, now)
        party.waits = True
        if self._first is None or _turn(party) < _turn(self._first):
            self._first = party

    def took(self, kind: K, priority: int, units: int, now: float) -> None:
        """It got so many."""
        party = self._party(kind, priority, now)
        party.waits = False
        self._level[priority] = party.had
        party.had += units
        self._moved = self._moved or party is self._first

    def _claims(self, party: _Party, now: float) -> bool:
        return party.waits and now - party.asked_at <= self._fresh

    def _party(self, kind: K, priority: int, now: float) -> _Party:
        party = self._parties.get(kind)
        if party is None or now - party.asked_at > self._forget:
            if now >= self._sweep_at:
                self._sweep_at = now + self._forget
                self._parties = {k: p for k, p in self._parties.items() if now - p.asked_at <= self._forget}
            party = self._parties[kind] = _Party(priority, self._level.get(priority, 0.0), now)
        party.priority, party.asked_at = priority, now
        return party


def _turn(party: _Party) -> tuple[int, float]:
    return party.priority, party.had
