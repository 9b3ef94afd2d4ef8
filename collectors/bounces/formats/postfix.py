"""Postfix without delivery status part (before 2.0, and where a gateway dropped it): `<address>: host … said: …`."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="postfix",
    order=25,
    marks=(
        r"this is the [\w ]{1,30}(?:program|system) at host",
        r"\(in reply to [\w ]+ command\)",
        r"the (?:postfix|mail) (?:program|system)\s*$",
    ),
    begin=r"the (?:\w+ )?(?:postfix|mail) (?:program|system)[ \t]*$",
    item=rf"^[ \t>]*<(?P<address>{ADDRESS})>(?: \(expanded from[^\n)]*\))?:[ \t]*(?P<reason>[^\n]*)$",
)
