"""Courier: `<address>:` and a short transcript under "UNDELIVERABLE MAIL"."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="courier",
    order=26,
    marks=(r"running the courier mail server", r"^\s+undeliverable mail\s*$"),
    begin=r"following recipients cannot be delivered:",
    end=r"^-{10,}",
    item=rf"^[ \t]*<(?P<address>{ADDRESS})>:[ \t]*$",
)
