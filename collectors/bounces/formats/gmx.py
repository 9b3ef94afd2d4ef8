"""GMX, web.de, 1&1 (Nemesis): the address in quotes or bare with a colon, then SMTP error and host."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="gmx",
    order=21,
    marks=(
        r"smtp error from remote server (?:for|after) \w+ command",
        r"^for the following reason:",
        r"(?:mailer-daemon|postmaster)@(?:[\w.-]*\.)?(?:gmx|1and1|kundenserver)\.",
    ),
    begin=r"(?:address(?:es|\(es\))?\s+failed|following recipients?[^:\n]{0,40}):",
    item=rf"^[ \t]*[\"<]?(?P<address>{ADDRESS})[\">]?:?[ \t]*$",
)
