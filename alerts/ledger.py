"""What is known about each alert, and what each notifier was last told: the keeper's memory as plain data.

One `Entry` an alert, kept while it fires and until its end has been told.  The whole ledger is one JSON text in Meta,
so it survives a restart and moves to another node with the lease.  Text that cannot be read is an empty ledger: the
worst that follows is one repeated notification.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field
from typing import Any

from core.state import Alert

logger = logging.getLogger("penstock.alerts")
VERSION = 1


@dataclass(slots=True, kw_only=True)
class Told:
    """What one notifier knows of one alert.  Instants in domain time, 0 for never."""

    firing_at: float = 0.0  # last time it took the firing alert
    resolved_at: float = 0.0  # last time it took the end
    posted_at: float = 0.0  # last time it took either
    failures: int = 0  # in a row
    retry_at: float = 0.0
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Entry:
    """One alert: its latest text, its first instant, its end (0 while firing), and who was told."""

    alert: Alert
    told: dict[str, Told] = field(default_factory=dict)

    @property
    def firing(self) -> bool:
        return self.alert.ends_at == 0.0


def fingerprint(alert: Alert) -> str:
    """The alert's identity: 16 hexadecimal digits of its label set."""
    return hashlib.sha256(json.dumps(alert.labels, sort_keys=True).encode()).hexdigest()[:16]


def dump(entries: dict[str, Entry]) -> str:
    """The ledger as text, the same for the same content."""
    rows = {key: asdict(entry) for key, entry in sorted(entries.items())}
    return json.dumps({"version": VERSION, "alerts": rows}, ensure_ascii=False, sort_keys=True)


def read(text: str | None) -> dict[str, Entry]:
    """Inverse of `dump`; empty when there is nothing, or nothing that can be understood."""
    if not text:
        return {}
    try:
        stored: Any = json.loads(text)
        if stored["version"] != VERSION:
            raise ValueError(f"version {stored['version']}")
        return {
            str(key): Entry(
                alert=Alert(**row["alert"]), told={str(name): Told(**told) for name, told in row["told"].items()}
            )
            for key, row in stored["alerts"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("stored alert states cannot be read (%s): beginning anew", error)
        return {}
