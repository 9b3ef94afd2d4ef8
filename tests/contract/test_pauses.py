"""Gates over every kind of scope are stored, read back by another process as they were, and outlive a restart."""

from __future__ import annotations

import pytest

from core.errors import InvalidInput
from core.events import GateState
from core.lane import Scope
from service.operator import Operator
from storage.stores import Stores, open_stores
from tests.contract.samples import NOW


class _Clock:
    rate = 1.0

    def now(self) -> float:
        return NOW

    def real(self, seconds: float) -> float:
        return seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")


def _operator(stores: Stores) -> Operator:
    def unknown(scope: Scope) -> list[tuple[str, str]]:
        return [("pool 'x' is not configured", "Use one of: warm")] if scope.pool == "x" else []

    return Operator(
        controls=stores.controls, suppressions=stores.suppressions, clock=_Clock(), spare=("receipts",), unknown=unknown
    )


@pytest.mark.parametrize(
    "text",
    ["all", "stream=bulk", "campaign=spring", "provider=other:mx1.a.net,mx2.a.net", "site=mx1.a.net,mx2.a.net",
     "source=mta1", "sending_domain=example.com", "pool=warm", "lane=mta1|example.com|gmail",
     "provider=gmail,stream=bulk", "stream=bulk,site=mx.a.net,pool=warm"],
)  # fmt: skip
async def test_a_pause_at_any_scope_outlives_a_restart_and_is_resumed_by_the_same_words(
    stores: Stores, url: str, text: str
) -> None:
    operator = _operator(stores)
    gate = await operator.pause(operator.scope(text), by="ann", reason="test", hours=2.0)
    again = await open_stores(url)
    try:
        assert await again.controls.gates() == [gate]
        other = _operator(again)
        (opened,) = await other.resume(other.scope(text), by="bob", reason="")
        assert opened.scope == gate.scope
    finally:
        await again.close()


async def test_a_scope_that_nothing_can_lie_in_is_refused_and_not_stored(stores: Stores) -> None:
    operator = _operator(stores)
    with pytest.raises(InvalidInput, match="not configured"):
        await operator.pause(operator.scope("pool=x"), by="ann", reason="")
    assert await stores.controls.gates() == []


async def test_a_resume_with_hours_holds_the_scope_open_also_where_nothing_was_closed(stores: Stores) -> None:
    operator = _operator(stores)
    scope = operator.scope("provider=gmail")
    await operator.pause(scope, by="ann", reason="test")
    (held,) = await operator.resume(scope, by="bob", reason="they are warned", hours=3.0)
    assert (held.state, held.by) == (GateState.OPEN, "bob")
    assert held.until == held.since + 3 * 3600
    (stored,) = await stores.controls.gates()
    assert stored == held
    (again,) = await operator.resume(operator.scope("stream=bulk"), by="bob", reason="", hours=1.0)
    assert again.until > 0
    closed = await operator.pause(scope, by="ann", reason="after all")
    assert closed.state is GateState.PAUSED, "a person's newer word replaces the older"
    with pytest.raises(InvalidInput, match="hours"):
        await operator.resume(scope, by="bob", reason="", hours=-1.0)
