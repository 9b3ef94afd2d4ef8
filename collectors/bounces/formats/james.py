"""Apache James and Verizon's text gateway: the error, then the envelope as "Message details"."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="james",
    order=43,
    marks=(r"^error message below:", r"^message details:"),
    item=rf"^[ \t]*rcpt to:[ \t]*<?(?P<address>{ADDRESS})>?[^\n]*$",
    whole=True,
)
