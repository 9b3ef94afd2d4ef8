"""Closes the narrowest parts of a scope that alarms, and keeps the books of what was closed apart.  Pure.

Contract: a gate of a rule whose scope names more than the rule's `by` is a narrow one.  While it is not open, and for
the rule's window after it opened again, its mail is judged under it alone and its scope of the rule without it: the
whole is not closed a second time by what a part of it did.  `narrow_scopes` reads that from the gates, so that a
restart and every other projector sees the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from config.tables import Rule
from core.causes import said
from core.events import GateChanged, GateState
from core.lane import DAY, Scope
from core.state import CounterKey, Gate
from monitor import guard
from monitor.localise import beside, culprits
from monitor.rules import Level, RuleTally, Verdict

_PARTS = tuple(field.name for field in fields(Scope) if field.name != "spare")


def is_narrow(scope: Scope, rule: Rule) -> bool:
    """True when the scope names more than the rule groups by."""
    return len([name for name in _PARTS if getattr(scope, name)]) > len(rule.by)


def narrow_scopes(gates: Iterable[Gate], rule: Rule, now: float) -> list[Scope]:
    """The parts that are judged apart under this rule."""
    return [
        gate.scope
        for gate in gates
        if gate.rule == rule.name
        and is_narrow(gate.scope, rule)
        and (gate.state is not GateState.OPEN or now - gate.since < rule.window_days * DAY)
    ]


def close_parts(
    tally: RuleTally,
    counters: Mapping[CounterKey, int],
    stored: Gate | None,
    verdict: Verdict,
    gates: Mapping[tuple[str, str], Gate],
    now: float,
) -> list[tuple[Gate, GateChanged]]:
    """Moves of gates over parts of the verdict's scope; none where the scope itself is the answer.

    The tally keeps the parts apart from here on."""
    rule, whole = verdict.rule, verdict.scope
    if verdict.level is Level.QUIET or is_narrow(whole, rule) or rule.evidence == "window":
        return []
    wanted = guard.wanted(stored or guard.first(rule.name, whole), verdict, now)
    closes = isinstance(wanted, guard.Alarm | guard.HardLimit)
    state = stored.state if stored else GateState.OPEN
    if not (closes and state in (GateState.OPEN, GateState.SLOWED)) and not (
        isinstance(wanted, guard.Warn) and state is GateState.OPEN
    ):
        return []  # only what the guard would do to the whole is done to a part of it
    since = verdict.evidence.since
    # found by what could be reported by now: mail of this hour proves nobody innocent; told in mails, as counted
    found_parts = culprits(whole, tally.ripe_by_traffic(whole, counters, since, now), rule.threshold)
    parts = [
        part
        for part in beside(tally.counts_by_traffic(whole, counters, since), found_parts)
        if (gate := gates.get((part.scope.key, rule.name))) is None or gate.state is GateState.OPEN
    ]
    if not parts:
        return []
    tally.keep_apart([*narrow_scopes(gates.values(), rule, now), *(part.scope for part in parts)], counters)
    moves = []
    for part in parts:
        gate = gates.get((part.scope.key, rule.name)) or guard.first(rule.name, part.scope)
        found = tally.verdict(part.scope, gate, now)
        given = guard.Warn() if not closes else guard.HardLimit() if found.level is Level.HARD else guard.Alarm()
        after, event = guard.apply(gate, given, found, now)
        cause = replace(
            guard.cause_of(given, found), whole=whole.key, rest_bad=part.rest_bad, rest_total=part.rest_total
        )
        reason = said(cause)
        moves.append((replace(after, reason=reason, cause=cause), replace(event, reason=reason, cause=cause)))
    return moves
