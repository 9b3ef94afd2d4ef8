"""The tags of a DMARC record (RFC 9989 section 4.7): what is ignored, weaker than it looks, or no address.  No DNS."""

from __future__ import annotations

import re

from collectors.dns import texts_traps as traps
from collectors.dns.finding import Finding, found

POLICIES = ("none", "quarantine", "reject")
_URI = re.compile(r"mailto:([^!,\s]+@([^!,\s]+))(![0-9]+[kmgt]?)?", re.IGNORECASE)
_KNOWN = frozenset(["v", "p", "sp", "np", "rua", "ruf", "adkim", "aspf", "fo", "t", "psd", "pct", "rf", "ri"])
_VALUES = {"adkim": ("r", "s"), "aspf": ("r", "s"), "t": ("y", "n"), "psd": ("y", "n", "u"), "np": POLICIES}
_FO = frozenset("01ds")


def targets(uris: str) -> list[tuple[str, str]]:
    """(address, its domain in lower case) of every mailto: of a rua or ruf tag."""
    return [(m[1], m[2].lower()) for m in map(_URI.fullmatch, (part.strip() for part in uris.split(","))) if m]


def about_tags(domain: str, tags: dict[str, str], *, inherited: bool) -> list[Finding]:
    """Findings about every tag but p, which is known to be valid or absent."""
    findings = []
    unknown = [tag for tag in tags if tag not in _KNOWN]
    if unknown:
        findings.append(found(traps.DMARC_TAG, domain, tags=", ".join(unknown)))
    for tag, allowed in _VALUES.items():
        value = tags.get(tag, "").lower()
        if value and value not in allowed:
            findings.append(found(traps.DMARC_VALUE, domain, tag=tag, value=value, allowed=", ".join(allowed)))
    fo = [part.strip().lower() for part in tags.get("fo", "0").split(":")]
    if not set(fo) <= _FO:
        findings.append(found(traps.DMARC_VALUE, domain, tag="fo", value=tags["fo"], allowed="0, 1, d, s"))
    for tag in ("rua", "ruf"):
        bad = [part.strip() for part in tags.get(tag, "").split(",") if part.strip() and not targets(part)]
        bad = [
            part for part in bad if not re.match(r"[a-z][a-z0-9+.-]*:", part, re.IGNORECASE) or part[:7] == "mailto:"
        ]
        if bad:
            findings.append(found(traps.DMARC_URI, domain, tag=tag, seen=bad[0]))
    for tag in () if inherited else ("sp", "np"):  # from above, sp is the policy in force
        below = tags.get(tag, "").lower()
        if below in POLICIES and POLICIES.index(below) < POLICIES.index(tags.get("p", "none").lower()):
            findings.append(found(traps.DMARC_WEAKER_BELOW, domain, tag=tag, below=below, policy=tags["p"].lower()))
    if not inherited and tags.get("psd", "").lower() == "y":
        findings.append(found(traps.DMARC_PSD, domain))
    return findings
