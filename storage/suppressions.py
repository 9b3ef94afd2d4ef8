"""The suppression list.  The stream of an entry is a scope: '' covers every stream, see core.recipient.

An entry may have an end; whoever calls `end_expired` now and then makes it so: until then it still forbids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Executable, Row, and_, bindparam, delete, func, inspect, or_, select, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from core.events import Event, SuppressionAdded, SuppressionReason, SuppressionRemoved
from core.state import Suppression
from core.tokens import MessageId
from storage.database import Database
from storage.events import append_events
from storage.glance import Glance, plain
from storage.tables import suppressions as table

_CHUNK = 400  # addresses in one statement; SQLite takes at most 32,766 parameters, older ones 999
_FIND = select(table).where(
    table.c.address.in_(bindparam("addresses", expanding=True)), table.c.stream.in_(bindparam("scopes", expanding=True))
)
_SCOPES = ("scope1", "scope2", "scope3")
_ANY_PLAIN = plain(
    select(table.c.stream).where(
        table.c.address == bindparam("address"),
        or_(table.c.stream == "", *(table.c.stream == bindparam(scope) for scope in _SCOPES)),
    )
)
_OF = select(table).where(table.c.address == bindparam("which")).order_by(table.c.stream)
_LIFTING = [str(reason) for reason in SuppressionReason if reason.lifts_itself]
# the same statement in two dialects: `RETURNING` tells which rows were new
_INSERT: dict[str, Executable] = {
    name: new.on_conflict_do_update(
        index_elements=["address", "stream"],
        set_={column: new.excluded[column] for column in ("reason", "at", "evidence", "expires_at")},
        # a complaint must not be lost to an entry that ends soon, nor a wish to one that the service takes back, nor an
        # operator's word to a complaint, which a report of "not spam" takes back
        where=or_(
            and_(
                table.c.expires_at > 0,
                or_(new.excluded.expires_at == 0, new.excluded.expires_at > table.c.expires_at),
            ),
            and_(
                new.excluded.expires_at == 0,
                or_(*(table.c.reason == reason for reason in _LIFTING)),
                and_(*(new.excluded.reason != reason for reason in _LIFTING)),
            ),
            and_(
                new.excluded.expires_at == 0,
                new.excluded.reason == str(SuppressionReason.MANUAL),
                table.c.reason == str(SuppressionReason.COMPLAINT),
            ),
        ),
    ).returning(table.c.address, table.c.stream)
    for name, new in (("sqlite", sqlite_insert(table)), ("postgresql", postgresql_insert(table)))
}
_EXPIRED = (
    select(table)
    .where(table.c.expires_at > 0, table.c.expires_at <= bindparam("now"))
    .order_by(table.c.address, table.c.stream)
    .limit(bindparam("rows"))
    .with_for_update(skip_locked=True)
)
_PORTION = 1000  # expired entries that one transaction removes
_DELETE = delete(table).where(table.c.address == bindparam("which"), table.c.stream == bindparam("of"))
_PAGE = (
    select(table)
    .where(table.c.address > bindparam("after"))
    .order_by(table.c.address, table.c.stream)
    .limit(bindparam("rows"))
)
_REST = (
    select(table)
    .where(table.c.address == bindparam("which"), table.c.stream > bindparam("after_stream"))
    .order_by(table.c.stream)
)


_BY_REASON = select(table.c.reason, func.count().label("addresses")).group_by(table.c.reason)


def give_ends(connection: Connection) -> None:
    """The migration that lets entries end; a new database has the column already."""
    if "expires_at" not in {column["name"] for column in inspect(connection).get_columns(table.name)}:
        connection.execute(text("ALTER TABLE suppressions ADD COLUMN expires_at DOUBLE PRECISION NOT NULL DEFAULT 0"))
        connection.execute(text("CREATE INDEX suppressions_expiry ON suppressions (expires_at) WHERE expires_at > 0"))


def find_suppressed(
    connection: Connection, addresses: Sequence[str], stream: str, also: Sequence[str] = ()
) -> dict[str, Suppression]:
    """Entries that forbid mail of `stream`, or of the scopes of `also`, to any of the addresses (normal forms)."""
    scopes = ["", stream, *also]
    found: dict[str, Suppression] = {}
    for start in range(0, len(addresses), _CHUNK):
        part = list(addresses[start : start + _CHUNK])
        for row in connection.execute(_FIND, {"addresses": part, "scopes": scopes}):
            found[row.address] = _entry(row)
    return found


def add_suppressions(
    connection: Connection, entries: Sequence[Suppression], message_ids: Sequence[MessageId | None]
) -> list[SuppressionAdded]:
    """Insert what is new and append its events.  What was new; an entry that is known keeps its first evidence, unless
    the new one lasts longer or is a person's word where the known one lifts itself."""
    first: dict[tuple[str, str], tuple[Suppression, MessageId | None]] = {}
    for entry, message_id in zip(entries, message_ids, strict=True):
        first.setdefault((entry.address, entry.stream), (entry, message_id))
    if not first:
        return []
    # in one order on every node: two that add the same addresses cannot wait for each other in a circle
    rows: list[dict[str, object]] = [
        {
            "address": e.address,
            "stream": e.stream,
            "reason": str(e.reason),
            "at": e.at,
            "evidence": e.evidence,
            "expires_at": e.expires_at,
        }
        for _, (e, _) in sorted(first.items())
    ]
    new = connection.execute(_INSERT[connection.dialect.name], rows)
    added = [_added(*first[row.address, row.stream]) for row in new]
    append_events(connection, added)
    return added


def _added(entry: Suppression, message_id: MessageId | None) -> SuppressionAdded:
    return SuppressionAdded(
        at=entry.at, address=entry.address, stream=entry.stream, reason=entry.reason, message_id=message_id,
        evidence=entry.evidence, expires_at=entry.expires_at,
    )  # fmt: skip


class SqlSuppressions:
    """core.ports.Suppressions."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._asked: list[tuple[dict[str, str], asyncio.Future[bool]]] = []

    async def add(
        self, entries: Sequence[Suppression], message_id: MessageId | None = None, events: Sequence[Event] = ()
    ) -> int:
        def write(connection: Connection) -> int:
            append_events(connection, events)
            return len(add_suppressions(connection, entries, [message_id] * len(entries)))

        return await self._db.transact(write)

    async def remove(self, address: str, stream: str, by: str, now: float) -> bool:
        def write(connection: Connection) -> bool:
            gone = connection.execute(_DELETE, {"which": address, "of": stream}).rowcount > 0
            if gone:
                append_events(connection, [SuppressionRemoved(at=now, address=address, stream=stream, by=by)])
            return gone

        return await self._db.transact(write)

    async def check(self, addresses: Iterable[str], stream: str, *, also: Sequence[str] = ()) -> dict[str, Suppression]:
        wanted = sorted(set(addresses))
        if self._db.glance is not None and len(wanted) == 1 and len(also) < len(_SCOPES):
            # nearly always nothing: only what is found is read at length
            scopes = {"address": wanted[0], **dict.fromkeys(_SCOPES, stream), **dict(zip(_SCOPES, also, strict=False))}
            if not await self._any(self._db.glance, scopes):
                return {}
        return await self._db.read(lambda connection: find_suppressed(connection, wanted, stream, also))

    async def _any(self, glance: Glance, scopes: dict[str, str]) -> bool:
        """Whether there is an entry.  Questions of one round of the event loop are answered by one look."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()
        self._asked.append((scopes, answer))
        if len(self._asked) == 1:
            loop.call_soon(self._look, glance)
        return await answer

    def _look(self, glance: Glance) -> None:
        asked, self._asked = self._asked, []
        try:
            rows = glance.each(_ANY_PLAIN, [scopes for scopes, _ in asked])
        except Exception as error:
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), row in zip(asked, rows, strict=True):
            if not answer.done():  # its caller may have gone
                answer.set_result(row is not None)

    async def of_address(self, address: str) -> list[Suppression]:
        return await self._db.read(
            lambda connection: [_entry(row) for row in connection.execute(_OF, {"which": address})]
        )

    async def page(self, after: str = "", limit: int = 100) -> list[Suppression]:
        """Entries of addresses behind `after`; a few more than `limit` rather than half of an address's."""

        def look(connection: Connection) -> list[Suppression]:
            entries = [_entry(row) for row in connection.execute(_PAGE, {"after": after, "rows": limit})]
            if entries:
                last = {"which": entries[-1].address, "after_stream": entries[-1].stream}
                entries += [_entry(row) for row in connection.execute(_REST, last)]
            return entries

        return await self._db.read(look)

    async def by_reason(self) -> dict[str, int]:
        return await self._db.read(
            lambda connection: {row.reason: row.addresses for row in connection.execute(_BY_REASON)}
        )

    async def end_expired(self, now: float) -> int:
        """Remove entries whose time is over, each with its event.  How many."""

        def write(connection: Connection) -> int:
            rows = list(connection.execute(_EXPIRED, {"now": now, "rows": _PORTION}))
            if rows:
                connection.execute(_DELETE, [{"which": row.address, "of": row.stream} for row in rows])
            append_events(
                connection,
                [SuppressionRemoved(at=now, address=row.address, stream=row.stream, by="expiry") for row in rows],
            )
            return len(rows)

        gone = 0
        while True:
            portion = await self._db.transact(write, alone=True)
            gone += portion
            if portion < _PORTION:
                return gone

    async def count(self) -> int:
        return await self._db.read(
            lambda connection: connection.execute(select(func.count()).select_from(table)).scalar() or 0
        )


def _entry(row: Row[tuple[object, ...]]) -> Suppression:
    return Suppression(
        address=row.address, stream=row.stream, reason=SuppressionReason(row.reason), at=row.at, evidence=row.evidence,
        expires_at=row.expires_at,
    )  # fmt: skip
