"""Seed placement in the event vocabulary: what was sent to mailboxes of ours, where it lay, and what a test came to.

A test is one copy of a mail to each seed.  What became of a copy is read from the log: MISSING is said of a mail only
that its host took over and that lies nowhere; what was never sent, was put off or refused has an outcome of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.lane import Attribution
from core.terms import Placement
from core.tokens import MessageId


class SeedOutcome(StrEnum):
    """What became of one copy."""

    INBOX = "inbox"
    TAB = "tab"  # delivered beside the inbox: promotions, newsletters
    SPAM = "spam"
    ABSENT = "absent"  # its host took it over, and it lies nowhere
    REJECTED = "rejected"  # refused in the session
    DEFERRED = "deferred"  # put off at its last attempt
    NOT_SENT = "not_sent"  # no attempt was made: suppressed, held by a gate, dropped
    UNKNOWN = "unknown"  # taken over, but nobody can look into the mailbox
    WAITING = "waiting"  # the test is under way


PLACED = (SeedOutcome.INBOX, SeedOutcome.TAB, SeedOutcome.SPAM)
MISSING = (SeedOutcome.ABSENT, SeedOutcome.REJECTED, SeedOutcome.DEFERRED, SeedOutcome.NOT_SENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFacts:
    """What the receiving host wrote on a copy.  `authserv` '' means that nobody trusted gave results.

    Results are words of RFC 8601 ('pass', 'fail', 'none' …), '' when not given.  `filters` are (name, value) pairs
    such as ('SCL', '5'); `hops` counts Received lines."""

    authserv: str = ""
    spf: str = ""
    dkim: str = ""
    dmarc: str = ""
    arc: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    hops: int = 0


NO_FACTS = SeedFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedPlaced:
    """A seed mail's outcome.  `seconds` from our 250 to the last Received line, -1 when missing or unknown."""

    at: float
    message_id: MessageId
    mailbox: str
    attribution: Attribution
    placement: Placement
    folder: str
    seconds: float
    facts: SeedFacts = NO_FACTS


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedMoved:
    """A seed mail lies elsewhere now: its host moved it after it was placed, each place told once.

    `seconds` from its first sight to its sight in the new place.  Figures count where it lay first."""

    at: float
    message_id: MessageId
    mailbox: str
    before: Placement
    placement: Placement
    folder: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedBlind:
    """A seed mailbox cannot be looked into; `login`: its login was refused, which does not pass by itself."""

    at: float
    mailbox: str
    provider: str
    problem: str
    login: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSighted:
    """A seed mailbox that was blind can be looked into again."""

    at: float
    mailbox: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCopy:
    """One copy of a test.  `message_id` '' when it was not taken over: `reason` says why."""

    mailbox: str
    provider: str
    message_id: MessageId
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementStarted:
    """A test was sent.  `name` is that of its schedule, '' for one by hand; `by` who wanted it."""

    at: float
    test_id: str
    name: str
    stream: str
    campaign: str
    sending_domain: str
    subject: str
    by: str
    copies: tuple[SeedCopy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedMove:
    """Where a copy was moved to, `seconds` after it was first seen or less."""

    outcome: SeedOutcome
    folder: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """What one copy came to.  `seconds` as in SeedPlaced; `detail` the folder, or the reply that put it off; `moves`
    what its host did with it afterwards, which changes no figure."""

    mailbox: str
    provider: str
    outcome: SeedOutcome
    detail: str = ""
    seconds: float = -1.0
    facts: SeedFacts = NO_FACTS
    moves: tuple[SeedMove, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementTested:
    """A test came to its end: every copy has an outcome (none is WAITING)."""

    at: float
    test_id: str
    name: str
    stream: str
    campaign: str
    sending_domain: str
    started_at: float
    results: tuple[SeedResult, ...]
