"""Values of a report: read strictly, kept in one form, bounded.

Each reader returns the value or raises ValueError with what is wrong, in words that go into the reason of a refusal.
"""

from __future__ import annotations

import re
import socket
from datetime import datetime

from core.address import normal_domain
from core.errors import InvalidInput

MAX_COUNT = 10**12  # messages in one record: above what any receiver takes in a day
MAX_INSTANT = 4_102_444_800.0  # the year 2100
MAX_PERIOD = 366 * 86_400.0
_MAPPED = b"\0" * 10 + b"\xff\xff"
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,20})?")
_ADDRESS = re.compile(r"[^\s<>@,;]{1,64}@[^\s<>@,;]{1,255}")
DISPOSITIONS = frozenset({"none", "quarantine", "reject", "pass", ""})
RESULTS = frozenset(
    {"pass", "fail", "none", "neutral", "softfail", "hardfail", "policy", "temperror", "permerror", "unknown", ""}
)
POLICIES = frozenset({"none", "quarantine", "reject"})


def shown(text: str) -> str:
    """A value for a reason: one line, short, quoted."""
    return repr(text[:40] + ("…" if len(text) > 40 else ""))


def plain(text: str, limit: int = 255) -> str:
    """Text of a report for storage: printable, one line, bounded.  Mark-up in it is kept as text."""
    if len(text) <= limit and " " not in text and text.isprintable():
        return text  # what nearly every value is
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split())[:limit])


def read_count(text: str) -> int:
    """Messages of a record: 0 to MAX_COUNT."""
    bare = text.strip()
    if not bare:
        raise ValueError("count is empty")
    if not bare.isascii() or not _NUMBER.fullmatch(bare):
        raise ValueError(f"count is no number: {shown(bare)}")
    whole, _, part = bare.partition(".")
    if part.strip("0"):
        raise ValueError(f"count is no whole number: {shown(bare)}")
    count = int(whole)
    if count < 0:
        raise ValueError(f"count is negative: {shown(bare)}")
    if count > MAX_COUNT:
        raise ValueError(f"count is beyond belief: {shown(bare)}")
    return count


def read_ip(text: str) -> str:
    """An address in its shortest form; IPv4 mapped into IPv6 (RFC 4291 section 2.5.5.2) becomes IPv4."""
    bare = text.strip().strip("[]")
    if not bare:
        raise ValueError("source_ip is empty")
    if ":" not in bare:
        try:
            socket.inet_pton(socket.AF_INET, bare)
            return bare
        except (OSError, ValueError):
            pass
    try:
        packed = socket.inet_pton(socket.AF_INET6, bare)
    except (OSError, ValueError):
        what = "a network and no address" if "/" in bare else "no address"
        raise ValueError(f"source_ip is {what}: {shown(bare)}") from None
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def read_domain(text: str) -> str:
    """A domain in lower-case A-labels without final dot; what is no host name is kept as plain text."""
    bare = text.strip().strip("<>").rstrip(".").lower()
    if bare.isascii():
        return plain(bare)
    try:
        return bare.encode("idna").decode("ascii")
    except UnicodeError:
        return plain(bare)


def read_word(text: str, known: frozenset[str], field: str) -> str:
    """One of the known words, in lower case; '' when it is absent."""
    word = text.strip().lower()
    if word not in known:
        raise ValueError(f"{field} is {shown(text)}, which is none of {', '.join(sorted(known - {''}))}")
    return word


def read_instant(text: str, field: str) -> float:
    """Seconds since the epoch; milliseconds and ISO 8601 are understood as well."""
    bare = text.strip()
    if not bare:
        raise ValueError(f"{field} is missing")
    if bare.isascii() and _NUMBER.fullmatch(bare):
        at = float(bare)
        if at > MAX_INSTANT and at / 1000 <= MAX_INSTANT:
            at /= 1000
    else:
        try:
            moment = datetime.fromisoformat(bare)
        except ValueError:
            raise ValueError(f"{field} is no instant: {shown(bare)}") from None
        if moment.tzinfo is None:
            raise ValueError(f"{field} has no time zone: {shown(bare)}")
        at = moment.timestamp()
    if not 0 <= at <= MAX_INSTANT:
        raise ValueError(f"{field} is outside 1970 to 2100: {shown(bare)}")
    return at


def read_address(text: str) -> str:
    """The address in an e-mail field, with or without angle brackets and name; '' when there is none."""
    found = _ADDRESS.search(text[:1000])
    return plain(found[0]) if found else ""


def read_file_name(name: str) -> tuple[str, str, str, str]:
    """(receiver, policy domain, begin, end) of a name as RFC 7489 section 7.2.1.1 forms it; else four ''."""
    parts = name.rsplit("/", 1)[-1].split("!")
    if len(parts) < 4:
        return "", "", "", ""
    end = re.match(r"[0-9]{1,16}", parts[3])
    return parts[0][:255], parts[1][:255], parts[2][:20], end[0] if end else ""


def domain_ok(text: str) -> bool:
    """True when the text is a host name."""
    try:
        normal_domain(text)
    except InvalidInput:
        return False
    return "." in text
