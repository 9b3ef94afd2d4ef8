"""qmail and its heirs (netqmail, indimail, Yahoo's front, BMTP): `<address>:` and the reason in the lines below."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="qmail",
    order=22,
    marks=(
        r"this is the [\w.-]*qmail-send program",
        r"^hi\. this is the",
        r"unable to deliver (?:your )?message to the following address",
        r"remote host said:",
        r"i'm afraid i wasn't able to deliver",
        r"I tried to deliver a bounce message",
        r"message from +yahoo",
        r"^this is the machine generated message from mail service",
    ),
    item=rf"^[ \t>]*<?(?P<address>{ADDRESS})>?:[ \t]*(?P<reason>[^\n]*)$",
)
