"""Instants as callers write them: epoch seconds, or RFC 3339 with a time zone."""

from __future__ import annotations

import re
from datetime import datetime

from core.errors import InvalidInput


def instant(value: float | str | None, name: str = "send_at") -> float | None:
    """Epoch seconds.  Raises InvalidInput naming `name`."""
    if value is None or isinstance(value, int | float):
        return value
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", value):
        return float(value)  # a header has no numbers
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise InvalidInput(name, f"{value[:40]!r} is no instant", "Write 2026-11-25T08:00:00+03:00") from error
    if at.tzinfo is None:
        raise InvalidInput(name, "has no time zone", "Write 2026-11-25T08:00:00+03:00")
    return at.timestamp()
