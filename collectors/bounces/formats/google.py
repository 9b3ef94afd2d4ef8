"""Gmail before its delivery status parts: the recipient, then "the error that the other server returned was"."""

from __future__ import annotations

from collectors.bounces.diagnostic import ADDRESS
from collectors.bounces.prose import Prose

FORMAT = Prose(
    name="google",
    order=38,
    marks=(r"mail delivery subsystem <mailer-daemon@(?:google|gmail)[\w.]*>",),
    begin=r"^(?:delivery to the following recipients?|an error occurred while trying to deliver|"
    r"there was a temporary problem)[^\n]*$",
    item=rf"^[ \t]+(?P<address>{ADDRESS})[ \t]*$",
)
