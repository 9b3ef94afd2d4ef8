"""The last resort: any prose that announces a failure and names somebody who is not the reader or the writer.

Asked only when the mail calls itself a failure.  Addresses at the beginning of a line are taken before labelled ones,
those before any other; the addresses of the notice's own sender and reader never count.
"""

from __future__ import annotations

import re

from collectors.bounces.diagnostic import ADDRESS, clean_address, find_address, find_addresses
from collectors.bounces.finding import Action, Finding, prose_finding
from collectors.bounces.notice import Notice
from collectors.bounces.prose import MAX_FINDINGS, address_item, failed_recipients, is_delay

_FAILURE = re.compile(


            r"undeliver|automatically rejected|rejected mail|un?able to (?:be )?deliver|returned? (?:mail|"
            r"to sender|message|e-?mail)|mail (?:delivery|"
        r"system|returned)|delivery (?:status|failure|failed|error|report|problem|notif|has failed|incomplete)"

        r"|failure (?:notice|notif|delivery)|(?:message|mail|e-?mail|delivery|"

            r"could)[^\n]{0,30}(?:not (?:be )?(?:delivered|sent)|failed|rejected|bounced|undeliver|"
            r"automatically rejected|rejected mail|refused|"
        r"expired|blocked|exceeded)"

        r"|non ?-?(?:delivery|remis)|user unknown|unknown user|mailbox (?:full|unavailable)|nondeliverable|"
        r"warning: (?:could not|message)|\bbounced?\b|недостав|не доставлен|не удалось|возвра|ошибка|未達|"
        r"送信できません|配信不能|エラー|退信|无法|unzustellbar|non recapitabile|no se (?:ha )?pu|devolvid|échec|"
        r"impossible|"
        r"onbestelbaar",
    re.IGNORECASE,
)  # fmt: skip
_SYSTEM = re.compile(
    r"mailer-?daemon|post_?master|mail ?delivery|mail (?:system|administrator|server)|(?:^|<)(?:bounce|"
    r"noreply-bounce|mdaemon|mail-?daemon|double-bounce|listserv|autoreply)",
    re.I,
)
_LINE = re.compile(
    address_item(after=r"(?=[ \t]*(?:$|[:;,.\[(<]|\.\.\.|-|on\b|failed|unknown|not|user|invalid|said))"), re.M | re.I
)
_LABELLED = re.compile(
    r"(?<![\w.@-])(?:recipient(?:\(s\))?(?: address)?(?:es)?|rcpt ?to|(?:un)?deliver(?:ed|y|ing|"
    r"able)?(?: (?:your|the|this))?"
    r"(?: (?:mail|message|e-?mail))?(?: has failed)? (?:to|for)|user(?: unknown)?|address(?:es)?|mailbox|"
    r"account|for|to|"
    r"sent to|errors?)(?=[\s:=<\"'-])[ \t]*(?:was|is|were|failed|=|:|-)?[ \t:]*\n?[ \t]*[<\"'(\[]{0,2}"
    rf"(?P<address>{ADDRESS})",
    re.IGNORECASE,
)
_CONTACT = re.compile(
    r"(?:contact|postmaster|abuse|help|support|from|sender|reply to|mail from|forward(?:ed)? (?:this|"
    r"it) to|administrator|e-?mail us)[^\n@]{0,50}$",
    re.I,
)
_OFFICIAL = re.compile(
    r"^(?:postmaster|mailer-daemon|abuse|support|noreply|no-reply|helpdesk|admin(?:istrator)?|hostmaster|mail-daemon)@",
    re.I,
)
_NO_ADDRESS = re.compile(r"message-id|^\s*(?:from|sender|return-path|reply-to|date|id)\s*:", re.I)


class Generic:
    """See the module."""

    name = "generic"
    order = 90

    def read(self, notice: Notice) -> list[Finding]:
        if not looks_like_failure(notice):
            return []
        text = notice.text
        own = {
            find_address(notice.headers.get(name)).lower()
            for name in ("from", "to", "sender", "return-path", "reply-to")
        }
        action = Action.DELAYED if is_delay(notice) else Action.FAILED
        named = failed_recipients(notice)
        found = [(match.start(), address) for match, address in _matches(_LINE, text, own)]
        found = found or [(match.start("address"), address) for match, address in _matches(_LABELLED, text, own)]
        if named:
            low = text.lower()
            found = sorted((low.find(a.lower()), a) for a in named)
        if not found:
            anywhere = [
                a for a in find_addresses(_without_contacts(text)) if a.lower() not in own and not _OFFICIAL.match(a)
            ]
            found = [(text.find(a), a) for a in anywhere[:1]]
        if not found:
            others = [
                a
                for name in ("to", "x-envelope-to", "delivered-to")
                for a in find_addresses(", ".join(notice.original.all(name)))
            ]
            found = [(-1, address) for address in others[:20]]
        out: dict[str, Finding] = {}
        for number, (at, address) in enumerate(found[:MAX_FINDINGS]):
            following = found[number + 1][0] if number + 1 < len(found) else len(text)
            block = text if at < 0 or len({a.lower() for _, a in found}) == 1 else text[at:following]
            out.setdefault(address.lower(), prose_finding(address, action, block[:3000]))
        return list(out.values())


def _matches(pattern: re.Pattern[str], text: str, own: set[str]) -> list[tuple[re.Match[str], str]]:
    found: list[tuple[re.Match[str], str]] = []
    for match in pattern.finditer(text):
        address = clean_address(match["address"])
        line = text[text.rfind("\n", 0, match.start("address")) + 1 : match.start("address")]
        if address.lower() in own or _OFFICIAL.match(address) or _CONTACT.search(line) or _NO_ADDRESS.search(line):
            continue
        found.append((match, address))
        if len(found) >= MAX_FINDINGS:
            break
    return found


def _without_contacts(text: str) -> str:
    return "\n".join(
        line
        for line in text.split("\n")
        if not _CONTACT.search(line.partition("@")[0]) and not _NO_ADDRESS.search(line)
    )


def looks_like_failure(notice: Notice) -> bool:
    """True when the mail says of itself that it reports a failure."""
    subject = notice.subject
    if subject and _FAILURE.search(subject):
        return True
    system = (
        bool(_SYSTEM.search(notice.sender))
        or notice.headers.get("return-path").strip() in ("<>", "<MAILER-DAEMON>")
        or bool(notice.headers.get("x-failed-recipients"))
    )
    return system and bool(_FAILURE.search(notice.text[:4000]))


FORMAT = Generic()
