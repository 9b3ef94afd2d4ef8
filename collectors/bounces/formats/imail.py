"""Ipswitch IMail: reason and address on one line."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="imail",
    order=39,
    marks=(
        r"<?SMTP32 v",
        r"undeliverable to ",
        r"user mailbox exceeds allowed size",
        r"^(?:unknown user|invalid final delivery userid|delivery failed \d+ attempts|user unknown|"
        r"unknown host|service refused):",
    ),
    item=rf"^(?P<reason>[A-Za-z][\w ]{{3,60}}?)(?::| to)?[ \t]+<?(?P<address>{ADDRESS})>?[ \t]*$",
)
