"""Where a domain wants TLS reports: the TXT record at `_smtp._tls.DOMAIN` (RFC 8460 section 3).  Pure.

Contract: `addresses` gives the addresses of the one good record, mailto before https, at most MAX_ADDRESSES; () when
there is no record, more than one, or a broken one: then the domain asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from core.address import parse_address
from core.errors import InvalidInput

MAX_ADDRESSES = 5
MAX_LENGTH = 1000
_VERSION = re.compile(r"v=TLSRPTv1\s*(;|$)")


def addresses(texts: Iterable[str]) -> tuple[str, ...]:
    """`mailto:ann@example.com` and `https://…` in normal form.  See the module."""
    records = [text for text in texts if _VERSION.match(text)]
    if len(records) != 1:
        return ()
    for field in records[0].split(";")[1:]:
        name, _, value = field.partition("=")
        if name.strip() == "rua":
            found = [good for uri in value.split(",") if (good := _address(uri.strip()))]
            return tuple(sorted(dict.fromkeys(found), key=lambda uri: uri.startswith("https:")))[:MAX_ADDRESSES]
    return ()


def _address(uri: str) -> str:
    if len(uri) > MAX_LENGTH or not uri.isprintable():
        return ""
    if uri.lower().startswith("mailto:"):
        try:
            return f"mailto:{parse_address(unquote(uri[7:].partition('?')[0]))}"
        except InvalidInput:
            return ""
    try:
        parts = urlsplit(uri)
        if parts.scheme.lower() != "https" or not parts.hostname or parts.username or parts.password:
            return ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    query = f"?{parts.query}" if parts.query else ""
    return f"https://{parts.hostname}{port}{parts.path or '/'}{query}"
