"""Reactions to replies: what is in force, what senders tell one another, and the events that say so.

A reaction is a reply rule's action over a scope (core.replyrules has the rules); a rest is what a sender does by itself
after a refusal (sender.schedule).  Both are shared by all sender processes through `Lore` and survive restarts.
Instants are epoch seconds, durations domain seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from core.lane import Scope, Traffic


class ReactionAction(StrEnum):
    """What a rule does to the mail of its scope."""

    STOP = "stop"  # nothing is sent
    SLOW = "slow"  # at most `per_minute` messages, over all sender processes of a node
    ONE_CONNECTION = "one_connection"  # one open connection from each source
    RETUNE = "retune"  # other limits than the provider table's
    ALERT = "alert"  # a person is told, mail goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """A rule's action that is in force, or was.

    From `since` to `until` the action holds; then, with a `probe`, connections grow from one by each delivery until
    `probe` of them `passed`.  `ended` is 0 while it lasts.  `hits` of `answers` replies within `window` seconds made it
    act.
    """

    rule: str
    scope: Scope
    site: str
    action: ReactionAction
    since: float
    until: float
    strikes: int
    hits: int
    answers: int
    window: float
    sample: str
    probe: int = 0
    passed: int = 0
    connections: int = 0
    messages_per_connection: int = 0
    per_minute: float = 0.0
    alert: bool = False
    ended: float = 0.0

    @property
    def key(self) -> str:
        """Its identity in storage, API and commands."""
        return reaction_key(self.rule, self.scope, self.site)

    @property
    def reason(self) -> str:
        """`3 of 1,204 answers in 10 min: 421 4.7.28 …`."""
        return f"{self.hits:,} of {self.answers:,} answers in {self.window / 60:,.3g} min: {self.sample}"

    def covers(self, traffic: Traffic, site: str) -> bool:
        """True when it is about this mail."""
        return self.site in ("", site) and self.scope.covers(traffic)

    def probing(self, now: float) -> bool:
        """True when the action is over and its outcome is being tried."""
        return not self.ended and now >= self.until and self.probe > self.passed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRuleActed:
    """A reply rule began to act on a scope."""

    at: float
    key: str
    rule: str
    action: ReactionAction
    scope: Scope
    site: str
    until: float
    strikes: int
    hits: int
    answers: int
    window: float
    sample: str
    limits: str  # what it allows, in words; '' for stop and alert
    probe: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRuleEnded:
    """A reply rule's action is over: `by` is 'time', 'probe' or an operator's name."""

    at: float
    key: str
    rule: str
    action: ReactionAction
    scope: Scope
    site: str
    by: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRested:
    """Refusals made mail from one source to one site rest until `until`; then it is tried with one connection."""

    at: float
    source: str
    provider: str
    site: str
    until: float
    strikes: int
    reason: str
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What senders know of one (source, site): see sender.schedule.  `site` '' is the source as a whole.

    `troubled` is the moment of the last trouble that counted; a later one replaces an earlier one, and within one the
    `width` only grows and the `strikes` only fall.
    """

    source: str
    site: str
    troubled: float
    until: float
    strikes: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """`n` replies of a `series` that process `writer` heard in the time slice `slot`."""

    writer: str
    series: str
    slot: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What changed since somebody looked."""

    reactions: tuple[Reaction, ...] = ()
    rests: tuple[Rest, ...] = ()
    counts: tuple[Count, ...] = ()


@dataclass(slots=True, kw_only=True)
class Lessons:
    """What one process has to tell the others.  `passed` adds deliveries of a probe to a reaction (key, since)."""

    begun: list[tuple[Reaction, ReplyRuleActed]] = field(default_factory=list)
    passed: dict[tuple[str, float], int] = field(default_factory=dict)
    ended: list[tuple[Reaction, ReplyRuleEnded]] = field(default_factory=list)
    rests: list[tuple[Rest, PairRested | None]] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.begun or self.passed or self.ended or self.rests or self.counts)


class Lore(Protocol):
    """What senders learn from replies, shared by all of them and kept over restarts."""

    async def tell(self, lessons: Lessons, now: float) -> None:
        """Store, in one transaction with the events.

        Of two that begin the same reaction the first is kept; a rest that is known already is merged without an event;
        an end of a reaction that is over already does nothing."""
        ...

    async def news(self, since: float, *, writer: str = "") -> Learned:
        """What was stored at or after `since`; counts of other writers only."""
        ...

    async def everything(self, now: float, *, writer: str) -> Learned:
        """What a process that starts has to know; counts of every writer."""
        ...

    async def in_force(self) -> list[Reaction]:
        """Reactions that are not over, newest first."""
        ...

    async def resting(self, now: float, limit: int = 200) -> list[Rest]:
        """Pairs that rest now, those longest to go first."""
        ...

    async def forget(self, before: float) -> None:
        """Drop counts and ended matters that nobody asked about since `before`."""
        ...


def reaction_key(rule: str, scope: Scope, site: str) -> str:
    """The identity of a rule's reaction over a scope."""
    return f"{rule}/{scope.key}" + (f"/{site}" if site else "")
