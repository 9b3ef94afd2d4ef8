"""OpenSMTPD: `address: reason` after a greeting."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="opensmtpd",
    order=36,
    marks=(r"this is the mailer-daemon, please do not reply",),
    begin=r"list of recipients:|following list of recipients",
    item=rf"^[ \t]*(?P<address>{ADDRESS}):[ \t]*(?P<reason>[^\n]*)$",
)
