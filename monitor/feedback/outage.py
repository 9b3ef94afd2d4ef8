"""Is it the addresses that are dead, or the provider's directory?  Pure.

A provider that loses its user database calls everybody unknown, and senders who believe it empty their lists.  A place
(`provider:gmail`, `site:mx.example`) is thought to be out when, within the window, at least `refusals` recipients and
`share` of all were unknown there although in the seven days before, of at least `history` answers, no more than
`past_share` were.  A list that was bad from the start has no such past: it is judged as always.
The guard over a place goes down when half of the last answers are deliveries again, or after `hours`.
Bounded: a window keeps at most MOST addresses a place; places are forgotten when their window is empty.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from config.model import Suppression as Policy
from core.lane import HOUR

MOST = 50_000  # addresses of one place's window; beyond that the oldest are no longer lifted
SAMPLES = 5
_LAST = 10  # answers that speak for the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Answers at a place in the days before."""

    refused: int
    answered: int


@dataclass(slots=True, kw_only=True)
class Place:
    """What happened at one place within the window; `up_since` is 0 while the guard is down."""

    name: str
    refusals: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=MOST))  # (at, address)
    successes: deque[float] = field(default_factory=lambda: deque(maxlen=MOST))
    last: deque[bool] = field(default_factory=lambda: deque(maxlen=_LAST))  # delivered?
    samples: deque[str] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    up_since: float = 0.0

    def delivered(self, at: float) -> None:
        """A recipient was taken."""
        self.successes.append(at)
        self.last.append(True)

    def refused(self, at: float, address: str, text: str) -> None:
        """A recipient was called unknown."""
        self.refusals.append((at, address))
        self.last.append(False)
        self.samples.appendleft(text[:200])

    def taken_back(self) -> bool:
        """A bounce mail says that a recipient who was taken is unknown after all.  False when none is in the window."""
        if not self.successes:
            return False
        self.successes.pop()
        for index in range(len(self.last) - 1, -1, -1):
            if self.last[index]:
                del self.last[index]
                break
        return True

    def forget(self, before: float) -> None:
        """Drop what left the window."""
        while self.refusals and self.refusals[0][0] < before:
            self.refusals.popleft()
        while self.successes and self.successes[0] < before:
            self.successes.popleft()

    @property
    def idle(self) -> bool:
        """Nothing in the window and no guard up."""
        return not self.refusals and not self.successes and not self.up_since

    @property
    def answered(self) -> int:
        """Answers in the window."""
        return len(self.refusals) + len(self.successes)


def suspicious(place: Place, policy: Policy) -> bool:
    """True when the window alone looks like an outage: now its past decides."""
    many = len(place.refusals) >= policy.outage_refusals
    return not place.up_since and many and len(place.refusals) >= policy.outage_share * place.answered


def is_outage(past: Past, policy: Policy) -> bool:
    """True when a suspicious place was good before."""
    return past.answered >= policy.outage_history and past.refused <= policy.outage_past_share * past.answered


def is_over(place: Place, policy: Policy, now: float) -> str:
    """Why the guard goes down, '' while it stays up."""
    if not place.up_since:
        return ""
    if len(place.last) == _LAST and sum(place.last) * 2 >= _LAST:
        return "recipients are known again"
    if now - place.up_since >= policy.outage_hours * HOUR:
        return f"no proof either way within {policy.outage_hours:g} hours"
    return ""
