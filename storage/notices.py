"""Who wants to hear what became of a message (RFC 3461).

Contract: wishes are written in the transaction that accepts the message (`add_notices`).  What the recipients of one
transaction share, above all the returned part of the message, lies once, and goes with its last wish.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    insert,
    select,
    text,
    update,
)

from core.messages import BodyId
from core.notices import NoticeCase, NoticeLetter, NoticeOrder, NoticeWish, Notify
from core.tokens import MessageId
from storage.codec import logged
from storage.database import Database
from storage.statements import chunks
from storage.tables import events, queue

metadata = MetaData()
_IS_LATE = text("delay_at > 0")
letters = Table(
    "notice_letters",
    metadata,
    Column("letter_id", Text, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("envelope_id", Text, nullable=False),
    Column("returned", LargeBinary, nullable=False),
    Column("whole", Boolean, nullable=False),  # FULL is a word of SQL
    Column("sending_domain", Text, nullable=False),
)
wishes = Table(
    "notice_wishes",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("letter_id", Text, nullable=False, index=True),
    Column("recipient", Text, nullable=False),
    Column("original", Text, nullable=False),
    Column("notify", Text, nullable=False),
    Column("accepted_at", Double, nullable=False, index=True),
    Column("delay_at", Double, nullable=False),
    Index("notice_wishes_delay", "delay_at", sqlite_where=_IS_LATE, postgresql_where=_IS_LATE),
)
_ADD_LETTER = insert(letters)
_ADD = insert(wishes)
_ANY = select(wishes.c.message_id).limit(1)
_OF_BOTH = (*wishes.c, *(column for column in letters.c if column.name != "letter_id"))
_ENDED = (
    select(events.c.seq, events.c.kind, events.c.body, *_OF_BOTH)
    .select_from(
        events.join(wishes, wishes.c.message_id == events.c.message_id).join(
            letters, letters.c.letter_id == wishes.c.letter_id
        )
    )
    .where(
        events.c.seq > bindparam("after"),
        events.c.seq <= bindparam("upto"),
        events.c.kind.in_(("Delivered", "Bounced", "Dropped", "BounceReceived")),
    )
    .order_by(events.c.seq)
)
_LATE = (
    select(*_OF_BOTH)
    .join(letters, letters.c.letter_id == wishes.c.letter_id)
    .where(wishes.c.delay_at > 0, wishes.c.delay_at <= bindparam("now"))
    .order_by(wishes.c.delay_at)
    .limit(bindparam("rows"))
)
_TOLD = update(wishes).where(wishes.c.message_id.in_(bindparam("ids", expanding=True))).values(delay_at=0.0)
# by its last event, not by its age alone: what was scheduled far ahead still waits, and may have only just ended
_FORGET = delete(wishes).where(
    wishes.c.accepted_at < bindparam("before"),
    ~exists().where(queue.c.message_id == wishes.c.message_id),
    ~exists().where(events.c.message_id == wishes.c.message_id, events.c.at >= bindparam("before")),
)
_FORGET_LETTERS = delete(letters).where(~exists().where(wishes.c.letter_id == letters.c.letter_id))


def create_notices(connection: Connection) -> None:
    """The migration that brings the tables."""
    metadata.create_all(connection)


def add_notices(connection: Connection, order: NoticeOrder) -> None:
    """Store, inside the transaction that accepts the messages."""
    if not order.wishes:
        return
    letter = order.letter
    connection.execute(
        _ADD_LETTER,
        {
            "letter_id": letter.letter_id, "sender": letter.sender, "envelope_id": letter.envelope_id,
            "returned": letter.returned, "whole": letter.full, "sending_domain": letter.sending_domain,
        },
    )  # fmt: skip
    connection.execute(
        _ADD,
        [
            {
                "message_id": w.message_id, "letter_id": w.letter_id, "recipient": w.recipient, "original": w.original,
                "notify": ",".join(sorted(w.notify)), "accepted_at": w.accepted_at, "delay_at": w.delay_at,
            }
            for w in order.wishes
        ],
    )  # fmt: skip


class SqlNotices:
    """core.notices.Notices."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def any(self) -> bool:
        return await self._db.read(lambda connection: connection.execute(_ANY).first() is not None)

    async def ended(self, after: int, upto: int) -> list[NoticeCase]:
        def read(connection: Connection) -> list[NoticeCase]:
            rows = connection.execute(_ENDED, {"after": after, "upto": upto})
            return [_case(row, seq=row.seq, kind=row.kind, body=row.body) for row in rows]

        return await self._db.read(read)

    async def late(self, now: float, limit: int = 100) -> list[NoticeCase]:
        return await self._db.read(
            lambda connection: [_case(row) for row in connection.execute(_LATE, {"now": now, "rows": limit})]
        )

    async def told_late(self, ids: Collection[MessageId]) -> None:
        def write(connection: Connection) -> None:
            for part in chunks(sorted(ids)):
                connection.execute(_TOLD, {"ids": part})

        if ids:
            await self._db.transact(write)

    async def forget(self, before: float) -> int:
        def write(connection: Connection) -> int:
            gone = connection.execute(_FORGET, {"before": before}).rowcount
            if gone:
                connection.execute(_FORGET_LETTERS)
            return gone

        return await self._db.transact(write)


def _case(row: Row[tuple[object, ...]], *, seq: int = 0, kind: str = "", body: str = "") -> NoticeCase:
    return NoticeCase(
        wish=NoticeWish(
            message_id=MessageId(row.message_id), letter_id=BodyId(row.letter_id), recipient=row.recipient,
            original=row.original, notify=frozenset(Notify(word) for word in row.notify.split(",") if word),
            accepted_at=row.accepted_at, delay_at=row.delay_at,
        ),
        letter=NoticeLetter(
            letter_id=BodyId(row.letter_id), sender=row.sender, envelope_id=row.envelope_id, returned=row.returned,
            full=row.whole, sending_domain=row.sending_domain,
        ),
        logged=logged(seq, kind, body) if kind else None,
    )  # fmt: skip
