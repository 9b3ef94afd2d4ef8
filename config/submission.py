"""Settings of the SMTP door for applications.  Importers take them from `config.model`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from config.parts import Host, Part, Port


class SmtpUser(Part):
    name: str
    password_file: Path
    sending_domain: Host | None = Field(None, description="May send only from this domain; any of ours when absent")


class SubmissionListener(Part):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 1587
    tls_port: Port | None = Field(None, description="A second door that speaks TLS from the first byte (RFC 8314)")
    tls_cert: Path | None = None
    tls_key: Path | None = None
    require_tls: bool = Field(True, description="AUTH only after STARTTLS; may be false on loopback only")
    users: list[SmtpUser] = Field(default_factory=list)
    max_size: int = Field(25_000_000, ge=1024)
    connections_per_client: int = Field(200, ge=1, description="Open at once from one client address")
    failed_logins_per_minute: int = Field(20, ge=1, description="Of one client address; then it is answered 421")
    notices: Literal["asked", "failures", "off"] = Field(
        "asked", description="Delivery status notifications: to who asked (NOTIFY=), of failures also to who did not"
    )
    delay_notice_hours: float = Field(4, gt=0, le=240, description="NOTIFY=DELAY is answered after so long")
