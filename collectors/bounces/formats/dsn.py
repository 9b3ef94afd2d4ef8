"""Delivery status notifications, RFC 3464 and RFC 6533, with the damage that real mail shows.

Read from message/delivery-status parts, or from the same fields inside a text when the part was flattened.  Groups of
fields begin at a blank line or at the next Final-Recipient; folded lines are joined; a missing Action is told by the
status.
"""

from __future__ import annotations

import re

from collectors.bounces.diagnostic import find_address, read_reply, recipient_field
from collectors.bounces.finding import Action, Finding
from collectors.bounces.notice import Notice
from collectors.bounces.prose import MAX_FINDINGS, failed_recipients

_FIELD = re.compile(
    r"^[ \t>]{0,3}(original-recipient|final-recipient|action|status|diagnostic-code|remote-mta|"
    r"x-actual-recipient|reporting-mta|x-display-name|x-supplementary-info)[ \t]{0,3}:[ \t]*(.*)$",
    re.I,
)
_QUOTED = re.compile(r"^(?:[ \t]?> ?)+")
_FLAT = re.compile(r"^[ \t>]{0,3}final-recipient[ \t]?:", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(r"([245])[. ]{1,2}(\d{1,3})[. ]{1,2}(\d{1,3})")
_PLACEHOLDER = re.compile(r"redacted|undisclosed|\bunknown@", re.IGNORECASE)


class Dsn:
    """See the module."""

    name = "rfc3464"
    order = 0

    def read(self, notice: Notice) -> list[Finding]:
        texts = notice.statuses or ([notice.whole_text] if _FLAT.search(notice.whole_text) else [])
        found: list[Finding] = []
        seen: set[tuple[str, str]] = set()
        for text in texts:
            for group in _groups(text):
                one = _finding(group)
                if one is None or (one.address.lower(), one.action) in seen:
                    continue
                seen.add((one.address.lower(), one.action))
                found.append(one)
                if len(found) >= MAX_FINDINGS:
                    return found
        if len(found) == 1 and not found[0].address:
            named = failed_recipients(notice) or [find_address(notice.original.get("to"))]
            if named[0]:
                one = found[0]
                found = [Finding(address=named[0], action=one.action, reply=one.reply)]
        return found


def _groups(text: str) -> list[dict[str, str]]:
    groups: list[dict[str, str]] = [{}]
    last = ""
    parted = False  # by a blank line, which ends a group only when the next field begins another
    for raw in text.split("\n"):
        line = _QUOTED.sub("", raw)  # forwarded by a person
        match = _FIELD.match(line)
        if match:
            name, value = match[1].lower(), match[2].strip()
            begins = name in ("final-recipient", "original-recipient")
            named = "final-recipient" in groups[-1] or "original-recipient" in groups[-1]
            if (begins and name in groups[-1]) or (parted and named and (begins or name in groups[-1])):
                groups.append({})
            parted = False
            if name == "diagnostic-code" and name in groups[-1]:
                value = f"{groups[-1][name]} {value}"
            groups[-1][name] = value
            last = name
        elif not line.strip():
            parted, last = True, ""
        elif last and line[:1] in " \t>" and len(groups[-1][last]) < 4000:
            groups[-1][last] += " " + line.strip(" \t>")
        elif last == "diagnostic-code" and ":" not in line[:30] and len(groups[-1][last]) < 4000:
            groups[-1][last] += " " + line.strip()  # a folded line that lost its indentation
        else:
            last = ""
        if len(groups) > MAX_FINDINGS + 1:
            break
    return [group for group in groups if group]


def _finding(group: dict[str, str]) -> Finding | None:
    fields = [group.get(name, "") for name in ("final-recipient", "x-actual-recipient", "original-recipient")]
    addresses = [found for found in map(recipient_field, fields) if found]
    # the final form may be internal to the reporting host (user@backend): then what we wrote is the better name
    usable = [address for address in addresses if not _PLACEHOLDER.search(address)]
    usable.sort(key=lambda address: "." not in address.rpartition("@")[2])
    if not any(fields) and "diagnostic-code" not in group and "action" not in group:
        return None
    marked = _STATUS.search(group.get("status", ""))
    status = ".".join(str(int(part)) for part in marked.groups()) if marked else ""
    diagnostic = group.get("diagnostic-code", "")
    kind, semicolon, rest = diagnostic.partition(";")
    text = rest if semicolon and len(kind) < 20 and " " not in kind.strip() else diagnostic
    try:
        action = Action(re.split(r"[\s(;]", group.get("action", "").strip().lower(), maxsplit=1)[0])
    except ValueError:
        action = {"2": Action.DELIVERED, "4": Action.DELAYED}.get(status[:1], Action.FAILED)
    address = (usable or addresses or [""])[0]
    return Finding(address=address, action=action, reply=read_reply(text.strip(), status=status))


FORMAT = Dsn()
