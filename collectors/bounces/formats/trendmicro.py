"""Trend Micro InterScan and SurfControl: "Unable to deliver message to <address>" in a sentence."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="trend-micro",
    order=44,
    marks=(r"message from interscan", r"interscan (?:messaging|nt)", r"surfcontrol", r"your message could not be sent"),
    item=rf"(?:unable to deliver message to|addressed to|sent to|rcpt to:?|"
    rf"recipient:?)[ \t:]*<?(?P<address>{ADDRESS})>?",
)
