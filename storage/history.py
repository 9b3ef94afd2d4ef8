"""The log's past, folded while it is read: what happened in each slice of time, as counts of like events.

Contract: `folded` reads forward from the first event at or after `since` and yields (end of slice, one event that
stands for its like, how many), slice by slice in the order of the log; an event that arrives with an older time than
the slice being read counts in that slice.  The few fields that matter are cut out of each body's text and equal cuts
are counted, so that ten million events cost neither ten million objects nor memory: `CHUNK` rows at a time.
Keys of JSON cannot occur inside its strings (a quotation mark is escaped there), so that cutting at them is safe.
Events stand for kinds that monitor.counters counts by message; fields that do not matter to counting are empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeAlias, cast

from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, func, select

from core.classify import BounceClass
from core.events import (
    Bounced,
    BounceReceived,
    Clicked,
    ComplaintReceived,
    Deferred,
    Delivered,
    Event,
    Opened,
    Placement,
    SeedPlaced,
    Unsubscribed,
)
from core.lane import Attribution
from core.recipient import Actor
from core.reply import Reply
from core.tokens import MessageId
from storage.database import Database
from storage.tables import events

CHUNK = 20_000
# every kind is read and looked at here: asking the database to choose costs more than what it leaves out
_ROWS = select(events.c.at, events.c.kind, events.c.body).where(
    events.c.seq > bindparam("after"), events.c.seq <= bindparam("last")
)
# kind → the key of its word, and of its flag, in the order of the body
_CUTS = {
    "Delivered": ("", '"attempt":'),
    "Deferred": ('"bounce_class":"', '"attempt":'),
    "Bounced": ('"bounce_class":"', '"attempt":'),
    "BounceReceived": ('"bounce_class":"', '"terminal":'),
    "ComplaintReceived": ('"feedback_type":"', ""),
    "Unsubscribed": ("", ""),
    "SeedPlaced": ('"placement":"', ""),
    "Opened": ('"actor":"', ""),
    "Clicked": ('"actor":"', '"first":'),
}
_ATTRIBUTION: TypeAdapter[Attribution] = TypeAdapter(Attribution)
_NO_REPLY = Reply(code=0, text="")

Slice: TypeAlias = tuple[float, Event, int]
_Cut: TypeAlias = tuple[int, str, str, str, str]


class History:
    """See the module.  Blocks: call it in a thread."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def folded(self, since: float = 0.0, *, slice_seconds: float = 3600.0) -> Iterator[Slice]:
        """Every counted event from `since` on."""
        newest = 0
        reading = self._db.engine.execution_options(reading=True)
        with reading.connect() as connection:
            after = _first_seq(connection, since) - 1
            head = int(connection.execute(select(func.max(events.c.seq))).scalar() or 0)
        while after < head:
            last = min(head, after + CHUNK)
            with reading.connect() as connection:  # a snapshot that is held for long keeps the database from tidying up
                found = connection.execute(_ROWS, {"after": after, "last": last})
                # the driver's own tuples, one after another: a Row for each event would cost more than all the rest
                rows = cast(Iterable[tuple[float, str, str]], found.cursor or ())
                counts = Counter(_cuts(rows, slice_seconds))
                found.close()
            for row, n in sorted(counts.items(), key=lambda item: item[0][0]):
                newest = max(newest, row[0])
                yield (newest + 1) * slice_seconds, _standing_for(*row[1:]), n
            after = last


def _cuts(rows: Iterable[tuple[float, str, str]], slice_seconds: float) -> Iterator[_Cut]:
    """(slice, kind, attribution, word, flag) of each event that counts."""
    for at, kind, body in rows:
        keys = _CUTS.get(kind)
        if keys is None:
            continue
        begin = body.find('"attribution":')
        end = body.find("}", body.find('"cohort":', begin))
        key, flagged = keys
        word = flag = ""
        if key:
            cut = body.find(key, end) + len(key)
            word = body[cut : body.find('"', cut)]
        if flagged:
            cut = body.find(flagged, end) + len(flagged)
            flag = body[cut : cut + 2]
        yield int(at // slice_seconds), kind, body[begin + 14 : end], word, flag


def _first_seq(connection: Connection, since: float) -> int:
    """The first seq at or after `since`, found by halving: times rise with seq, but for moments."""
    low = connection.execute(select(func.min(events.c.seq))).scalar() or 1
    high = (connection.execute(select(func.max(events.c.seq))).scalar() or 0) + 1
    if since <= 0:
        return int(low)
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            select(events.c.seq, events.c.at).where(events.c.seq >= middle).order_by(events.c.seq).limit(1)
        ).first()
        if row is None or row.at >= since:
            high = middle
        else:
            low = int(row.seq) + 1
    return int(low)


@lru_cache(maxsize=100_000)
def _standing_for(kind: str, attribution: str, word: str, flag: str) -> Event:
    under = _ATTRIBUTION.validate_json(attribution + "}")
    message, nobody, at = MessageId(""), "", 0.0
    attempt, named = (1 if flag in ("1,", "1}") else 2), word
    match kind:
        case "Delivered":
            return Delivered(
                at=at, message_id=message, recipient=nobody, attribution=under, site="", remote="", reply=_NO_REPLY,
                attempt=attempt, tls="", latency=0.0,
            )  # fmt: skip
        case "Deferred":
            return Deferred(
                at=at, message_id=message, recipient=nobody, attribution=under, site="", remote="", reply=_NO_REPLY,
                bounce_class=BounceClass(named), attempt=attempt, retry_at=0.0,
            )  # fmt: skip
        case "Bounced":
            return Bounced(
                at=at, message_id=message, recipient=nobody, attribution=under, site="", remote="", reply=_NO_REPLY,
                bounce_class=BounceClass(named), attempt=attempt,
            )  # fmt: skip
        case "BounceReceived":
            return BounceReceived(
                at=at, message_id=message, recipient=nobody, attribution=under, reply=_NO_REPLY,
                bounce_class=BounceClass(named), terminal=flag == "tr",
            )  # fmt: skip
        case "ComplaintReceived":
            return ComplaintReceived(
                at=at, message_id=message, recipient=nobody, attribution=under, feedback_type=named, reporter=""
            )
        case "SeedPlaced":
            return SeedPlaced(
                at=at, message_id=message, mailbox="", attribution=under, placement=Placement(named), folder="",
                seconds=-1.0,
            )  # fmt: skip
        case "Opened":
            return Opened(at=at, message_id=message, recipient=nobody, attribution=under, actor=Actor(named), reason="")
        case "Clicked":
            return Clicked(
                at=at, message_id=message, recipient=nobody, attribution=under, actor=Actor(named), reason="",
                target="", first=flag == "tr",
            )  # fmt: skip
        case _:
            return Unsubscribed(at=at, message_id=message, recipient=nobody, attribution=under, method="page")
