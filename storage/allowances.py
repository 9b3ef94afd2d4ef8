"""Allowances: how much of a cap is used up, and the warm-up steps that set the caps.

Contract: units are taken by one conditional UPDATE (`used + n <= cap`), so no number of senders on any number of nodes
ever goes above a cap, whatever they believed before.  Units are never given back: what was reserved and not sent
makes a day smaller, never larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from sqlalchemy import Connection, bindparam, select, update

from core.errors import StorageConflict
from core.events import Event
from core.state import StepState
from storage.codec import STEP, text_of
from storage.database import Database
from storage.direct import Direct
from storage.events import append_events
from storage.pending import Overtaken
from storage.statements import chunks, insert_or_ignore, upsert
from storage.tables import allowances as table
from storage.tables import steps

Allowance: TypeAlias = tuple[str, int, int]  # key, period, cap
_BEGIN = insert_or_ignore(table)
# the lock lets a partial grant be computed; in one order on every node, so that nobody waits in a circle
_USED_NOW = Direct(
    select(table.c.used).where(table.c.key == bindparam("of"), table.c.day == bindparam("period")).with_for_update()
)
_TAKE = Direct(
    update(table)
    .where(
        table.c.key == bindparam("of"),
        table.c.day == bindparam("period"),
        table.c.used + bindparam("n") <= bindparam("cap"),
    )
    .values(used=table.c.used + bindparam("n"))
)
_USED = select(table.c.key, table.c.used).where(
    table.c.key.in_(bindparam("keys", expanding=True)), table.c.day == bindparam("period")
)
_STEPS = select(steps.c.body).order_by(steps.c.lane)
_STEP = select(steps.c.body).where(steps.c.lane == bindparam("of")).with_for_update()
_PUT_STEP = upsert(steps, "body = excluded.body")


def reserve(connection: Connection, wanted: Sequence[Allowance], n: int) -> int:
    """Take up to `n` units of *every* allowance; as many as all of them have left.  How many were granted."""
    if not wanted or n <= 0:
        return max(0, n)
    caps = {(key, period): cap for key, period, cap in sorted(wanted, key=lambda a: (a[0], a[1], -a[2]))}
    granted = min([n, *(cap - _used_now(connection, key, period) for (key, period), cap in caps.items())])
    if granted <= 0:
        return 0
    takes = [{"of": key, "period": period, "n": granted, "cap": cap} for (key, period), cap in caps.items()]
    if _TAKE.run_each(connection, takes) != len(takes):
        raise Overtaken(f"allowances {', '.join(key for key, _ in caps)}")
    return granted


def _used_now(connection: Connection, key: str, period: int) -> int:
    """What is used up, locked until the commit."""
    of = {"of": key, "period": period}
    rows = _USED_NOW.rows(connection, of)
    if not rows:
        connection.execute(_BEGIN, {"key": key, "day": period, "used": 0})
        rows = _USED_NOW.rows(connection, of)
    return int(rows[0][0])


class SqlAllowances:
    """core.ports.Allowances."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def used(self, keys: Iterable[str], day: int) -> dict[str, int]:
        wanted = sorted(set(keys))

        def look(connection: Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            for part in chunks(wanted):
                for row in connection.execute(_USED, {"keys": part, "period": day}):
                    found[row.key] = row.used
            return found

        return await self._db.read(look)

    async def reserve(self, key: str, day: int, cap: int, n: int) -> int:
        return await self._db.transact(lambda connection: reserve(connection, [(key, day, cap)], n), alone=True)

    async def steps(self) -> list[StepState]:
        return await self._db.read(
            lambda connection: [STEP.validate_json(row.body) for row in connection.execute(_STEPS)]
        )

    async def put_step(self, state: StepState, event: Event, *, before: StepState | None = None) -> None:
        def write(connection: Connection) -> None:
            if before is not None:
                stored = connection.execute(_STEP, {"of": state.lane.key}).scalar()
                if stored is None or STEP.validate_json(stored) != before:
                    raise StorageConflict(f"The warm-up of {state.lane.key} was changed meanwhile")
            connection.execute(_PUT_STEP, {"lane": state.lane.key, "body": text_of(state)})
            append_events(connection, [event])

        await self._db.transact(write)
