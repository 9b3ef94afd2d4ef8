"""Recent replies and reports behind each scope's bad events, for people.  Bounded: KEPT for each scope and rule."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from core.events import Bounced, BounceReceived, ComplaintReceived, Deferred, Event, Evidence
from core.lane import Scope, Traffic
from monitor.counters import counted
from monitor.rules import RuleTally
from monitor.signals import SIGNALS

SAMPLED = (Bounced, BounceReceived, ComplaintReceived, Deferred)
SHOWN = 5
KEPT = 25  # more than are shown: a part of a scope wants its own
_TEXT = 200


class Samples:
    """See the module."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], deque[tuple[Traffic, str]]] = {}

    def keep(self, event: Event, tallies: Mapping[str, RuleTally]) -> None:
        """Remember the event's text under every rule that counts it as bad."""
        match event:
            case Bounced() | BounceReceived() | Deferred():
                text = str(event.reply)
            case ComplaintReceived():
                text = f"{event.feedback_type} report by {event.reporter}"
            case _:
                return
        traffic = event.attribution.traffic
        metrics: set[str] = {metric for _, metric in counted(event)}
        for name, tally in tallies.items():
            if metrics.intersection(SIGNALS[tally.rule.signal].bad):
                scope = tally.scope_of(traffic)
                if scope is not None:
                    kept = self._kept.setdefault((scope.key, name), deque(maxlen=KEPT))
                    kept.appendleft((traffic, text[:_TEXT]))

    def with_evidence(self, evidence: Evidence, scope: Scope, rule: str, kept_under: Scope | None = None) -> Evidence:
        """The evidence with samples of the scope's mail; of a part they may still be `kept_under` the whole."""
        kept = [*self._kept.get((scope.key, rule), ())]
        if kept_under is not None:
            kept += self._kept.get((kept_under.key, rule), ())
        shown = [text for traffic, text in kept if scope.covers(traffic)][:SHOWN]
        return replace(evidence, samples=tuple(shown))

    def forget(self, alive: set[tuple[str, str]]) -> None:
        """Drop the scopes (key, rule) that are gone."""
        self._kept = {key: kept for key, kept in self._kept.items() if key in alive}
