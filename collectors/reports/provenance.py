"""Whose word a report mail is: its own DMARC result, evaluated by us or by a hop that we trust.

Contract: `check_origin(...)` is ALIGNED when SPF (of the connecting address) or a DKIM signature passes for a domain
that is aligned with the mail's one From address, or when the topmost Authentication-Results of a trusted hop says so;
else UNALIGNED, with the reason.  `speaks_for` then asks whether that domain may speak for the reporter that the report
names: the same organisation by DMARC's tree walk.  Keys are fetched first, so the signature is verified in a thread
without network.  Bounded: 5 signatures, 8 queries a walk.  Raises Unavailable when DNS fails and nothing else proves
the mail: its sender tries again.  RFC 9989, RFC 9990 section 4, RFC 8601.
"""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import Executor
from dataclasses import dataclass
from email.errors import MessageError
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import getaddresses

from collectors.dns.dmarc import organisational_domain, tree_walk
from collectors.dns.spf import spf_result
from core.errors import Unavailable
from core.ports import NameMissing, Resolver, ResolverFailed
from core.reports import Provenance, Trust

MAX_SIGNATURES = 5
MIN_KEY_BITS = 1024
_TAG = re.compile(r"(?:^|;)\s*([a-z]{1,3})\s*=\s*([^;]*)")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
_RESULT = re.compile(r"\b(dkim|spf|dmarc)\s*=\s*pass\b([^;]*)", re.IGNORECASE)
_PROPERTY = re.compile(
    r"\b(header\.d|header\.i|header\.from|smtp\.mailfrom)\s*=\s*\"?([^\s;\"()]{1,300})", re.IGNORECASE
)
_quiet = logging.getLogger("penstock.reports.dkim")
_quiet.setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a report mail came.  `peer` is the connecting address, '' when it is not known."""

    mail_from: str = ""
    peer: str = ""


class OriginCheck:
    """See the module.  `trusted_hops` are authserv-ids whose Authentication-Results may be believed."""

    def __init__(
        self, resolver: Resolver, *, trusted_hops: tuple[str, ...] = (), executor: Executor | None = None
    ) -> None:
        self._resolver = resolver
        self._hops = frozenset(hop.lower() for hop in trusted_hops)
        self._executor = executor

    async def check(self, content: bytes, arrival: Arrival) -> Provenance:
        """The origin of one mail."""
        headers = _headers(content)
        author = _author(headers)
        if not author:
            return _unproven("the mail has not exactly one From address")
        said = _trusted_results(headers, self._hops)
        for domain, evidence in said:
            if await self._same(domain, author):
                return Provenance(trust=Trust.ALIGNED, domain=author, why=evidence)
        if self._hops and said:
            return _unproven(f"the trusted hop found nothing that is aligned with {author}")
        failed: ResolverFailed | None = None
        tried: list[str] = []
        for find in (self._spf, self._dkim):
            try:
                passing, notes = await find(content, headers, arrival)
                tried += notes
                for domain, evidence in passing:
                    if await self._same(domain, author):
                        return Provenance(trust=Trust.ALIGNED, domain=author, why=evidence)
                    tried.append(f"{evidence}, which is not aligned with {author}")
            except ResolverFailed as error:
                failed = error
        if failed is not None:
            raise Unavailable(f"the origin of a report cannot be checked now: {failed}")
        return _unproven("; ".join(tried) or "no signature and no SPF")

    async def speaks_for(self, domain: str, reporter: str) -> bool:
        """True when `domain` is of the organisation of the reporter's domain.  Raises Unavailable."""
        try:
            return await self._same(domain, reporter)
        except ResolverFailed as error:
            raise Unavailable(f"the origin of a report cannot be checked now: {error}") from error

    async def _same(self, one: str, other: str) -> bool:
        if one == other:
            return True
        if not _NAME.fullmatch(one) or not _NAME.fullmatch(other) or one.split(".")[-1] != other.split(".")[-1]:
            return False
        return await self._organisation(one) == await self._organisation(other)

    async def _organisation(self, domain: str) -> str:
        return organisational_domain(domain, await tree_walk(self._resolver, domain))

    async def _spf(
        self, _content: bytes, _headers: list[tuple[str, str]], arrival: Arrival
    ) -> tuple[list[tuple[str, str]], list[str]]:
        domain = arrival.mail_from.rpartition("@")[2].strip("<> ").rstrip(".").lower()
        if not arrival.peer or not _NAME.fullmatch(domain):
            return [], []
        answer = await spf_result(self._resolver, domain, arrival.peer)
        told = f"SPF {answer} for {domain} from {arrival.peer}"
        return ([(domain, told)], []) if answer == "pass" else ([], [told])

    async def _dkim(
        self, content: bytes, headers: list[tuple[str, str]], _arrival: Arrival
    ) -> tuple[list[tuple[str, str]], list[str]]:
        signatures = [dict(_TAG.findall(value.lower())) for name, value in headers if name == "dkim-signature"]
        keys: dict[bytes, bytes] = {}
        found: list[tuple[int, str, str]] = []
        for index, tags in enumerate(signatures[:MAX_SIGNATURES]):
            domain, selector = tags.get("d", "").strip().rstrip("."), tags.get("s", "").strip()
            name = f"{selector}._domainkey.{domain}"
            if not _NAME.fullmatch(domain) or not _NAME.fullmatch(selector) or len(name) > 253:
                continue
            try:
                texts = await self._resolver.txt(name)
            except NameMissing:
                texts = []
            if texts:
                keys[name.encode()] = texts[0].encode("ascii", "replace")
            found.append((index, domain, selector))
        if not found:
            return [], []
        good = await asyncio.get_running_loop().run_in_executor(self._executor, _verify, content, found, keys)
        passing = [
            (domain, f"DKIM passes for {domain} ({selector})") for index, domain, selector in found if index in good
        ]
        return passing, [] if passing else ["no DKIM signature passes"]


def _verify(content: bytes, found: list[tuple[int, str, str]], keys: dict[bytes, bytes]) -> set[int]:
    """Which signatures pass.  No network: keys are at hand."""
    # here and not above: it brings the whole of dnspython, which an import of files never needs
    import dkim

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        return keys.get(name.rstrip(b".").lower())

    good = set()
    for index, _domain, _selector in found:
        try:
            if dkim.DKIM(content, logger=_quiet, minkey=MIN_KEY_BITS).verify(index, dnsfunc=look_up):
                good.add(index)
        except Exception as error:  # the library raises whatever a hostile header makes its parts raise
            _quiet.debug("a signature cannot be verified: %s", error)
    return good


def _unproven(why: str) -> Provenance:
    return Provenance(trust=Trust.UNALIGNED, why=why[:300])


def _headers(content: bytes) -> list[tuple[str, str]]:
    head = re.split(rb"\r?\n\r?\n", content[:200_000], maxsplit=1)[0]
    try:
        message = BytesHeaderParser(policy=compat32).parsebytes(head + b"\n\n")
    except (MessageError, ValueError):
        return []
    return [(name.lower(), str(value)[:4000]) for name, value in message.items()[:500]]


def _author(headers: list[tuple[str, str]]) -> str:
    given = [value for name, value in headers if name == "from"]
    if len(given) != 1:
        return ""
    addresses = [address for _, address in getaddresses(given) if "@" in address]
    domain = addresses[0].rpartition("@")[2].rstrip(".").lower() if len(addresses) == 1 else ""
    return domain if _NAME.fullmatch(domain) else ""


def _trusted_results(headers: list[tuple[str, str]], hops: frozenset[str]) -> list[tuple[str, str]]:
    """(domain, evidence) of what passed, by the topmost results of a trusted hop; what lies below may be forged."""
    for name, value in headers:
        text = " ".join(value.split())
        authserv = text.partition(";")[0].split(" ")[0].lower()
        if name != "authentication-results" or authserv not in hops:
            continue
        found = []
        for method, rest in _RESULT.findall(text):
            for _, given in _PROPERTY.findall(rest):
                domain = given.rpartition("@")[2].rstrip(".").lower()
                if _NAME.fullmatch(domain):
                    found.append((domain, f"{authserv} says {method.lower()}=pass for {domain}"))
        return found or [("", f"{authserv} says nothing passed")]
    return []
