"""Settings of the intake of receivers' reports."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from config.parts import Host, Part


class ReportReceiver(Part):
    reporter: Host = Field(description="Authenticated domain of the report mail")
    providers: list[str] = Field(min_length=1, description="Providers whose mail it reports, e.g. other:mx1.alpha.test")


class TlsReports(Part):
    """Daily reports of our TLS sessions to the domains that ask for them (RFC 8460)."""

    enabled: bool = False
    organization: str = Field("", max_length=200, description="Who reports; the first sending domain when empty")
    contact: str = Field("", max_length=254, description="Address for questions; postmaster@ the domain when empty")
    sending_domain: Host | None = Field(None, description="Signs the mails and names the submitter; the first if none")
    stream: str = Field("", max_length=64, description="Of the mails; the first transactional one when empty")
    delay_hours: float = Field(
        4, ge=0, le=12, description="Reports leave within so long after the UTC day, each at its own moment"
    )


class Reports(Part):
    """Intake of DMARC, TLS and failure reports."""

    folder: Path | None = Field(None, description="Watched folder: what is put there is read, then moved to done/")
    trusted_hops: list[str] = Field(
        default_factory=list,
        description="authserv-ids whose Authentication-Results are believed: only if all mail passes that hop",
    )
    distrusted: list[Host] = Field(default_factory=list, description="Reporters whose reports never count")
    redact: bool = Field(True, description="Keep no local part and no subject of a failure report")
    failure_days: float = Field(30, gt=0, le=366, description="Failure reports are forgotten after so many days")
    new_source_messages: int = Field(100, ge=1, description="Tell of an unknown source with so many messages a day")
    alignment_drop: float = Field(0.05, gt=0, lt=1, description="Tell when a day's alignment falls by this share")
    unused_selector_days: int = Field(30, ge=1)
    receivers: list[ReportReceiver] = Field(default_factory=list, description="Reporters besides the shipped table's")
