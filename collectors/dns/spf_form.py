"""The form of SPF records: how they end, how long they are, and whom their networks let in.  No DNS.

`flattened` writes the addresses that a walk found into one record without look-ups: advice for who has too many.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from collectors.dns import texts_auth as say
from collectors.dns import texts_traps as traps
from collectors.dns.finding import Finding, found

MAX_BYTES = 450  # RFC 7208 section 3.4: what fits a UDP answer of 512 bytes beside name and header
_WIDE = {4: 14, 6: 29}  # prefixes shorter than these hold more than any sender has
_ALL = {"all": "+", "+all": "+", "-all": "-", "~all": "~", "?all": "?"}


def about_form(domain: str, records: Mapping[str, str]) -> list[Finding]:
    """Findings about the record of `domain` itself; `records` are all that the walk read, by name."""
    record = records[domain]
    words = record.lower().split()[1:]
    signs = [_ALL[word] for word in words if word in _ALL]
    redirects = [word.partition("=")[2] for word in words if word.startswith("redirect=")]
    findings = []
    if signs[:1] == ["+"]:
        findings.append(found(say.SPF_PASS_ALL, domain))
    if signs[:1] == ["?"] or not (signs or redirects):
        findings.append(found(say.SPF_NO_ALL, domain))
    if signs and redirects:
        findings.append(found(traps.SPF_REDIRECT, domain, domain=redirects[0]))
    size = len(record.encode())
    if size > MAX_BYTES:
        findings.append(found(traps.SPF_LONG, domain, size=size))
    findings += [
        found(traps.SPF_WIDE, domain, term=word, count=f"{count:.2g}") for word in words if (count := _wide(word)) > 0
    ]
    return findings


def _wide(word: str) -> int:
    """The number of addresses of a network that is too large; 0 for any other term."""
    kind, _, value = word.lstrip("+").partition(":")
    if kind not in ("ip4", "ip6"):
        return 0
    network = ipaddress.ip_network(value, strict=False)
    return network.num_addresses if 0 < network.prefixlen < _WIDE[network.version] else 0


def flattened(networks: Iterable[str], record: str) -> str:
    """One record with these networks and the ending of `record`; '' when it would be too long to publish."""
    ending = next((word for word in reversed(record.lower().split()) if word in _ALL), "~all")
    flat = " ".join(["v=spf1", *dict.fromkeys(networks), ending])
    return flat if len(flat) <= MAX_BYTES else ""


def network_term(address: str, prefix: str) -> str:
    """The ip4 or ip6 term for an address of `a` or `mx` and its prefix (`24`, `24//64`, `/64`); '' when none fits."""
    try:
        ip = ipaddress.ip_address(address)
        four, _, six = prefix.partition("//")
        if prefix.startswith("/"):
            four, six = "", prefix.lstrip("/")
        bits = (four if ip.version == 4 else six) or str(ip.max_prefixlen)
        network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        return ""
    return f"ip{ip.version}:{network}" if network.prefixlen < ip.max_prefixlen else f"ip{ip.version}:{ip}"
