"""Aggregate reports whose storing was cut off and that nobody came back for: taken out again, and told as refused.

Contract: `leftovers_step` is one step inside one transaction, as in storage.report_writing: it takes out a portion of
one report's rows, the last ones first, so that whoever does come back in between still goes on where the rows end.  The
head goes with the last of them, in one transaction with the event that tells it: either the report is known as
unfinished or it is told as refused, never neither.
What is in such a report cannot be finished from here: the rest of it was never kept.  Whoever handed it in was not told
that it is stored, so a mail host, the watched folder and people still have it.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, select, update

from storage.report_writing import PORTION, UNFINISHED, drop_unfinished
from storage.reports_tables import reports, rows

_R, _W = reports.c, rows.c
_OLDEST = (
    select(reports)
    .where(_R.trust == UNFINISHED, _R.received_at <= bindparam("before"))
    .order_by(_R.id)
    .limit(1)
    .with_for_update()
)
_CUT_ROWS = delete(rows).where(_W.report == bindparam("of_number"), _W.number >= bindparam("first"))
_CUT_HEAD = update(reports).where(_R.id == bindparam("of_number")).values(records=bindparam("left"))


def leftovers_step(connection: Connection, before: float, now: float) -> str | None:
    """One step over the oldest report that rests since `before`: what is told, '' in between, None for no more."""
    head = connection.execute(_OLDEST, {"before": before}).first()
    if head is None:
        return None
    left = max(0, head.records - PORTION)
    connection.execute(_CUT_ROWS, {"of_number": head.id, "first": left})
    if left:
        connection.execute(_CUT_HEAD, {"of_number": head.id, "left": left})
        return ""
    return drop_unfinished(connection, head.id, now)
