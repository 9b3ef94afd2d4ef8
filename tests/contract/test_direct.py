"""Statements that go straight to the driver say what SQLAlchemy's would, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from core.errors import StorageConflict, Unavailable
from storage.direct import Direct
from storage.stores import Stores
from storage.tables import idempotency

_KEY = idempotency.c.key
_OF = Direct(
    select(_KEY, idempotency.c.at).where(_KEY.in_(bindparam("keys", expanding=True))).order_by(_KEY), names="keys"
)
_GONE = Direct(delete(idempotency).where(_KEY.in_(bindparam("keys", expanding=True))), names="keys")
_LATER = Direct(update(idempotency).where(bindparam("which") == _KEY).values(at=idempotency.c.at + bindparam("more")))
_ADD = Direct(insert(idempotency))


async def test_they_find_change_and_remove_by_any_number_of_names(stores: Stores) -> None:
    def write(connection: Connection) -> tuple[int, list[tuple[object, ...]]]:
        _ADD.run_each(connection, [{"key": f"k{n}", "answer": "it's 5 %", "at": float(n)} for n in range(50)])
        met = _LATER.run_each(connection, [{"which": f"k{n}", "more": 100.0} for n in (1, 2, 99)])
        _GONE.run(connection, {"keys": [f"k{n}" for n in range(3, 50)]})
        _GONE.run(connection, {"keys": []})
        return met, _OF.rows(connection, {"keys": [f"k{n}" for n in range(60)]})

    met, found = await stores.db.transact(write)
    assert met == 2
    assert found == [("k0", 0.0), ("k1", 101.0), ("k2", 102.0)]


async def test_their_errors_are_those_of_the_other_statements(stores: Stores) -> None:
    row = {"key": "k", "answer": "", "at": 0.0}
    await stores.db.transact(lambda connection: _ADD.run(connection, row))
    with pytest.raises(StorageConflict):
        await stores.db.transact(lambda connection: _ADD.run(connection, row))
    with pytest.raises(Unavailable) as refused:
        await stores.db.transact(lambda connection: _ADD.run(connection, {"key": "secret", "answer": ""}))
    assert "secret" not in str(refused.value)
