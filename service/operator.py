"""The operator's word: pause, resume and suppress, from the API and from the command line alike.

Contract: each call is one transaction that stores the new state with its event; a lost race (the monitor moved the
same gate meanwhile) is tried again on the fresh state.  The names of operators go into the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from config.checks_egress import unknown_names
from config.load import load_providers
from config.model import Settings
from core.address import parse_address
from core.errors import InvalidInput, StorageConflict
from core.events import SuppressionReason
from core.lane import Scope, parse_scope
from core.ports import Clock, Controls, Suppressions
from core.recipient import EVERY_OPTIONAL, topic_scope
from core.state import Gate, Suppression
from monitor import operator as word

_TRIES = 5
_MOST_HOURS = 30 * 24  # whoever wants more switches the rule off


class Operator:
    """See the module.  `spare` are the transactional streams, which a pause leaves alone unless it names them.

    `unknown` tells (problem, remedy) of each name in a scope that the settings do not have; `forbidden` gives the
    scopes of entries that a suppression is made of, or raises InvalidInput (`known_scopes`)."""

    def __init__(
        self,
        *,
        controls: Controls,
        suppressions: Suppressions,
        clock: Clock,
        spare: Sequence[str],
        unknown: Callable[[Scope], Iterable[tuple[str, str]]] = lambda _scope: (),
        forbidden: Callable[[str], Sequence[str]] = lambda scope: (scope,),
    ) -> None:
        self._forbidden = forbidden
        self._unknown = unknown
        self._controls = controls
        self._suppressions = suppressions
        self._clock = clock
        self._spare = tuple(spare)

    def scope(self, text: str, *, everything: bool = False) -> Scope:
        """Read `provider=gmail,stream=bulk` or `all`; `everything` stops transactional mail too."""
        try:
            return parse_scope(text, spare=() if everything else self._spare)
        except ValueError as error:
            raise InvalidInput(
                "scope", str(error), "Write e.g. provider=gmail,stream=bulk, lane=SOURCE|DOMAIN|PROVIDER, or all"
            ) from error

    async def pause(self, scope: Scope, *, by: str, reason: str, hours: float = 0.0) -> Gate:
        """Close the gate over `scope`; `hours` 0 holds until somebody resumes.  The stored gate.

        Raises InvalidInput for a scope that no mail can lie in: a pause that pauses nothing is worse than an error."""
        for problem, remedy in self._unknown(scope):
            raise InvalidInput("scope", problem, remedy)
        if hours < 0:
            raise InvalidInput("hours", "is below 0", "Give 0 (until resumed) or a positive number")
        for _ in range(_TRIES):
            now = self._clock.now()
            before = next(
                (g for g in await self._controls.gates() if g.scope.key == scope.key and g.rule == word.RULE), None
            )
            until = now + hours * 3600 if hours else 0.0
            gate, event = word.pause(scope, before, now=now, until=until, reason=reason, by=by)
            try:
                await self._controls.put(gate, event, before.state if before else None)
            except StorageConflict:
                continue
            return gate
        raise StorageConflict("The gate keeps changing; try again")

    async def resume(self, scope: Scope, *, by: str, reason: str, hours: float = 0.0) -> list[Gate]:
        """Open every closed, slowed or probing gate whose scope is exactly this one.  What was opened.

        With `hours` no rule closes the scope, or a part of it, before so many hours are over; then nothing need be
        closed, and the operator's own gate, which says so, is among the answer."""
        if not 0 <= hours <= _MOST_HOURS:
            raise InvalidInput(
                "hours", f"is not between 0 and {_MOST_HOURS}", "Give 0 (no longer than till new trouble)"
            )
        if hours:
            for problem, remedy in self._unknown(scope):
                raise InvalidInput("scope", problem, remedy)
        for _ in range(_TRIES):
            now = self._clock.now()
            closed = [g for g in await self._controls.gates() if g.scope.key == scope.key and word.is_closed(g)]
            if not closed and not hours:
                raise InvalidInput("scope", f"no gate over {scope.key} is closed", "See penstock status for the scopes")
            opened = []
            try:
                for before in closed:
                    gate, event = word.resume(before, now=now, reason=reason, by=by)
                    await self._controls.put(gate, event, before.state)
                    opened.append(gate)
                if hours:
                    held = await self._hold_open(scope, by, reason, now, hours)
                    opened = [*(gate for gate in opened if gate.rule != word.RULE), held]
            except StorageConflict:
                continue
            return opened
        raise StorageConflict("The gate keeps changing; try again")

    async def _hold_open(self, scope: Scope, by: str, reason: str, now: float, hours: float) -> Gate:
        gates = await self._controls.gates()
        before = next((g for g in gates if g.scope.key == scope.key and g.rule == word.RULE), None)
        gate, event = word.hold_open(scope, before, now=now, until=now + hours * 3600, reason=reason, by=by)
        await self._controls.put(gate, event, before.state if before else None)
        return gate

    async def suppress(
        self, addresses: Sequence[str], *, stream: str, by: str, note: str = "", until: float = 0.0
    ) -> int:
        """Do not mail these again (`stream` '' is every stream; before `until`, 0: never).  How many were new.

        Raises InvalidInput for a scope that no mail can lie in: it would forbid nothing."""
        now = self._clock.now()
        if until and until <= now:
            raise InvalidInput("expires_at", "lies in the past", "Give a later instant, or leave it out")
        scopes = self._forbidden(stream)
        known = dict.fromkeys(parse_address(text).normal for text in addresses)
        entries = [
            Suppression(
                address=address, stream=scope, reason=SuppressionReason.MANUAL, at=now,
                expires_at=until,
                evidence=f"by {by}" + (f": {note[:200]}" if note else ""),
            )
            for address in known
            for scope in scopes
        ]  # fmt: skip
        return min(len(known), await self._suppressions.add(entries))

    async def allow(self, address: str, *, stream: str, by: str) -> bool:
        """Lift a suppression.  False when there was none."""
        normal, now = parse_address(address).normal, self._clock.now()
        gone = await self._suppressions.remove(normal, stream, by, now)
        if stream == EVERY_OPTIONAL:  # what it stood for goes with it; what the person left stays
            for entry in await self._suppressions.of_address(normal):
                if entry.reason is SuppressionReason.MANUAL and entry.stream in self._forbidden(stream):
                    gone = await self._suppressions.remove(normal, entry.stream, by, now) or gone
        return gone


def known_names(settings: Settings) -> Callable[[Scope], Iterable[tuple[str, str]]]:
    """What `Operator` wants for `unknown`."""
    providers = frozenset(row.name for row in load_providers())
    return lambda scope: unknown_names(scope, settings, providers)


def known_scopes(settings: Settings) -> Callable[[str], Sequence[str]]:
    """What `Operator` wants for `forbidden`: '' and the names of streams and topics stand for themselves.

    `*` is each stream that one can leave by its name as well: by that, what is queued already is looked for."""
    optional = [stream.name for stream in settings.streams if stream.unsubscribe]
    known = {"", *(s.name for s in settings.streams), *(topic_scope(t.stream, t.name) for t in settings.topics)}

    def scopes(text: str) -> Sequence[str]:
        if text == EVERY_OPTIONAL:
            return (EVERY_OPTIONAL, *optional)
        if text not in known:
            names = ", ".join(sorted(known - {""}))
            raise InvalidInput("stream", f"{text[:80]!r} is not configured", f"Leave it out, or use one of: {names}")
        return (text,)

    return scopes
