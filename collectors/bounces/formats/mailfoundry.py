"""MailFoundry: "Unable to deliver message to: <address>", the reason below."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="mailfoundry",
    order=40,
    marks=(r"^unable to deliver message to:", r"delivery failed for the following reason"),
    end=r"^this has been a permanent failure",
    item=rf"^unable to deliver message to: *<?(?P<address>{ADDRESS})>?[^\n]*$",
)
