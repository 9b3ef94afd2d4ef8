"""Settings of egress: sources, the pools that they form, relays in place of recipients' own hosts, limits of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from config.parts import Host, Name, Part, Port


class Source(Part):
    name: Name
    bind: str = Field("", description="Local address to send from, IPv4 or IPv6; empty lets the system choose")
    ehlo: Host = Field(description="EHLO name: its A record and the address's PTR must agree with it")
    weight: float = Field(1.0, gt=0, le=1000)


class Pool(Part):
    """Sources that send the mail which names the pool: by message, by stream or by sending domain, in this order."""

    name: Name
    sources: list[Name] = Field(min_length=1)
    overflow: Name | Literal[""] = Field(
        "", description="Pool that takes the mail which no source of this one may send now: warm-up, or sources out"
    )


class Relay(Part):
    """A host that takes certain mail in place of the recipient's own (smarthost)."""

    name: Name
    domains: list[str] = Field(
        default_factory=list,
        description="Recipient domains: 'example.com', or '*.example.com' for those below; all when empty",
    )
    streams: list[Name] = Field(default_factory=list, description="Mail of these streams; of all when empty")
    host: Host
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    verify: bool = Field(True, description="The certificate must be good for `host`")
    user: str = ""
    password_file: Path | None = Field(None, description="Password of `user` (AUTH PLAIN or LOGIN)")
    connections: int = Field(10, ge=1, le=1000, description="Open connections per source")
    messages_per_connection: int = Field(100, ge=1)


LimitDimension = Literal["source", "sending_domain", "provider", "site", "lane", "pool", "stream", "campaign"]


class Limit(Part):
    """A limit of ours on what is sent; every limit that covers a message holds."""

    name: Name
    scope: str = Field("all", description="Mail that it is about, e.g. provider=gmail,stream=bulk")
    each: list[LimitDimension] = Field(
        default_factory=list, description="Counted apart for each combination of these; all together when empty"
    )
    messages: str = Field("", description="Rate of messages, e.g. 600/minute; per second, minute, hour or day")
    new_connections: str = Field("", description="Rate of openings, e.g. 100/minute")
    burst: int = Field(0, ge=0, le=1_000_000, description="That may come at once; 0: one second's worth, at least 1")
    connections: int = Field(0, ge=0, le=10_000, description="Open at once; 0: no limit")
    messages_per_connection: int = Field(0, ge=0, description="0: as the provider table says")


class ProviderLimit(Part):
    """What a mailbox provider bears from one source of ours, where we know it better than the shipped table."""

    provider: str = Field(description="A provider of the table, or 'other' for each site of no known provider")
    connections: int | None = Field(None, ge=1, le=1000, description="Open connections per source")
    messages_per_connection: int | None = Field(None, ge=1, le=100_000)
    new_connections_per_minute: int | None = Field(None, ge=0, le=100_000, description="Per source; 0: no limit")
