"""What is known about blocklists, as plain data that survives a restart and moves to another node: one text in Meta.

A `Mark` is the last answer about one subject in one zone; a `Health` is whether a zone can be trusted and what it cost
today.  Text that cannot be read is an empty ledger: what is listed is then found again, and told once more.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from typing import Any

from collectors.dns.zones import SubjectKind
from config.tables import Weight

logger = logging.getLogger("penstock.blocklists")
META = "blocklists"
VERSION = 1


@dataclass(slots=True, kw_only=True)
class Mark:
    """`asked` is the last answer that was Listed or Clean; `since` the beginning of the listing, 0 when clean."""

    kind: SubjectKind
    name: str
    subject: str
    zone: str
    asked: float = 0.0
    since: float = 0.0
    codes: list[str] = field(default_factory=list)
    weight: Weight = "warn"
    text: str = ""
    delist: str = ""

    @property
    def listed(self) -> bool:
        return self.since > 0


@dataclass(slots=True, kw_only=True)
class Health:
    """`blind_since` is 0 while the zone is trusted; `problem` says why it is not."""

    zone: str
    tested: float = 0.0
    blind_since: float = 0.0
    problem: str = ""
    day: int = 0
    queries: int = 0


@dataclass(slots=True)
class Ledger:
    """Everything, by zone and by (zone, subject)."""

    marks: dict[str, Mark] = field(default_factory=dict)
    zones: dict[str, Health] = field(default_factory=dict)

    @property
    def listings(self) -> list[Mark]:
        """What is listed now."""
        return [mark for mark in self.marks.values() if mark.listed]

    @property
    def blind(self) -> list[Health]:
        """Zones that cannot be trusted now."""
        return [health for health in self.zones.values() if health.blind_since > 0]

    def mark(self, kind: SubjectKind, name: str, subject: str, zone: str) -> Mark:
        """The mark of a subject in a zone, made when there is none."""
        return self.marks.setdefault(f"{zone}|{subject}|{name}", Mark(kind=kind, name=name, subject=subject, zone=zone))

    def health(self, zone: str) -> Health:
        """The health of a zone, made when there is none."""
        return self.zones.setdefault(zone, Health(zone=zone))

    def dump(self) -> str:
        """The ledger as text."""
        rows = {key: asdict(mark) for key, mark in sorted(self.marks.items())}
        zones = {key: asdict(health) for key, health in sorted(self.zones.items())}
        return json.dumps({"version": VERSION, "marks": rows, "zones": zones}, ensure_ascii=False, sort_keys=True)


def read(text: str | None) -> Ledger:
    """Inverse of `Ledger.dump`; empty when there is nothing, or nothing that can be understood."""
    if not text:
        return Ledger()
    try:
        stored: Any = json.loads(text)
        if stored["version"] != VERSION:
            raise ValueError(f"version {stored['version']}")
        return Ledger(
            marks={str(key): Mark(**row) for key, row in stored["marks"].items()},
            zones={str(key): Health(**row) for key, row in stored["zones"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("stored listings cannot be read (%s): beginning anew", error)
        return Ledger()
