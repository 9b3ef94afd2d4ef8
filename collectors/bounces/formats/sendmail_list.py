"""The first list of Sendmail's report, and imitations: an address a line, the reason in brackets behind or below."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="sendmail-list",
    order=24,
    marks=(
        r"addresses had (?:permanent|transient|delivery)[^\n]{0,30}(?:errors|problems)",
        r"following addresses had",
    ),
    begin=r"addresses had[^\n]{0,60}$",
    item=rf"^[ \t>]*(?:\d\d\d )?[<\"]?(?P<address>{ADDRESS})[>\"]?(?P<reason>[ \t]*(?:[\[(][^\n]*)?|\.\.\.[^\n]*)$",
)
