"""When complaints came, for fitting reporting delays: a sample of the log that favours neither quick nor slow ones.

Contract: at most about `MOST` rows, thinned evenly by `seq` when there are more; only reports that came at or after
`since`.  Bodies are cut as in storage.history.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from core.events import ComplaintReceived
from storage.codec import logged
from storage.database import Database
from storage.tables import events

MOST = 40_000
_PAGE = 2000
_SPAN = select(func.count(), func.max(events.c.seq)).where(
    events.c.kind == "ComplaintReceived", events.c.at >= bindparam("since")
)
_ROWS = (
    select(events.c.seq, events.c.kind, events.c.body)
    .where(
        events.c.kind == "ComplaintReceived", events.c.seq < bindparam("before"),
        events.c.seq % bindparam("one_in") == 0, events.c.at >= bindparam("since"),
    )
    .order_by(events.c.seq.desc())
    .limit(_PAGE)
)  # fmt: skip


class SqlLateness:
    """See the module."""

    def __init__(self, db: Database, *, most: int = MOST) -> None:
        self._db = db
        self._most = most

    async def read(self, since: float) -> list[tuple[str, int, float]]:
        """(provider, cohort, when it came) of complaints, newest first."""
        count, newest = await self._db.read(lambda connection: _span(connection, since))
        one_in, before = max(1, -(-count // self._most)), newest + 1
        found: list[tuple[str, int, float]] = []
        while True:
            given = {"before": before, "one_in": one_in, "since": since}
            page = await self._db.read(lambda connection, given=given: _page(connection, given))  # type: ignore[misc]
            for _, event in page:
                under = event.attribution
                found.append((str(under.traffic.lane.provider), under.cohort, event.at))
            if len(page) < _PAGE:
                return found
            before = page[-1][0]


def _span(connection: Connection, since: float) -> tuple[int, int]:
    count, newest = connection.execute(_SPAN, {"since": since}).one()
    return int(count), int(newest or 0)


def _page(connection: Connection, given: dict[str, object]) -> list[tuple[int, ComplaintReceived]]:
    rows = [logged(row.seq, row.kind, row.body) for row in connection.execute(_ROWS, given)]
    return [(row.seq, row.event) for row in rows if isinstance(row.event, ComplaintReceived)]
