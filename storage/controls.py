"""Gates: the stored state over each scope, one for each rule (an operator's word is a rule of its own).

Contract: a gate changes only from the state that its writer knew, in one transaction with its event; whoever was
overtaken gets StorageConflict and reads again.  So the monitor never overwrites an operator, nor the other way round.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from core.errors import StorageConflict
from core.events import Event, GateChanged, GateState
from core.state import Gate
from storage.codec import GATE, text_of
from storage.database import Database
from storage.events import append_events
from storage.statements import insert_or_ignore
from storage.tables import gates as table

_GATES = select(table.c.body).order_by(table.c.scope, table.c.rule)
_ADD = insert_or_ignore(table)
_MOVE = (
    update(table)
    .where(
        table.c.scope == bindparam("of"), table.c.rule == bindparam("under"), table.c.state == bindparam("expected")
    )
    .values(state=bindparam("to"), body=bindparam("text"))
)  # fmt: skip


def put_gate(connection: Connection, gate: Gate, event: Event, expected: GateState | None) -> None:
    """Store a gate that is still in `expected` state (None: not stored yet).  Raises StorageConflict."""
    scope, text = gate.scope.key, text_of(gate)
    if expected is None:
        row = {"scope": scope, "rule": gate.rule, "state": str(gate.state), "body": text}
        done = connection.execute(_ADD, row).rowcount
    else:
        change = {"of": scope, "under": gate.rule, "expected": str(expected), "to": str(gate.state), "text": text}
        done = connection.execute(_MOVE, change).rowcount
    if done != 1:
        raise StorageConflict(f"The gate over {scope} was moved by somebody else; read it again")
    append_events(connection, [event])


def put_move(connection: Connection, gate: Gate, event: Event) -> None:
    """Store the monitor's move: `event.before` is what must be stored; a gate without a row is open."""
    before = event.before if isinstance(event, GateChanged) else GateState.OPEN
    try:
        put_gate(connection, gate, event, before)
    except StorageConflict:
        if before is not GateState.OPEN:
            raise
        put_gate(connection, gate, event, None)


class SqlControls:
    """core.ports.Controls."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def gates(self) -> list[Gate]:
        return await self._db.read(
            lambda connection: [GATE.validate_json(row.body) for row in connection.execute(_GATES)]
        )

    async def put(self, gate: Gate, event: Event, expected: GateState | None) -> None:
        await self._db.transact(lambda connection: put_gate(connection, gate, event, expected))
