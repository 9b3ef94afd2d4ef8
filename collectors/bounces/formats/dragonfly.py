"""DragonFly Mail Agent: one address in a sentence, then what the other host did not like."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="dragonfly",
    order=37,
    marks=(r"dragonfly mail agent",),
    end=r"^message headers follow|^original message follows",
    item=rf"(?:delivering your mail to|mail to) <(?P<address>{ADDRESS})>\.?",
)
