"""Blocklists and gates joined: looks, then closes what is listed and opens, by a probe, what is listed no more.

Contract: one gate of rule `listing` over each listed source or sending domain, sparing transactional streams; moves are
`monitor.listing`'s, stored with their event.  A gate that an operator opened stays open until something is listed
anew.  A listing in a zone that went blind still counts: ignorance opens nothing.  A race that is lost is left to the
next look.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from collectors.dns.blocklist import ListingWatch
from collectors.dns.listings import Ledger, Mark
from core.causes import Cause, Why
from core.errors import StorageConflict
from core.events import GateChanged, GateState
from core.lane import Scope, cohort_of
from core.metrics import Metric
from core.ports import Clock, Controls, Counters
from core.state import CounterKey, Gate
from monitor import listing
from monitor.listing import Outcome

logger = logging.getLogger("penstock.blocklists")


class ListingDesk:
    """See the module.  `spare` are the transactional streams, `probe` the messages of a probe."""

    def __init__(
        self,
        *,
        watch: ListingWatch,
        controls: Controls,
        counters: Counters,
        clock: Clock,
        spare: tuple[str, ...],
        probe: int,
    ) -> None:
        self.watch = watch
        self._controls = controls
        self._counters = counters
        self._clock = clock
        self._spare = spare
        self._probe = probe

    async def look(self) -> None:
        """One round."""
        ledger = await self.watch.look()
        now = self._clock.now()
        stored = {gate.scope.key: gate for gate in await self._controls.gates() if gate.rule == listing.RULE}
        holding = self._holding(ledger)
        for scope, marks in holding.items():
            before = stored.get(scope.key)
            await self._put(before, _held(scope, before, marks, now))
        freed = [
            gate
            for key, gate in stored.items()
            if gate.state is not GateState.OPEN and key not in {scope.key for scope in holding}
        ]
        if not freed:
            return
        counters = await self._counters.load(min(gate.epoch or cohort_of(now) for gate in freed))
        for gate in freed:
            moved = listing.step(
                gate, _outcome(counters, gate.scope, gate.epoch), now, limit=self._probe,
                this_hour=_outcome(counters, gate.scope, cohort_of(now)),
            )  # fmt: skip
            await self._put(gate, moved)

    def _holding(self, ledger: Ledger) -> dict[Scope, list[Mark]]:
        """Listings that hold mail, by the scope that they hold."""
        found: dict[Scope, list[Mark]] = {}
        for mark in ledger.listings:
            if mark.weight == "warn":
                continue
            scope = (
                Scope(source=mark.name, spare=self._spare)
                if mark.kind == "source"
                else Scope(sending_domain=mark.name, spare=self._spare)
            )
            found.setdefault(scope, []).append(mark)
        return found

    async def _put(self, before: Gate | None, moved: tuple[Gate, GateChanged] | None) -> None:
        if moved is None:
            return
        gate, event = moved
        try:
            await self._controls.put(gate, event, before.state if before else None)
        except StorageConflict:
            logger.info("the gate over %s was moved by somebody else meanwhile", gate.scope.key)


def _held(scope: Scope, before: Gate | None, marks: list[Mark], now: float) -> tuple[Gate, GateChanged] | None:
    """Close it for these listings; None when it is closed already, or a person opened it in their knowledge."""
    judged = before is not None and before.state is GateState.OPEN and before.by != listing.BY
    news = [mark for mark in marks if not judged or (before is not None and mark.since > before.since)]
    if not news:
        return None
    first = news[0]
    cause = Cause(
        why=Why.LISTED, rule=listing.RULE, zone=first.zone, subject=first.subject, text=first.text[:400],
        messages=len(news) - 1,
    )  # fmt: skip
    return listing.hold(scope, before, now=now, cause=cause, hard=any(mark.weight == "stop" for mark in news))


def _outcome(counters: Mapping[CounterKey, int], scope: Scope, since: int) -> Outcome:
    sums: dict[str, int] = {Metric.ATTEMPTED: 0, Metric.BLOCKED: 0}
    for key, n in counters.items():
        if key.metric in sums and key.attribution.cohort >= since and scope.covers(key.attribution.traffic):
            sums[key.metric] += n
    return Outcome(attempted=sums[Metric.ATTEMPTED], blocked=sums[Metric.BLOCKED])
