"""Exchange 5.5 to 2003: `address on date`, then sentences and internal codes."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="exchange-2003",
    order=30,
    marks=(r"did not reach the following recipient", r"MSEXCH", r"internet mail service \(5"),
    begin=r"did not reach the following recipient\(s\):",
    item=rf"^[ \t]*(?:[^\n@]{{0,120}}smtp=)?[<\"']?(?P<address>{ADDRESS})[>\"';]{{0,2}} on [A-Z][^\n]*$",
)
