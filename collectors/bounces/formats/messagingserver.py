"""Sun, Oracle and iPlanet Messaging Server: labelled lines for each recipient."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="messaging-server",
    order=35,
    marks=(r"^ *recipient address: ", r"cannot be delivered to the following recipients"),
    item=rf"^[ \t]*recipient address:[^\n]*?(?P<address>{ADDRESS})[^\n]*$",
)
