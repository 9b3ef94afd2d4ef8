"""The tables, for SQLite and PostgreSQL alike.

Invariants that the schema itself holds: one terminal event per message (partial unique index on the log), one
queue row per message, one answer per idempotency key, one suppression per address and stream.
Instants are seconds since the epoch (double precision).

The queue is laid out so that nothing a sender asks often reads more than it returns: rows name their group (what
dispatch decides about at once) by number; group 0 is mail whose domain nobody has routed yet.  A wait of our own
choosing is one number of the group, not a change of every row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()
# SQLite gives a row id only to a column that is declared exactly INTEGER
_Seq = BigInteger().with_variant(Integer(), "sqlite")
_IS_TERMINAL = text("kind IN ('Delivered', 'Bounced', 'Dropped')")
_HAS_MESSAGE = text("message_id IS NOT NULL")
_HAS_PAUSE = text("pause_id IS NOT NULL")
_IS_UNROUTED = text("group_id = 0")
_IS_LEASED = text("state = 2")
_EXPIRES = text("expires_at > 0")
_HAS_DEADLINE = text("deadline > 0")
# a few rows that change all the time find room for their next version beside the last
_HOT = {"fillfactor": 50}

events = Table(
    "events",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("message_id", Text),
    Column("pause_id", Text),
    Column("body", Text, nullable=False),
    Index("events_message", "message_id", sqlite_where=_HAS_MESSAGE, postgresql_where=_HAS_MESSAGE),
    Index("events_pause", "pause_id", sqlite_where=_HAS_PAUSE, postgresql_where=_HAS_PAUSE),
    Index("events_kind", "kind", "seq"),
    Index("events_one_end", "message_id", unique=True, sqlite_where=_IS_TERMINAL, postgresql_where=_IS_TERMINAL),
    sqlite_autoincrement=True,
)

bodies = Table(
    "bodies",
    metadata,
    Column("body_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)

queue_groups = Table(
    "queue_groups",
    metadata,
    Column("id", _Seq, primary_key=True, autoincrement=True),
    Column("sending_domain", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("queued", BigInteger, nullable=False),  # rows of this group, leased ones too; kept by storage.pending
    Column("waited", Double, nullable=False),  # seconds of our own waiting, added to every row's expiry
    Column("created", Double, nullable=False),
    Column("pool", Text, nullable=False, server_default=""),  # that the messages name; '' for none
    Column("list_source", Text, nullable=False, server_default=""),
    UniqueConstraint(
        "priority",
        "sending_domain",
        "provider",
        "site",
        "stream",
        "campaign",
        "pool",
        "list_source",
        name="queue_groups_key",
    ),
    postgresql_with=_HOT,
)

queue = Table(
    "queue",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("group_id", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("expiry", Double, nullable=False),  # expires_at less what its group had waited when the row came in
    Column("recipient", Text, nullable=False),
    Column("normal", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("sending_domain", Text, nullable=False),
    Column("body_id", Text, nullable=False),
    Column("accepted_at", Double, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("variables", Text, nullable=False),
    Column("topic", Text, nullable=False, server_default=""),  # its suppression scope, 'stream/topic'; '' for none
    Column("deadline", Double, nullable=False, server_default="0"),  # 0: none; no wait of ours puts it off
    Column("pool", Text, nullable=False, server_default=""),
    Column("list_source", Text, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False),
    Column("first_sent_at", Double, nullable=False),
    Column("source", Text, nullable=False),
    Column("reserved", Text, nullable=False),  # allowances that an unsent row still holds
    Column("last_reply", Text, nullable=False),
    Column("lease_node", Text, nullable=False),
    Column("lease_life", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("leased_at", Double, nullable=False),
    # a claim reads the front of (group, state); leased rows lie under another prefix and cost it nothing
    Index("queue_ready", "group_id", "state", "due_at"),
    Index("queue_expiry", "group_id", "expiry"),
    Index("queue_body", "body_id"),
    Index("queue_deadline", "deadline", sqlite_where=_HAS_DEADLINE, postgresql_where=_HAS_DEADLINE),
    Index("queue_unrouted", "priority", "domain", sqlite_where=_IS_UNROUTED, postgresql_where=_IS_UNROUTED),
    Index("queue_leased", "lease_until", sqlite_where=_IS_LEASED, postgresql_where=_IS_LEASED),
    # every row is rewritten a few times and then removed: by the default, a fifth of a million would lie dead in the
    # claims' way before the server cleans up
    postgresql_with={"autovacuum_vacuum_scale_factor": 0.02},
)

route_waits = Table(
    "route_waits",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("retry_at", Double, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    Column("answer", Text, nullable=False),
    Column("at", Double, nullable=False, index=True),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("address", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("expires_at", Double, nullable=False, server_default="0"),  # 0: never
    PrimaryKeyConstraint("address", "stream"),
    Index("suppressions_expiry", "expires_at", sqlite_where=_EXPIRES, postgresql_where=_EXPIRES),
)

gates = Table(
    "gates",
    metadata,
    Column("scope", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("scope", "rule"),
)

counters = Table(
    "counters",
    metadata,
    Column("source", Text, nullable=False),
    Column("sending_domain", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("cohort", Integer, nullable=False),
    Column("metric", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("list_source", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint(
        "cohort", "source", "sending_domain", "provider", "stream", "campaign", "metric", "list_source"
    ),
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

allowances = Table(
    "allowances",
    metadata,
    Column("key", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("key", "day"),
    postgresql_with=_HOT,
)

steps = Table(
    "steps",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("until", Double, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

dmarc_reports = Table(
    "dmarc_reports",
    metadata,
    Column("id", _Seq, primary_key=True, autoincrement=True),
    Column("reporter", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("report_id", Text, nullable=False),
    Column("begin_at", Double, nullable=False),
    Column("end_at", Double, nullable=False),
    Column("received_from", Text, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("reporter", "domain", "report_id", "begin_at", "end_at"),
)

dmarc_sources = Table(
    "dmarc_sources",
    metadata,
    Column("report", BigInteger, nullable=False, index=True),
    Column("source_ip", Text, nullable=False),
    Column("begin_at", Double, nullable=False, index=True),
    Column("messages", BigInteger, nullable=False),
    Column("aligned", BigInteger, nullable=False),
)
