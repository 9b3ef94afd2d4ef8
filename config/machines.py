"""The table of machines that open and follow: user agents and networks (`machines.toml`).

Contract: `load_machines(path)` gives the shipped table, followed by the file's rows when one is named: its agents come
first, so that they win.  Raises InvalidInput naming file, row and remedy.
"""

from __future__ import annotations

import ipaddress
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from config.model import Part
from core.errors import InvalidInput
from core.recipient import Actor


class AgentRow(Part):
    pattern: str = Field(min_length=2, max_length=200)
    name: str = Field(min_length=1, max_length=60)
    actor: Literal["machine", "human"]


class NetworkRow(Part):
    network: str
    name: str = Field(min_length=1, max_length=60)


class _Table(Part):
    agents: list[AgentRow] = Field(default_factory=list, max_length=5000)
    networks: list[NetworkRow] = Field(default_factory=list, max_length=100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """`agents`: (lower-case pattern, name, actor), first match wins; '=' in front asks for the whole agent.

    `networks` by IP version and prefix length: a look-up is one dictionary look a length."""

    agents: tuple[tuple[str, str, Actor], ...]
    networks: dict[tuple[int, int], dict[int, str]]

    def agent(self, text: str) -> tuple[str, Actor] | None:
        """(name, actor) of a user agent that is known."""
        low = text.lower()
        for pattern, name, actor in self.agents:
            if low == pattern[1:] if pattern[0] == "=" else pattern in low:
                return name, actor
        return None

    def network(self, ip: str) -> str:
        """The name of the network of machines that an address lies in, '' when none is known."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return ""
        number, width = int(address), address.max_prefixlen
        for (version, length), known in self.networks.items():
            if version == address.version:
                name = known.get(number >> (width - length))
                if name is not None:
                    return name
        return ""


def load_machines(path: Path | None = None) -> Machines:
    """See the module."""
    shipped = resources.files("config").joinpath("data/machines.toml").read_text(encoding="utf-8")
    tables = [_read(shipped, "machines.toml")]
    if path is not None:
        try:
            tables.insert(0, _read(path.read_text(encoding="utf-8"), str(path)))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput("tracking.machines", f"{path} cannot be read", "Mend the path") from error
    networks: dict[tuple[int, int], dict[int, str]] = {}
    for table in tables:
        for row in table.networks:
            try:
                net = ipaddress.ip_network(row.network)
            except ValueError as error:
                raise InvalidInput(
                    "networks", f"{row.network[:60]!r} is no network", "Write it as 192.0.2.0/24"
                ) from error
            number = int(net.network_address) >> (net.max_prefixlen - net.prefixlen)
            networks.setdefault((net.version, net.prefixlen), {}).setdefault(number, row.name)
    return Machines(
        agents=tuple((row.pattern.lower(), row.name, Actor(row.actor)) for t in tables for row in t.agents),
        networks=networks,
    )


def _read(text: str, name: str) -> _Table:
    try:
        return _Table.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(name, f"is no TOML ({error})", "Mend the file") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(name, f"{where}: {first['msg']}", "See docs/recipients.md") from error
