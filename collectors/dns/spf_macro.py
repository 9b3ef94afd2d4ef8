"""SPF macros (RFC 7208 section 7): their form, and what they mean for one address of ours.

Contract: `expand` gives the name, or '' when it hangs on what differs from mail to mail (the local part, the EHLO
name).  The sender's domain is the return path's, so %{o} and %{d} are known.  Raises ValueError naming the macro that
receivers take for an error.  Pure.
"""

from __future__ import annotations

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ANY = re.compile(r"%(?:\{([A-Za-z])([0-9]*)(r?)([-.+,/_=]*)\}|([%_-]))?", re.IGNORECASE)
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
_KNOWN = frozenset("iovd")
_LETTERS = frozenset("slodiphv")  # c, r and t belong to exp= alone
_MAX_NAME = 253


def check_macros(text: str) -> None:
    """Raise ValueError when a receiver would take a macro of `text` for an error."""
    for match in _ANY.finditer(text):
        letter = (match[1] or "").lower()
        if letter in _LETTERS or match[5]:
            if match[2] and not int(match[2]):
                raise ValueError(f"{match[0]} keeps no part of the name")
            continue
        raise ValueError(f"{text[match.start() : match.start() + 6]} is no macro of SPF")


def expand(text: str, *, ip: Address, domain: str, sender_domain: str) -> str:
    """`text` as a receiver reads it for mail from `ip`: `domain` holds the record, `sender_domain` the return path."""
    values = {
        "i": ip.exploded if ip.version == 4 else ".".join(ip.exploded.replace(":", "")),
        "v": "in-addr" if ip.version == 4 else "ip6",
        "o": sender_domain,
        "d": domain,
    }
    if any(match[1] and match[1].lower() not in _KNOWN for match in _ANY.finditer(text)):
        return ""

    def value(match: re.Match[str]) -> str:
        if match[5]:
            return _ESCAPES[match[5]]
        parts = re.split(f"[{re.escape(match[4] or '.')}]", values[match[1].lower()])
        if match[3]:
            parts.reverse()
        return ".".join(parts[-int(match[2]) :] if match[2] else parts)

    name = _ANY.sub(value, text).lower().rstrip(".")
    while len(name) > _MAX_NAME and "." in name:  # RFC 7208 section 7.3: labels are left off from the left
        name = name.partition(".")[2]
    return name
