"""The log's end of life: what messages left there goes when the last of it is older than the owner keeps.

Contract: an event of a message goes only once the message has ended and nothing of it is younger than `before`, so
that whoever unsubscribes, complains or bounces by a mail's token finds the mail; refusals at the door and unproven
reports go by their own age.  Gates, warm-up steps, rules and every other decision stay.  Nothing goes that the monitor
has not counted; counters are never touched, so figures stay, but folding the log again gives only what it still holds.
Portions are transactions of their own: other writers wait for one at most.  It looks no further than the first portion
of which all is younger, so a round costs what it forgets and not the length of the log.
"""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection, bindparam, delete, exists, func, or_, select

from core.events import IntakeRefused, ReportUnverified
from storage.database import Database
from storage.tables import cursors, events, queue

PORTION = 2000  # events that one transaction looks at
_MONITOR = "monitor"
_E, _YOUNGER = events.c, events.alias("younger")
_BY_THEMSELVES = (IntakeRefused.__name__, ReportUnverified.__name__)
_COUNTED = select(cursors.c.seq).where(cursors.c.name == _MONITOR)
_PORTION_OF = select(func.max(_E.seq), func.min(_E.at)).where(
    _E.seq.in_(select(_E.seq).where(_E.seq > bindparam("after")).order_by(_E.seq).limit(bindparam("rows")))
)
_FORGET = delete(events).where(
    _E.seq > bindparam("after"),
    _E.seq <= bindparam("upto"),
    _E.at < bindparam("before"),
    or_(
        _E.kind.in_(_BY_THEMSELVES),
        _E.message_id.is_not(None)
        & ~exists().where(_YOUNGER.c.message_id == _E.message_id, _YOUNGER.c.at >= bindparam("before"))
        & ~exists().where(queue.c.message_id == _E.message_id),
    ),
)


async def forget_events(db: Database, before: float) -> int:
    """Remove what is older than `before` (epoch seconds).  How many events."""
    counted = await db.read(lambda connection: connection.execute(_COUNTED).scalar() or 0)
    after = gone = 0
    while after < counted:
        last, oldest = await db.read(partial(_portion, after=after))
        if last is None or oldest >= before:
            break  # the log is in order of time: nothing behind is older, or it goes another day
        span = {"after": after, "upto": min(last, counted), "before": before}
        gone += await db.transact(partial(_forget, span=span), alone=True)
        after = last
    return gone


def _portion(connection: Connection, after: int) -> tuple[int | None, float]:
    """The last number and the oldest instant of the next portion."""
    last, oldest = connection.execute(_PORTION_OF, {"after": after, "rows": PORTION}).one()
    return last, oldest or 0.0


def _forget(connection: Connection, span: dict[str, float]) -> int:
    gone: int = connection.execute(_FORGET, span).rowcount
    return gone
