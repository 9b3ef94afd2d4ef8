"""Blocklists as names and codes (RFC 5782): what to ask a zone, and what its answer means.  Pure.

Contract: an answer is Listed, Clean or Unknown, never a guess.  Codes of 127.255.255.0/24 (a mistyped zone, a public
resolver, too many queries) and the zone's own error codes say something about *us* and are Unknown; so is an address
outside 127.0.0.0/8, which a parked domain or a resolver's search page answers.  Several codes weigh as the heaviest.
A zone whose name holds a customer's key is shown as {key}: the key is a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from config.tables import BlocklistZone, Weight

SubjectKind: TypeAlias = Literal["source", "sending_domain"]
WEIGHTS: tuple[Weight, ...] = ("warn", "hold", "stop")
_ERRORS = ipaddress.ip_network("127.255.255.0/24")
_CODES = ipaddress.ip_network("127.0.0.0/8")
_ERROR_WORDS = {
    "127.255.255.252": "the zone's name is mistyped",
    "127.255.255.254": "it does not answer public resolvers: use a resolver of your own under [dns]",
    "127.255.255.255": "it was asked too often",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is looked up: an address of a source, or a sending domain."""

    kind: SubjectKind
    name: str  # the source's or the domain's name in the settings
    value: str  # the address or the domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The zone lists it."""

    codes: tuple[str, ...]
    weight: Weight
    text: str


@dataclass(frozen=True, slots=True)
class Clean:
    """The zone answered that it does not list it."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known, and why."""

    reason: str


Answer: TypeAlias = Listed | Clean | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A row of the table that is in use."""

    row: BlocklistZone
    key: str = ""

    @property
    def label(self) -> str:
        """The zone's name for people, without the key."""
        return self.row.zone

    def takes(self, subject: Subject) -> bool:
        """True when this zone lists such things."""
        if self.row.kind == "domain":
            return subject.kind == "sending_domain"
        return subject.kind == "source" and (self.row.ipv6 or ":" not in subject.value)

    def query(self, value: str) -> str:
        """The name to ask for an address or a domain."""
        suffix = self.row.zone.replace("{key}", self.key)
        if self.row.kind == "domain":
            return f"{value}.{suffix}"
        return f"{reversed_address(value)}.{suffix}"

    def hidden(self, text: str) -> str:
        """A text without the key."""
        return re.sub(re.escape(self.key), "{key}", text, flags=re.IGNORECASE) if self.key else text

    @property
    def tests(self) -> tuple[str, str]:
        """(what it must list, what it must not list): RFC 5782 section 5."""
        defaults = ("127.0.0.2", "127.0.0.1") if self.row.kind == "ip" else ("test", "invalid")
        return self.row.must_list or defaults[0], self.row.must_not_list or defaults[1]


def zones_in_use(
    rows: Sequence[BlocklistZone], *, also: Sequence[str], skip: Sequence[str], keys: Mapping[str, str]
) -> list[Zone]:
    """The rows that are on: not skipped, asked for when they want it, with their key when they need one."""
    used = [
        Zone(row=row, key=keys.get(row.key, "") if row.key else "")
        for row in rows
        if row.zone not in skip and (not row.opt_in or row.zone in also) and (not row.key or row.key in keys)
    ]
    replaced = {zone.row.instead_of for zone in used}
    return [zone for zone in used if zone.row.zone not in replaced]


def reversed_address(value: str) -> str:
    """Octets or nibbles in reverse order (RFC 5782 sections 2.1 and 2.4).  Raises ValueError."""
    address = ipaddress.ip_address(value)
    if address.version == 4:
        return ".".join(reversed(str(address).split(".")))
    return ".".join(reversed(address.exploded.replace(":", "")))


def read_answer(row: BlocklistZone, addresses: Sequence[str]) -> Answer:
    """What the A records that a zone answered mean; none is Clean."""
    if not addresses:
        return Clean()
    codes: list[str] = []
    for text in sorted(set(addresses)):
        try:
            code = ipaddress.IPv4Address(text)
        except ValueError:
            return Unknown(f"it answered {text}, which is no return code")
        if code in _ERRORS:
            return Unknown(_ERROR_WORDS.get(text, f"it answered the error code {text}"))
        if text in row.errors:
            return Unknown(f"it refuses to answer us (code {text})")
        if code not in _CODES:
            return Unknown(f"it answered {text}: the zone or the resolver is not what it should be")
        codes.append(text)
    meanings = [meaning for code in codes for meaning in _meanings(row, code)]
    weight = max((weight for _, weight in meanings), key=WEIGHTS.index)
    return Listed(codes=tuple(codes), weight=weight, text="; ".join(dict.fromkeys(text for text, _ in meanings)))


def _meanings(row: BlocklistZone, code: str) -> list[tuple[str, Weight]]:
    if row.bitmask:
        bits = int(code.rpartition(".")[2])
        known = [entry for entry in row.codes if bits & int(entry.code)]
    else:
        known = [entry for entry in row.codes if entry.code == code]
    found: list[tuple[str, Weight]] = [(entry.meaning, entry.weight or row.weight) for entry in known]
    return found or [(f"code {code}, which the table does not know", "warn")]
