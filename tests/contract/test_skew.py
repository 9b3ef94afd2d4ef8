"""The distance of a node's clock to the database."""

from __future__ import annotations

from core.clock import SystemClock
from storage.skew import clock_skew
from storage.stores import Stores


async def test_a_clock_that_is_a_day_ahead_is_seen_where_nodes_share_the_database(stores: Stores) -> None:
    day = 86_400.0
    skew = await clock_skew(stores.db, SystemClock().now() + day)
    assert round(skew / day) == (1 if stores.db.is_postgresql else 0)
