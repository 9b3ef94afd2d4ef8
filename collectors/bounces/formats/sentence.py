"""Programs that tell everything in one sentence: "recipients returned permanent errors: address. Reason: …"."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="sentence",
    order=46,
    marks=(r"returned (?:permanent|temporary) errors?:", r"^\d+ error\(s\):"),
    item=rf"returned \w+ errors?:[ \t]*<?(?P<address>{ADDRESS})>?\.?",
)
