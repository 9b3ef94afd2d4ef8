"""Novell GroupWise: "The message that you sent was undeliverable to the following:", `name (reason)` below."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="groupwise",
    order=34,
    marks=(r"undeliverable to the following", r"groupwise"),
    begin=r"undeliverable to the following:?",
    item=rf"^[ \t]*(?P<address>{ADDRESS})[ \t]*(?P<reason>\([^\n]*\))?[ \t]*$",
)
