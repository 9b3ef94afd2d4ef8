"""Requests for consent and consents: who agreed to what, when, from where, in which words.

Contract: the bound on requests of one address is checked in the transaction that stores the next one; a confirmation
is stored once, with its event.  Rows are proof (GDPR article 7(1)): nothing here removes them.
"""

from __future__ import annotations

import json

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Index,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    update,
)

from core.events import OptInConfirmed, OptInRequested
from core.recipient import OptIn, Origin
from storage.database import Database
from storage.events import append_events

MOST = 200  # of one address that are shown

metadata = MetaData()
optins = Table(
    "optins",
    metadata,
    Column("optin_id", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("wording", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("requested_at", Double, nullable=False),
    Column("requested_ip", Text, nullable=False),
    Column("requested_agent", Text, nullable=False),
    Column("page", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("confirmed_at", Double, nullable=False),
    Column("confirmed_ip", Text, nullable=False),
    Column("confirmed_agent", Text, nullable=False),
    Index("optins_address", "address", "requested_at"),
)
_C = optins.c
_ADD = insert(optins)
_RECENT = select(func.count()).where(_C.address == bindparam("of"), _C.requested_at >= bindparam("since"))
_FIND = select(optins).where(_C.optin_id == bindparam("which"))
_SENT = update(optins).where(_C.optin_id == bindparam("which")).values(message_id=bindparam("by_message"))
_CONFIRM = (
    update(optins)
    .where(_C.optin_id == bindparam("which"), _C.confirmed_at == 0)
    .values(confirmed_at=bindparam("now"), confirmed_ip=bindparam("ip"), confirmed_agent=bindparam("agent"))
)
_OF_ADDRESS = (
    select(optins).where(_C.address == bindparam("of")).order_by(_C.requested_at.desc(), _C.optin_id.desc()).limit(MOST)
)


def create_optins(connection: Connection) -> None:
    """The migration that brings the table."""
    metadata.create_all(connection)


class SqlConsents:
    """core.ports.Consents."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def request(self, optin: OptIn, *, since: float, most: int) -> bool:
        row = {
            "optin_id": optin.optin_id, "address": optin.address, "recipient": optin.recipient,
            "scopes": json.dumps(optin.scopes), "wording": optin.wording, "language": optin.language,
            "requested_at": optin.requested_at, "requested_ip": optin.requested.ip,
            "requested_agent": optin.requested.agent, "page": optin.requested.page, "message_id": "",
            "confirmed_at": 0.0, "confirmed_ip": "", "confirmed_agent": "",
        }  # fmt: skip
        event = OptInRequested(
            at=optin.requested_at, optin_id=optin.optin_id, address=optin.address, scopes=optin.scopes,
            origin=optin.requested.page,
        )  # fmt: skip

        def write(connection: Connection) -> bool:
            asked = connection.execute(_RECENT, {"of": optin.address, "since": since}).scalar() or 0
            if asked >= most:
                return False
            connection.execute(_ADD, row)
            append_events(connection, [event])
            return True

        return await self._db.transact(write)

    async def sent(self, optin_id: str, message_id: str) -> None:
        await self._db.transact(
            lambda connection: connection.execute(_SENT, {"which": optin_id, "by_message": message_id})
        )

    async def find(self, optin_id: str) -> OptIn | None:
        return await self._db.read(lambda connection: _found(connection, optin_id))

    async def confirm(self, optin_id: str, at: float, origin: Origin) -> bool:
        def write(connection: Connection) -> bool:
            words = {"which": optin_id, "now": at, "ip": origin.ip, "agent": origin.agent}
            if connection.execute(_CONFIRM, words).rowcount == 0:
                return False
            optin = _found(connection, optin_id)
            assert optin is not None
            event = OptInConfirmed(at=at, optin_id=optin_id, address=optin.address, scopes=optin.scopes)
            append_events(connection, [event])
            return True

        return await self._db.transact(write)

    async def of_address(self, address: str) -> list[OptIn]:
        return await self._db.read(
            lambda connection: [_optin(row) for row in connection.execute(_OF_ADDRESS, {"of": address})]
        )


def _found(connection: Connection, optin_id: str) -> OptIn | None:
    row = connection.execute(_FIND, {"which": optin_id}).first()
    return None if row is None else _optin(row)


def _optin(row: Row[tuple[object, ...]]) -> OptIn:
    return OptIn(
        optin_id=row.optin_id, address=row.address, recipient=row.recipient, scopes=tuple(json.loads(row.scopes)),
        wording=row.wording, language=row.language, requested_at=row.requested_at,
        requested=Origin(ip=row.requested_ip, agent=row.requested_agent, page=row.page), message_id=row.message_id,
        confirmed_at=row.confirmed_at, confirmed=Origin(ip=row.confirmed_ip, agent=row.confirmed_agent),
    )  # fmt: skip
