"""Lotus Domino: "was not delivered to:", the address, "because:", the reason."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="domino",
    order=32,
    marks=(r"^was not delivered to:", r"delivery failure:"),
    begin=r"was not delivered to:",
    item=rf"^[ \t]*(?P<address>{ADDRESS})[ \t]*$",
)
