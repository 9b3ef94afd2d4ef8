"""Dovecot's and Sieve's refusals, as a receipt (RFC 8098) or a plain mail: "was automatically rejected".

The words below are the recipient's own rule or the mailbox's quota.
"""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="dovecot",
    order=12,
    marks=(r"^your message to <[^>\n]{3,200}> was automatically rejected",),
    item=rf"^your message to <(?P<address>{ADDRESS})> was automatically rejected:?",
)
