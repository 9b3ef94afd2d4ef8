"""Zoho: `address reason, ERROR_CODE :550, ERROR_CODE :…` on one line."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="zoho",
    order=19,
    marks=(r"ERROR_CODE ?:",),
    item=rf"^[ \t\[]*(?P<address>{ADDRESS})[ \t,]*(?P<reason>[^\n]*ERROR_?CODE[^\n]*)$",
)
