"""MTA-STS (RFC 8461): what a domain demands of those who send it mail.  Pure.

Contract: `parse_record` reads the TXT records at `_mta-sts.DOMAIN` and gives the policy's id, '' when there is none or
not exactly one good one.  `parse_policy` reads a policy file; it raises StsProblem for whatever RFC 8461 section 3.2
does not allow.  Unknown keys are ignored, the first of equal keys counts.  `matches` compares a host with one `mx`
pattern: a leading `*.` stands for exactly one label (section 4.1).  Bounded: MAX_BYTES of text, MAX_HOSTS patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.tls import StsMode, StsProblem

MAX_BYTES = 65_536
MAX_HOSTS = 100
MAX_AGE = 31_557_600  # a year: the most that the RFC allows
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_HOST = re.compile(r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy.  `max_age` in seconds; `mx` patterns in lower case without final dot."""

    mode: StsMode
    max_age: int
    mx: tuple[str, ...] = ()

    def permits(self, host: str) -> bool:
        """True when the policy lists the host."""
        return any(matches(host, pattern) for pattern in self.mx)


def parse_record(texts: Iterable[str]) -> str:
    """The id of the one announced policy, '' for none (section 3.1: more than one counts as none)."""
    records = [text for text in texts if re.match(r"v=STSv1\s*;", text)]
    if len(records) != 1:
        return ""
    for part in records[0].split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.strip() == "id":
            return value.strip() if _ID.fullmatch(value.strip()) else ""
    return ""


def parse_policy(text: str) -> Policy:
    """Read a policy file.  Raises StsProblem naming what is wrong."""
    if len(text) > MAX_BYTES:
        raise StsProblem("the policy is larger than 64 kB")
    fields: dict[str, str] = {}
    mx: list[str] = []
    for line in re.split(r"\r?\n", text):
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not name and not colon:
            continue
        if not colon or not _KEY.fullmatch(name):
            raise StsProblem(f"no 'key: value' line: {line[:60]!r}")
        if name != "mx":
            fields.setdefault(name, value)
            continue
        pattern = value.lower().rstrip(".")
        if len(pattern) > 255 or not _HOST.fullmatch(pattern):
            raise StsProblem(f"mx is no host name: {value[:60]!r}")
        mx.append(pattern)
    if fields.get("version") != "STSv1":
        raise StsProblem("version is not STSv1")
    try:
        mode = StsMode(fields.get("mode", ""))
    except ValueError:
        raise StsProblem(f"mode is none of enforce, testing, none: {fields.get('mode', '')[:40]!r}") from None
    age = fields.get("max_age", "")
    if not (age.isascii() and age.isdigit() and len(age) <= 10):
        raise StsProblem(f"max_age is no number of seconds: {age[:40]!r}")
    if mode is not StsMode.NONE and not mx:
        raise StsProblem("no mx is listed")
    if len(mx) > MAX_HOSTS:
        raise StsProblem(f"more than {MAX_HOSTS} mx are listed")
    return Policy(mode=mode, max_age=min(int(age), MAX_AGE), mx=tuple(dict.fromkeys(mx)))


def matches(host: str, pattern: str) -> bool:
    """Does the host lie under the pattern?"""
    name = host.lower().rstrip(".")
    if pattern.startswith("*."):
        label, _, rest = name.partition(".")
        return bool(label) and rest == pattern[2:]
    return name == pattern


def permitted(policy: Policy, hosts: Sequence[str]) -> tuple[str, ...]:
    """Those hosts that the policy lists, sorted."""
    return tuple(sorted({host for host in hosts if policy.permits(host)}))
