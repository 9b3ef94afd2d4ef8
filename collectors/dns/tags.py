"""Tag lists `a=b; c=d` of DKIM, DMARC, MTA-STS and TLS-RPT records (RFC 6376 section 3.2)."""

from __future__ import annotations


def parse_tags(record: str) -> dict[str, str]:
    """Tags by lower-case name, in order.  Raises ValueError naming what is wrong."""
    tags: dict[str, str] = {}
    for part in record.split(";"):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        key = name.strip().lower()
        if not equals or not key or not key.replace("_", "").isalnum():
            raise ValueError(f"{part.strip()[:40]!r} is not of the form tag=value")
        if key in tags:
            raise ValueError(f"the tag {key} stands twice")
        tags[key] = value.strip()
    return tags
