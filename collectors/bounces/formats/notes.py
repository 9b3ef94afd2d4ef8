"""Lotus Notes: the reason first, the address after it, between two rulers."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="notes",
    order=33,
    marks=(r"^-+ *failure reasons? *-+",),
    begin=r"^-+ *failure reasons? *-+",
    end=r"^-+ *returned message",
    item=rf"^[ \t]*(?P<address>{ADDRESS})[ \t]*$",
    whole=True,
)
