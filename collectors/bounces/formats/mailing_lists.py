"""Refusals of mailing lists and group services: Google Groups, fml, majordomo, Listserv.

They say in every language that the group may be missing *or* takes no posts from this sender; neither is told, so
none of it is a dead address.
"""

from __future__ import annotations

import re

from collectors.bounces.diagnostic import find_address, find_addresses
from collectors.bounces.finding import Action, Finding
from collectors.bounces.notice import Notice
from collectors.bounces.prose import failed_recipients
from core.reply import MAX_REPLY_TEXT, Reply, Stage

_GROUPS = re.compile(r"groups\.google\.com/|support\.google\.com/a/\S{0,60}/groups|google groups", re.IGNORECASE)
_OWN = re.compile(r"x-mlserver: fml|\[fml |this is the (?:fml|majordomo|listserv)|the fml mailing list|majordomo", re.I)
_NAMED = re.compile(
    r"(?:mail from|posts? (?:to|from)|message-id in|article (?:to|from)|"
    r"list)[^\n<]{0,40}<([^\n<>@]{1,64}@[^\n<>]{1,200})>",
    re.I,
)


class MailingLists:
    """See the module."""

    name = "mailing-lists"
    order = 10

    def read(self, notice: Notice) -> list[Finding]:
        text = notice.text
        if "googlemail.com" in notice.sender or "google.com" in notice.sender:
            if not _GROUPS.search(text[:8000]):
                return []
            addresses = failed_recipients(notice) or find_addresses(notice.original.get("to"))[:1]
        elif _OWN.search(f"x-mlserver: {notice.headers.get('x-mlserver')}\n{text[:2000]}"):
            named = _NAMED.search(text)
            addresses = [found for found in (named[1] if named else "", find_address(notice.sender)) if found][:1]
        else:
            return []
        said = f"posting not allowed by the list: {' '.join(text.split())}"[:MAX_REPLY_TEXT]
        reply = Reply(code=0, text="".join(c if c.isprintable() else " " for c in said), stage=Stage.REPORT)
        return [Finding(address=address, action=Action.FAILED, reply=reply) for address in addresses]


FORMAT = MailingLists()
