"""Cancelling: queued mail of a scope ends as Dropped, while a closed gate keeps it from going out meanwhile.

Contract: the first call closes the operator's gate over the scope, which every sender obeys within a second, and then
portions end the mail that was accepted until that moment; between two portions others write.  A call ends at most
`most` messages and says whether there are more: call again.  The last one opens the gate, unless somebody had closed it
before.  A cancellation that is broken off leaves the gate closed under its own reason; the next call goes on with it.
Mail in flight is not called back.  What other rules have closed stays closed.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.cancellation import Cancelling
from core.errors import InvalidInput
from core.lane import Scope
from core.ports import Clock, Controls
from core.state import Gate
from monitor import operator as word
from service.operator import Operator

PORTION = 500  # messages in one transaction: other writers wait for it
MOST = 20_000  # messages in one call: a second or two
_REASON = "being cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What a call did: messages `ended`, and whether there are `more` (waiting, or in a sender's hands)."""

    ended: int
    more: bool


class Canceller:
    """See the module."""

    def __init__(self, operator: Operator, controls: Controls, cancelling: Cancelling, clock: Clock) -> None:
        self._operator = operator
        self._controls = controls
        self._cancelling = cancelling
        self._clock = clock

    async def cancel(self, scope: Scope, *, by: str, reason: str, most: int = MOST) -> Cancelled:
        """End mail of the scope.  InvalidInput for one that names no queued mail, or all of it."""
        named = (scope.sending_domain, scope.provider, scope.site, scope.stream, scope.campaign, scope.list_source)
        if scope.source or scope.pool or not any(named):
            raise InvalidInput(
                "scope", "must name which mail to cancel; source and pool are only known when it goes",
                "Write e.g. campaign=spring or stream=bulk,provider=gmail",
            )  # fmt: skip
        gate = await self._gate(scope)
        if gate is None:
            gate = await self._operator.pause(scope, by=by, reason=f"{_REASON}: {reason}"[:500])
        ours = gate.reason.startswith(_REASON)
        before = gate.since if ours else self._clock.now()
        detail = f"by {by}" + (f": {reason}"[:200] if reason else "")
        ended, left = 0, True
        while left and ended < most:
            portion = await self._cancelling.portion(
                scope, before=before, now=self._clock.now(), detail=detail, limit=min(PORTION, most - ended)
            )
            ended += portion.ended
            left = portion.ended > 0
            if not left and portion.held:
                return Cancelled(ended=ended, more=True)
        if left:
            return Cancelled(ended=ended, more=True)
        gate = await self._gate(scope)
        if ours and gate is not None:
            opened, event = word.resume(gate, now=self._clock.now(), reason="cancelled", by=by)
            await self._controls.put(opened, event, gate.state)
        return Cancelled(ended=ended, more=False)

    async def _gate(self, scope: Scope) -> Gate | None:
        """The operator's gate over exactly this scope, while it is closed."""
        for gate in await self._controls.gates():
            if gate.scope.key == scope.key and gate.rule == word.RULE and word.is_closed(gate):
                return gate
        return None
