"""Programs that list recipients with an asterisk and explain under "Technical details"."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="bullets",
    order=45,
    marks=(
        r"^[ \t]*technical details:",
        r"automatically generated delivery status notification",
        r"^[ \t]*\* +[^\s@]+@[^\s:]+:? [45]\d\d",
    ),
    item=rf"^[ \t]*\* +[\[<]?(?P<address>{ADDRESS})[\]>]?(?::[ \t]*(?P<reason>[^\n]*))?[ \t]*$",
)
