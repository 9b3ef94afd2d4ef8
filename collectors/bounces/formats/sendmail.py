"""Sendmail before and without delivery status parts, version 5 to 8: two lists, addresses first, then the transcript.

`554 <address>... reason` in the transcript names recipient and reason at once; `<<< 550 …` is what the other side said.
"""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="sendmail",
    order=23,
    marks=(
        r"transcript of session follows",
        r"addresses had (?:permanent|transient|delivery)[^\n]{0,20} (?:fatal )?errors",
        r"session follows -----",
    ),
    item=r"^[ \t>]{0,6}(?:<<<[ \t]*)?(?P<reason>[45]\d\d[ -](?:[45]\.\d\.\d+ )?"
    rf"<?(?P<address>{ADDRESS})>?\.\.\.[^\n]*)$",
    line=True,
)
