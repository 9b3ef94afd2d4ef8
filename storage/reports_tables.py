"""Tables of receivers' reports (the migration that brings them is storage.dmarc.take_over).

`report_rows` holds every record of every aggregate report, with what it is narrowed by; `counts` is 1 where the
report's origin is proven.  Keys of reports that do not count begin with '?', so that a forgery can never stand where
the true report belongs.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()
_Seq = BigInteger().with_variant(Integer(), "sqlite")

reports = Table(
    "aggregate_reports",
    metadata,
    Column("id", _Seq, primary_key=True, autoincrement=True),
    Column("reporter", Text, nullable=False),  # the authenticated domain, else '?' and the claimed name
    Column("domain", Text, nullable=False),
    Column("report_id", Text, nullable=False),
    Column("begin_at", Double, nullable=False),
    Column("end_at", Double, nullable=False),
    Column("digest", Text, nullable=False, index=True),
    Column("trust", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("records", Integer, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("aligned", BigInteger, nullable=False),
    Column("body", Text, nullable=False),  # the report without its records
    UniqueConstraint("reporter", "domain", "report_id", "begin_at", "end_at", name="aggregate_reports_key"),
)

rows = Table(
    "report_rows",
    metadata,
    Column("report", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("day", Integer, nullable=False),
    Column("counts", SmallInteger, nullable=False),
    Column("reporter", Text, nullable=False),
    Column("policy_domain", Text, nullable=False),
    Column("source_ip", Text, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Column("disposition", Text, nullable=False),
    Column("dkim", Text, nullable=False),
    Column("spf", Text, nullable=False),
    Column("header_from", Text, nullable=False),
    Column("envelope_from", Text, nullable=False),
    Column("dkim_domain", Text, nullable=False),
    Column("dkim_selector", Text, nullable=False),
    Column("dkim_result", Text, nullable=False),
    Column("spf_domain", Text, nullable=False),
    Column("spf_result", Text, nullable=False),
    Index("report_rows_report", "report"),
    Index("report_rows_day", "day"),
)

sources = Table(
    "report_sources",
    metadata,
    Column("source_ip", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("strength", SmallInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("ptr", Text, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("first_seen", Double, nullable=False),
)

sent = Table(
    "sent_hours",
    metadata,
    Column("hour", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("sending_domain", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("stream", Text, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    PrimaryKeyConstraint("hour", "source", "sending_domain", "provider", "stream"),
)

own_tls = Table(
    "tls_days",
    metadata,
    Column("day", Integer, nullable=False),
    Column("domain", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("failure", Text, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "domain", "host", "failure"),
)

tls_reports = Table(
    "tls_reports",
    metadata,
    Column("id", _Seq, primary_key=True, autoincrement=True),
    Column("reporter", Text, nullable=False),
    Column("report_id", Text, nullable=False),
    Column("begin_at", Double, nullable=False),
    Column("end_at", Double, nullable=False, index=True),
    Column("digest", Text, nullable=False),
    Column("trust", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("reporter", "report_id", "begin_at", "end_at", name="tls_reports_key"),
)

failures = Table(
    "failure_reports",
    metadata,
    Column("id", _Seq, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("trust", Text, nullable=False),
    Column("reporter", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("received_at", Double, nullable=False, index=True),
    Column("body", Text, nullable=False),
)
