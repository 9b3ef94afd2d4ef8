"""The table of known sending services and forwarders, for naming sources in DMARC reports; and which reporters speak
for which provider, for reconciliation.

Contract: shipped data (`data/services.toml`, `data/reporters.toml`), our own collection from the services' public
documentation.  A name only names: no figure and no decision depends on it.  Raises TypeError or ValueError for a row
that is not of this form: the tests read both files.  Free of the settings' model, which an import of reports, that
may be a process of its own, has no other use for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_DATA = Path(__file__).with_name("data")
_KINDS = ("service", "forwarder")


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingService:
    """`domains` are DKIM d= or return-path domains, with all below them; `ptr` the ends of its hosts' names."""

    name: str
    kind: Literal["service", "forwarder"] = "service"
    domains: tuple[str, ...] = ()
    ptr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """`domain` authenticates the report mail, or is its organisation's; `providers` are those whose mail it reports."""

    domain: str
    providers: tuple[str, ...]


def load_services() -> list[SendingService]:
    """The shipped services."""
    services = [SendingService(**row) for row in _table("services.toml", "services")]
    for service in services:
        if service.kind not in _KINDS:
            raise ValueError(f"services.toml: {service.name} is of the kind {service.kind!r}, none of {_KINDS}")
    return services


def load_reporters() -> list[Reporter]:
    """The shipped reporters."""
    reporters = [Reporter(**row) for row in _table("reporters.toml", "reporters")]
    for reporter in reporters:
        if not reporter.providers:
            raise ValueError(f"reporters.toml: {reporter.domain} reports for no provider")
    return reporters


def _table(file: str, name: str) -> list[Mapping[str, Any]]:
    rows = tomllib.loads((_DATA / file).read_text(encoding="utf-8"))[name]
    return [{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()} for row in rows]
