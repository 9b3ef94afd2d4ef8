"""Settings of seed mailboxes and of placement tests.  Importers take them from `config.model`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from config.parts import Name, Part, Port


class SeedOAuth(Part):
    """OAuth 2.0 in place of a password: an access token is fetched for the refresh token (RFC 6749 section 6)."""

    service: Literal["google", "microsoft", "yahoo", "mailru", "yandex", "other"] = Field(
        "other", description="Knows the address of the token exchange and the scope"
    )
    token_url: str = Field("", description="Address of the token exchange; needed for `other`")
    client_id: str
    client_secret_file: Path | None = None
    client_secret_env: str = Field("", description="Environment variable with the client secret")
    refresh_token_file: Path | None = None
    refresh_token_env: str = Field("", description="Environment variable with the refresh token")
    scope: str = Field("", description="Sent with the exchange; the service's own when empty")
    mechanism: Literal["auto", "xoauth2", "oauthbearer"] = Field(
        "auto", description="SASL mechanism; auto takes what the server offers"
    )


class Seed(Part):
    mailbox: str
    provider: Name
    host: str
    port: Port = 993
    security: Literal["tls", "starttls", "none"] = "tls"
    ca_file: Path | None = None
    user: str
    password_file: Path | None = Field(None, description="Password or app password")
    password_env: str = Field("", description="Environment variable with the password")
    oauth2: SeedOAuth | None = None
    tabs: list[str] = Field(default_factory=list, description="Folders besides the known ones that are tabs")
    junk: list[str] = Field(default_factory=list, description="Names of the junk folder, where the server marks none")
    authserv_ids: list[str] = Field(
        default_factory=list,
        description="authserv-ids whose Authentication-Results are believed; the provider's known ones when empty",
    )


class PlacementTest(Part):
    """A test that is sent again and again."""

    name: Name
    stream: Name
    template: Path = Field(description="TOML, JSON or HTML, see `penstock template`")
    sender: str = Field("", description="From address when the template has none")
    campaign: str = Field("", max_length=100)
    every_hours: float = Field(168, ge=1, description="Time between two tests")
    providers: list[Name] = Field(default_factory=list, description="Seeds of these providers only; all when empty")


class Seeds(Part):
    mailboxes: list[Seed] = Field(default_factory=list)
    tests: list[PlacementTest] = Field(default_factory=list)
    poll_seconds: float = Field(60, ge=0.1, description="Real seconds between looks while a test is under way")
    quiet_seconds: float = Field(
        600, ge=0.1, description="... while none is; a server that offers IDLE tells of new mail at once"
    )
    window_hours: float = Field(48, ge=8, le=168, description="How long after delivery a mail may turn up")
    lane_minimum: int = Field(
        500, ge=0, description="No scheduled test to a provider while a warm-up cap there is below"
    )
    stale_days: float = Field(90, ge=7, description="A seed this old whose outcomes never differ is marked stale")
