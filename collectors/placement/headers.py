"""What a receiving host wrote on a seed mail: authentication results and the words of its filter.  Pure.

Contract: `facts_of` never raises.  Authentication-Results count only when they are the host's own: their authserv-id is
one that is trusted for the mailbox (Microsoft names none), and they stand above everything that we sent: hosts put
their fields on top, so what stands at or below our signature or From line is the sender's word (RFC 8601 section 5).
Comments and quoted words are taken out first: `dkim=pass` inside one says nothing.  Bounded: 64 kB, 500 fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from email.errors import MessageError
from email.parser import BytesHeaderParser
from email.policy import compat32

from core.placement import NO_FACTS, SeedFacts

MAX_HEADER = 65_536
MAX_FIELDS = 500
MAX_FILTERS = 16
_NO_ID = "-"  # in a list of trusted ids: results without an authserv-id
# provider → authserv-ids it writes; one that begins with a point is the end of a name
AUTHSERV_IDS: dict[str, tuple[str, ...]] = {
    "gmail": ("mx.google.com",),
    "outlook": (_NO_ID, ".outlook.com", ".protection.outlook.com"),
    "office365": (_NO_ID, ".outlook.com", ".protection.outlook.com"),
    "yahoo": (".yahoo.com", ".yahoodns.net"),
    "apple": (".icloud.com", ".apple.com"),
    "mailru": ("mxs.mail.ru", ".mail.ru"),
    "yandex": (".yandex.net", ".yandex.ru"),
    "rambler": (".rambler.ru", ".rambler-co.ru"),
    "gmx": (".gmx.net", ".web.de", ".mail.com", ".server.lan"),
    "proton": (".protonmail.ch", ".proton.me"),
    "fastmail": (".messagingengine.com", ".internal"),
    "comcast": (".comcast.net",),
}
_OURS = frozenset({"dkim-signature", "x-penstock-token", "from"})  # the uppermost of what a sender writes
_METHOD = re.compile(r"(?:^|;)\s*(spf|dkim|dmarc|arc|bimi)\s*=\s*([a-z]{2,20})", re.IGNORECASE)
_PAIR = re.compile(
    r"(?:^|[;\s])(SCL|BCL|PCL|SFV|CAT|DIR|SFTY|dest|ucf|jmr)\s*:\s*([A-Za-z0-9_.-]{1,40})", re.IGNORECASE
)
_LOWER = frozenset({"dest", "ucf", "jmr"})  # as Microsoft writes them
_MICROSOFT = frozenset({"x-forefront-antispam-report", "x-microsoft-antispam", "x-microsoft-antispam-mailbox-delivery"})
# field → the name under which its value is kept
_PLAIN = {
    "x-ms-exchange-organization-scl": "SCL", "x-spam-flag": "X-Spam-Flag", "x-spam-score": "X-Spam-Score",
    "x-spam-level": "X-Spam-Level", "x-spam": "X-Spam", "x-spamd-bar": "X-Spamd-Bar",
    "x-rspamd-action": "Rspamd-Action",
    "x-spamd-result": "Rspamd", "x-yandex-spam": "Yandex-Spam", "x-gmx-antispam": "GMX-Antispam",
    "x-ui-filterresults": "GMX-Filter", "x-mras": "Mailru", "x-mailru-spam": "Mailru", "x-pm-spam": "Proton-Spam",
    "x-pm-spam-action": "Proton-Spam-Action", "x-sonic-spam-details": "Sonic", "x-ham-report": "Ham-Report",
}  # fmt: skip


def facts_of(headers: bytes, provider: str, trusted: Sequence[str] = ()) -> SeedFacts:
    """See the module.  `trusted` are authserv-ids in place of the provider's known ones."""
    fields = _fields(headers)
    if not fields:
        return NO_FACTS
    found = dict.fromkeys(("spf", "dkim", "dmarc", "arc"), "")
    authserv = ""
    for name, text in _results(fields, tuple(trusted) or AUTHSERV_IDS.get(provider, ())):
        authserv = authserv or name  # some hosts write one field for each method
        for method, result in _METHOD.findall(text):
            key = method.lower()
            # several signatures: one that passes is what DMARC asks for
            if key in found and (not found[key] or (key == "dkim" and result.lower() == "pass")):
                found[key] = result.lower()
    return SeedFacts(
        authserv=authserv, spf=found["spf"], dkim=found["dkim"], dmarc=found["dmarc"], arc=found["arc"],
        filters=tuple(_filters(fields))[:MAX_FILTERS], hops=sum(name == "received" for name, _ in fields),
    )  # fmt: skip


def _results(fields: list[tuple[str, str]], trusted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(authserv-id, results) of the host's own fields, topmost first."""
    for name, value in fields:
        if name in _OURS:
            return
        if name != "authentication-results":
            continue
        text = _bare(value)
        head, _, rest = text.partition(";")
        words = head.split()
        if words and "=" not in words[0]:
            server = words[0].lower()
            if any(server == one.lower() or (one[:1] == "." and server.endswith(one.lower())) for one in trusted):
                yield server, rest
        elif _NO_ID in trusted:
            yield _NO_ID, text


def _filters(fields: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for name, value in fields:
        found: list[tuple[str, str]] = []
        if name in _MICROSOFT:
            found = [
                (key.lower() if key.lower() in _LOWER else key.upper(), word) for key, word in _PAIR.findall(value)
            ]
        elif name == "x-spam-status":
            found = [("X-Spam-Status", value)]
        elif name in _PLAIN:
            found = [(_PLAIN[name], value)]
        for key, word in found:
            text = "".join(c for c in word.strip() if c.isprintable())[:120]
            if key not in seen and text:
                seen.add(key)
                yield key, text


def _fields(headers: bytes) -> list[tuple[str, str]]:
    try:
        block = BytesHeaderParser(policy=compat32).parsebytes(headers[:MAX_HEADER])
        return [(name.lower(), " ".join(str(value)[:8000].split())) for name, value in block.items()[:MAX_FIELDS]]
    except (MessageError, ValueError, LookupError, TypeError):
        return []


def _bare(text: str) -> str:
    """RFC 5322 comments out, nested ones too, and what stands in quotation marks: neither says a result."""
    out: list[str] = []
    depth, quoted, escaped = 0, False, False
    for c in text:
        if escaped:
            escaped = False
        elif c == "\\" and (quoted or depth):
            escaped = True
        elif c == '"' and not depth:
            quoted = not quoted
        elif c == "(" and not quoted:
            depth += 1
            continue
        elif c == ")" and depth and not quoted:
            depth -= 1
            continue
        if not depth and not quoted:
            out.append(c)
    return "".join(out)
