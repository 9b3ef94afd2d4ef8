"""Mimecast: an address, a guess and a quotation, each after two dashes."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="mimecast",
    order=41,
    marks=(r"attempted to send to the following address could not be de?liver", r"^the problem appears to be"),
    begin=r"following address could not be[^:]{0,20}:",
    end=r"^this condition occurred|^if you sent the email",
    item=rf"^-- *(?P<address>{ADDRESS})[ \t]*$",
)
