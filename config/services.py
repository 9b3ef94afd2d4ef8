"""The table of known sending services and forwarders, for naming sources in DMARC reports; and which reporters speak
for which provider, for reconciliation.

Contract: shipped data (`data/services.toml`, `data/reporters.toml`), our own collection from the services' public
documentation.  A name only names: no figure and no decision depends on it.
"""

from __future__ import annotations

import tomllib
from typing import Literal

from pydantic import Field

from config.load import DATA
from config.model import Part


class SendingService(Part):
    name: str
    kind: Literal["service", "forwarder"] = "service"
    domains: list[str] = Field(default_factory=list, description="DKIM d= or return-path domains, and all below them")
    ptr: list[str] = Field(default_factory=list, description="Ends of host names of its addresses")


class Reporter(Part):
    domain: str = Field(description="Authenticated domain of the report mail, or its organisation's")
    providers: list[str] = Field(min_length=1, description="Mailbox providers whose mail it reports")


def load_services() -> list[SendingService]:
    """The shipped services."""
    table = tomllib.loads((DATA / "services.toml").read_text(encoding="utf-8"))
    return [SendingService.model_validate(row) for row in table["services"]]


def load_reporters() -> list[Reporter]:
    """The shipped reporters."""
    table = tomllib.loads((DATA / "reporters.toml").read_text(encoding="utf-8"))
    return [Reporter.model_validate(row) for row in table["reporters"]]
