"""Buckets of rates (core.gcra), common to every sender process and node.

Contract: units are taken from all named buckets or from none, as many as the fullest of them allows, in one
transaction.  Rows are locked in the order of their names, so that two nodes cannot wait for each other in a circle.
A bucket that nobody used for long is as good as a new one, so its row may go.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Double, MetaData, Table, Text, bindparam, delete, select, update

from core.gcra import Rate, available, given_back, taken
from storage.database import Database
from storage.statements import insert_or_ignore

metadata = MetaData()
rate_buckets = Table(
    "rate_buckets", metadata, Column("name", Text, primary_key=True), Column("tat", Double, nullable=False),
    postgresql_with={"fillfactor": 50},
)  # fmt: skip
_T = rate_buckets.c
_LOCK = (
    select(_T.name, _T.tat).where(_T.name.in_(bindparam("names", expanding=True))).order_by(_T.name).with_for_update()
)
_ADD = insert_or_ignore(rate_buckets)
_SET = update(rate_buckets).where(_T.name == bindparam("which")).values(tat=bindparam("to"))
_ALL = select(_T.name, _T.tat)
_PRUNE = delete(rate_buckets).where(_T.tat < bindparam("before"))


def create_rates(connection: Connection) -> None:
    """The migration that brings the table."""
    metadata.create_all(connection)


class SqlRates:
    """core.rate_ports.Rates."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, wanted: Sequence[tuple[str, Rate]], units: int, now: float) -> tuple[int, dict[str, float]]:
        return await self._db.transact(lambda connection: _take(connection, wanted, units, now), alone=True)

    async def give_back(self, wanted: Sequence[tuple[str, Rate]], units: int) -> None:
        if units > 0 and wanted:
            await self._db.transact(lambda connection: _give_back(connection, wanted, units), alone=True)

    async def look(self) -> dict[str, float]:
        return await self._db.read(lambda connection: {row.name: row.tat for row in connection.execute(_ALL)})

    async def prune(self, before: float) -> int:
        return await self._db.transact(lambda connection: connection.execute(_PRUNE, {"before": before}).rowcount)


def _take(
    connection: Connection, wanted: Sequence[tuple[str, Rate]], units: int, now: float
) -> tuple[int, dict[str, float]]:
    tats = _locked(connection, sorted({name for name, _ in wanted}))
    granted = min([units, *(available(rate, tats[name], now) for name, rate in wanted)])
    if granted > 0:
        tats = {name: taken(rate, tats[name], now, granted) for name, rate in wanted}
        connection.execute(_SET, [{"which": name, "to": tat} for name, tat in sorted(tats.items())])
    return max(0, granted), tats


def _give_back(connection: Connection, wanted: Sequence[tuple[str, Rate]], units: int) -> None:
    tats = _locked(connection, sorted({name for name, _ in wanted}))
    back = {name: given_back(rate, tats[name], units) for name, rate in wanted}
    connection.execute(_SET, [{"which": name, "to": tat} for name, tat in sorted(back.items())])


def _locked(connection: Connection, names: Sequence[str]) -> dict[str, float]:
    found = {row.name: float(row.tat) for row in connection.execute(_LOCK, {"names": list(names)})}
    missing = [name for name in names if name not in found]
    if missing:
        connection.execute(_ADD, [{"name": name, "tat": 0.0} for name in missing])
        found |= {row.name: float(row.tat) for row in connection.execute(_LOCK, {"names": missing})}
    return found
