"""Canary: a campaign sends a slice first; the rest waits until the slice's outcomes are known.  Pure.

Contract: the slice is as large as the rules over campaigns need to tell trouble: `slice_size` messages show a rate of
SHOWN times the threshold with good chance.  Admission keeps to the slice by an allowance of its own from the first
message on (warmup.admission), so that nothing depends on how soon the gate is written.  The gate makes the canary
visible, explained and resumable: PROBING while the slice goes out and for `hours` after its last message, then OPEN,
unless a rule has closed a gate over the campaign: then the canary waits for that gate.  A campaign that is smaller than
its slice opens after a day.  An operator's resume opens it at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from config.tables import Rule
from core.causes import Cause, Why, said
from core.events import Accepted, Event, GateChanged, GateState
from core.lane import DAY, HOUR, Scope
from core.metrics import Metric
from core.state import CANARY, CounterKey, Gate
from monitor.guard import BY, changed, new_pause_id

SHOWN = 3.0  # times the threshold: the trouble that a slice must be able to show
_MARGIN = 1.5  # over the mean number of messages that the evidence needs
_FEW = 200
WAITING_FOR_SLICE, WAITING_FOR_OUTCOMES = 0, 1  # Gate.mark_bad of a canary


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Of one stream: messages of a slice, and hours from its last message to the decision."""

    messages: int
    hours: float


class Canaries:
    """The canaries of a projector: campaigns that begin, and how much of each was attempted."""

    def __init__(self, terms: Mapping[str, Terms]) -> None:
        self._terms = terms
        self._begun: set[tuple[str, str]] = set()
        self._attempted: Counter[str] = Counter()

    def clear(self) -> None:
        """Before everything is read again."""
        self._attempted.clear()

    def note(self, event: Event) -> None:
        """Notice the campaign of accepted mail."""
        if isinstance(event, Accepted) and event.campaign and event.stream in self._terms:
            self.meet(event.stream, event.campaign)

    def meet(self, stream: str, campaign: str) -> None:
        """There is mail of this campaign."""
        self._begun.add((stream, campaign))

    def count(self, key: CounterKey, n: int) -> None:
        """Count first attempts."""
        traffic = key.attribution.traffic
        if key.metric == Metric.ATTEMPTED and traffic.campaign and traffic.stream in self._terms:
            self._attempted[scope_of(traffic.stream, traffic.campaign).key] += n

    def moves(self, gates: Mapping[tuple[str, str], Gate], now: float) -> list[tuple[Gate, GateChanged]]:
        """Gates that begin or move.  Asking twice gives the same."""
        found = []
        for stream, campaign in sorted(self._begun):
            if (scope_of(stream, campaign).key, CANARY) not in gates:
                found.append(begin(stream, campaign, self._terms[stream], now))
        self._begun = {(s, c) for s, c in self._begun if (scope_of(s, c).key, CANARY) not in gates}
        for gate in [gate for gate in gates.values() if gate.rule == CANARY]:
            terms = self._terms.get(gate.scope.stream)
            moved = step(gate, terms, self._attempted[gate.scope.key], list(gates.values()), now)
            if moved is not None:
                found.append(moved)
        return found


def slice_size(rules: Iterable[Rule]) -> int:
    """Messages that the most demanding rule over campaigns needs to alarm at SHOWN times its threshold."""
    sizes = [_FEW]
    for rule in rules:
        if rule.action != "pause" or "campaign" not in rule.by or rule.evidence == "window":
            continue
        p0 = rule.threshold
        p1 = min(0.99, SHOWN * p0)
        gain = p1 * math.log(p1 / p0) + (1 - p1) * math.log((1 - p1) / (1 - p0))
        sizes.append(math.ceil(_MARGIN * max(-math.log(rule.false_alarm_chance) / gain, rule.minimum_bad / p1)))
    return max(sizes)


def scope_of(stream: str, campaign: str) -> Scope:
    """The scope of a canary's gate."""
    return Scope(stream=stream, campaign=campaign)


def begin(stream: str, campaign: str, terms: Terms, now: float) -> tuple[Gate, GateChanged]:
    """The gate of a campaign whose first mail was accepted."""
    scope = scope_of(stream, campaign)
    before = Gate(scope=scope, state=GateState.OPEN, pause_id="", rule=CANARY, since=0.0, until=0.0, reason="", by="")
    cause = Cause(why=Why.CANARY_BEGUN, messages=terms.messages)
    gate = replace(
        before, state=GateState.PROBING, pause_id=new_pause_id(CANARY, scope, now), since=now,
        until=now + terms.hours * HOUR, limit=terms.messages, by=BY, mark_bad=WAITING_FOR_SLICE,
        reason=said(cause), cause=cause,
    )  # fmt: skip
    return gate, changed(before, gate, None, now)


def step(
    gate: Gate, terms: Terms | None, attempted: int, gates: Sequence[Gate], now: float
) -> tuple[Gate, GateChanged] | None:
    """What time and outcomes do to a canary; None when nothing changes.  `terms` None: no canary is wanted any more."""
    if gate.state is not GateState.PROBING:
        return None
    if terms is None:
        return _open(gate, Cause(why=Why.CANARY_GONE), now)
    if gate.mark_bad == WAITING_FOR_SLICE:
        if attempted >= gate.limit:
            cause = Cause(why=Why.CANARY_OUT, messages=attempted)
            after = replace(
                gate, mark_bad=WAITING_FOR_OUTCOMES, until=now + terms.hours * HOUR,
                reason=said(cause), cause=cause,
            )  # fmt: skip
            return after, changed(gate, after, None, now)
        if now >= gate.since + terms.hours * HOUR + DAY and not _troubled(gate, gates):
            return _open(gate, Cause(why=Why.CANARY_SMALL, messages=attempted), now)
        return None
    if now < gate.until or _troubled(gate, gates):
        return None
    return _open(gate, Cause(why=Why.CANARY_GOOD, messages=attempted), now)


def _troubled(gate: Gate, gates: Sequence[Gate]) -> bool:
    """A gate that rules closed over some of the campaign's mail."""
    return any(
        other.state is not GateState.OPEN
        and other.rule != CANARY
        and other.scope.stream in ("", gate.scope.stream)
        and other.scope.campaign in ("", gate.scope.campaign)
        and gate.scope.stream not in other.scope.spare
        for other in gates
    )


def _open(gate: Gate, cause: Cause, now: float) -> tuple[Gate, GateChanged]:
    after = replace(gate, state=GateState.OPEN, since=now, until=0.0, limit=0, reason=said(cause), cause=cause, by=BY)
    return after, changed(gate, after, None, now)
