"""The operator's word as a gate: makers of (Gate, GateChanged).  Pure; the caller stores both in one transaction.

Contract: an operator's pause is a gate of its own (rule `operator`) over any scope; the machine never opens it before
its expiry, and without an expiry only a resume does.  When it expires it opens at once: no probe, the person judged.
`resume` opens any gate, also one that the machine closed; from then on evidence counts anew, so that what was known
does not close it again the next second.  `hold_open` says that no rule closes this scope, or a part of it, before a
moment: an open gate of the operator with an expiry.  A wider scope, which holds other mail too, may still be closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

from core.errors import InvalidInput
from core.events import GateChanged, GateState
from core.lane import Scope, cohort_of
from core.state import Gate
from monitor.guard import OperatorPause, OperatorResume, changed, first, move, new_pause_id

RULE = "operator"
PARTS = tuple(field.name for field in fields(Scope) if field.name != "spare")


def is_closed(gate: Gate) -> bool:
    """True unless the gate is open: paused, stopped, probing or slowed."""
    return gate.state is not GateState.OPEN


def pause(
    scope: Scope, before: Gate | None, *, now: float, until: float, reason: str, by: str
) -> tuple[Gate, GateChanged]:
    """Close `scope` until `until` (0: until somebody resumes).

    `before` is the operator's gate over this scope as stored, if there is one; when it is closed already, the new
    terms replace the old in the same episode.  Raises InvalidInput for an expiry that is past.
    """
    if until and until <= now:
        raise InvalidInput("until", "lies in the past", "Give a later moment, or none to pause until resumed")
    gate = before or first(RULE, scope)
    closed = replace(
        gate, scope=scope, state=move(gate.state, OperatorPause()), since=now, until=until, reason=reason, by=by,
        cause=None, limit=0,
        pause_id=gate.pause_id if is_closed(gate) else new_pause_id(RULE, scope, now),
    )  # fmt: skip
    return closed, changed(gate, closed, None, now)


def hold_open(
    scope: Scope, before: Gate | None, *, now: float, until: float, reason: str, by: str
) -> tuple[Gate, GateChanged]:
    """Keep rules from closing `scope` until `until` (epoch seconds).

    `before` is the operator's own gate over it as stored, if there is one: open.  Raises InvalidInput for an expiry
    that is past, ValueError for a gate that is closed."""
    if until <= now:
        raise InvalidInput("until", "lies in the past", "Give a later moment")
    gate = before or first(RULE, scope)
    if is_closed(gate):
        raise ValueError("resume it first")
    held = replace(
        gate, scope=scope, since=now, until=until, reason=reason, by=by, cause=None, limit=0,
        pause_id=new_pause_id(RULE, scope, now),
    )  # fmt: skip
    return held, changed(gate, held, None, now)


def held_open(gates: Iterable[Gate], now: float) -> list[Scope]:
    """The scopes that persons hold open at `now`."""
    return [gate.scope for gate in gates if gate.rule == RULE and not is_closed(gate) and gate.until > now]


def is_part(part: Scope, whole: Scope) -> bool:
    """True when all mail of `part` is mail of `whole`, as far as their names tell."""
    return all(getattr(whole, name) in ("", getattr(part, name)) for name in PARTS)


def resume(before: Gate, *, now: float, reason: str, by: str) -> tuple[Gate, GateChanged]:
    """Open a gate of whatever rule.  Raises guard.IllegalMove when it is open.

    Evidence counts from this hour on; within the hour of the machine's last move, from that move on.
    """
    same_hour = before.mark >= cohort_of(now)
    opened = replace(
        before, state=move(before.state, OperatorResume()), since=now, until=0.0, reason=reason, by=by, limit=0,
        cause=None, episodes=0, epoch=cohort_of(now),
        base_bad=before.mark_bad if same_hour else 0, base_total=before.mark_total if same_hour else 0,
    )  # fmt: skip
    return opened, changed(before, opened, before.evidence, now)
