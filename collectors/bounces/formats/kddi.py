"""KDDI (au) and its providers: "Could not be delivered to: <address>", the reason as a subordinate clause."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="kddi",
    order=42,
    marks=(
        r"your mail (?:sent on|attempted to be delivered on)",
        r"could not be delivered to:",
        r"mail system error - returned mail",
    ),
    item=rf"^[ \t]*(?:could not be delivered to|recipient)?[ \t]*:?[ \t]*<(?P<address>{ADDRESS})>(?P<reason>[^\n]*)$",
)
