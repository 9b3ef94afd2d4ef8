"""SPF (RFC 7208): would a receiver let our addresses pass, and does the record keep its limits?

Contract: `check_spf` walks the whole record once to count look-ups (10) and void look-ups (2) as the worst case, then
evaluates it for each address of ours.  Macros are read as receivers do (spf_macro); one that hangs on the single mail
(local part, EHLO) never matches: it cannot be promised.  Bounded: 10 look-ups are counted on to 60, then it stops.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from collectors.dns import texts_auth as say
from collectors.dns import texts_traps as traps
from collectors.dns.finding import Finding, Level, found
from collectors.dns.spf_form import about_form, flattened, network_term
from collectors.dns.spf_macro import check_macros, expand
from core.ports import NameMissing, NullMx, Resolver, ResolverFailed

MAX_LOOKUPS = 10
MAX_VOIDS = 2
_STOP = 60
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=(\S*)")
_LIKE_SPF = re.compile(r"^\W*(v\s*=?\s*)?spf\W*[12]?\b|\bip4:\d|\binclude:_?spf", re.IGNORECASE)
_STRANGERS = ("198.18.0.1", "240.0.0.1")  # addresses that nobody sends from (RFC 2544, RFC 1112)
_RESULTS = {"": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_BARE = frozenset({"all", "a", "mx", "ptr"})
_NAMED = frozenset({"include", "exists"})
_MECHANISMS = _BARE | _NAMED | {"ip4", "ip6"}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class _Broken(Exception):
    """A permanent error (RFC 7208 section 2.6.7): carries its finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class _Term:
    result: str
    name: str
    value: str
    prefix: str


@dataclass(slots=True)
class _Walk:
    """One walk over a record and all that it includes.  `ip` None walks everything and matches nothing."""

    resolver: Resolver
    subject: str
    ip: Address | None = None
    lookups: int = 0
    voids: int = 0
    uses_ptr: bool = False
    warnings: list[Finding] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    records: dict[str, str] = field(default_factory=dict)
    networks: list[str] = field(default_factory=list)  # ip4 and ip6 terms for all that a whole walk saw pass
    passed_by: str = ""  # the innermost domain whose record let the address pass
    unread: str = ""  # what stands at the subject in place of a record

    async def evaluate(self, domain: str) -> str:
        """pass, fail, softfail or neutral; 'none' when nothing is published."""
        if domain in self.path:
            raise _Broken(found(say.SPF_LOOP, self.subject, domain=domain))
        record = await self._record(domain)
        if not record:
            return "none"
        self.path.append(domain)
        terms, redirect = self._parse(domain, record)
        for term in terms:
            if await self._matches(term, domain):
                self.path.pop()
                if term.result == "pass":
                    self.passed_by = self.passed_by or domain
                return term.result
        answer = "neutral"
        if redirect and not any(term.name == "all" for term in terms):
            self._count()
            redirect = self._named(redirect, domain)
            answer = await self.evaluate(redirect) if redirect else "neutral"
            if answer == "none":
                raise _Broken(found(say.SPF_INCLUDE, self.subject, domain=redirect))
        self.path.pop()
        return answer

    async def _record(self, domain: str) -> str:
        if domain not in self.records:
            try:
                texts = await self.resolver.txt(domain)
            except NameMissing:
                texts = []
            own = [t for t in texts if t.lower() == "v=spf1" or t.lower().startswith("v=spf1 ")]
            if len(own) > 1:
                raise _Broken(found(say.SPF_SEVERAL, domain, count=len(own)))
            self.records[domain] = own[0] if own else ""
            if domain == self.subject and not own:
                self.unread = next((t for t in texts if _LIKE_SPF.search(t)), "")
        return self.records[domain]

    def _parse(self, domain: str, record: str) -> tuple[list[_Term], str]:
        terms: list[_Term] = []
        redirect = ""
        for word in record.split()[1:]:
            modifier = _MODIFIER.fullmatch(word)
            if modifier:
                name = modifier[1].lower()
                if name == "redirect":
                    redirect = modifier[2].rstrip(".")
                    self._check_macros(domain, word, redirect)
                elif name in _MECHANISMS and self.ip is None:
                    # an unknown modifier in RFC 7208's grammar: receivers pass over it
                    self.warnings.append(found(traps.SPF_EQUALS, self.subject, term=word, name=name))
                continue
            terms.append(self._term(domain, word))
        names = [term.name for term in terms]
        if self.ip is None and "all" in names and names[-1] != "all":
            behind = " ".join(record.split()[1:][names.index("all") + 1 :])
            self.warnings.append(found(say.SPF_AFTER_ALL, self.subject, terms=behind))
        return terms, redirect

    def _term(self, domain: str, word: str) -> _Term:
        def broken(problem: str) -> _Broken:
            return _Broken(found(say.SPF_SYNTAX, self.subject, domain=domain, problem=problem))

        sign = word[0] if word[0] in "+-~?" else ""
        name, colon, value = word[len(sign) :].partition(":")
        name, slash, prefix = name.partition("/") if not colon else (name, "", "")
        name = name.lower()
        if name in ("ip4", "ip6"):
            try:
                network = ipaddress.ip_network(value, strict=False)
            except ValueError:
                raise broken(f"{word} names no address") from None
            if network.version != int(name[2]):
                raise broken(f"{word} holds an IPv{network.version} address")
        elif name in _NAMED:
            if not value:
                raise broken(f"{word} names no domain")
        elif name not in _BARE:
            raise broken(f"{word} is no term of SPF")
        if colon and name in ("a", "mx"):
            value, slash, prefix = value.partition("/")
        if slash and not re.fullmatch(r"[0-9]{1,3}|[0-9]{0,3}//?[0-9]{1,3}|/[0-9]{1,3}", prefix):
            raise broken(f"{word} has no valid prefix length")
        self._check_macros(domain, word, value)
        return _Term(_RESULTS[sign], name, value.rstrip("."), prefix)

    def _check_macros(self, domain: str, word: str, value: str) -> None:
        try:
            check_macros(value)
        except ValueError as error:
            problem = f"{word}: {error}"
            raise _Broken(found(say.SPF_SYNTAX, self.subject, domain=domain, problem=problem)) from None

    def _named(self, value: str, domain: str) -> str:
        """The name that a term means; '' when it cannot be known: a walk that counts takes no address."""
        if "%" not in value:
            return value.lower()
        if self.ip is None:
            return ""
        return expand(value, ip=self.ip, domain=domain, sender_domain=self.subject)

    async def _matches(self, term: _Term, domain: str) -> bool:
        match term.name:
            case "all":
                return self.ip is not None
            case "ip4" | "ip6":
                if self.ip is None and term.result == "pass":
                    self.networks.append(f"{term.name}:{term.value}")
                return self.ip is not None and self.ip in ipaddress.ip_network(term.value, strict=False)
            case "include":
                self._count()
                name = self._named(term.value, domain)
                if not name:
                    return False
                answer = await self.evaluate(name)
                if answer == "none":
                    raise _Broken(found(say.SPF_INCLUDE, self.subject, domain=name))
                return answer == "pass"
            case "ptr":
                self._count()
                self.uses_ptr = True
                return False
        self._count()
        name = self._named(term.value, domain) if term.value else domain
        if not name:
            return False
        addresses = await self._addresses(term.name, name)
        if term.name == "exists":
            return self.ip is not None and bool(addresses)
        if self.ip is None and term.result == "pass":
            self.networks += filter(None, (network_term(address, term.prefix) for address in addresses))
        return self.ip is not None and any(_within(self.ip, address, term.prefix) for address in addresses)

    async def _addresses(self, kind: str, name: str) -> list[str]:
        try:
            if kind != "mx":
                answer = await self.resolver.addresses(name)
            else:
                hosts = [mx.host for mx in await self.resolver.mx(name) if mx.preference or mx.host != name]
                if len(hosts) > MAX_LOOKUPS:
                    problem = f"mx of {name} has {len(hosts)} hosts, more than 10"
                    raise _Broken(found(say.SPF_SYNTAX, self.subject, domain=name, problem=problem))
                answer = []
                for host in hosts:
                    try:
                        answer += await self.resolver.addresses(host)
                    except NameMissing:
                        continue
        except (NameMissing, NullMx):
            answer = []
        if not answer:
            self.voids += 1
        return answer

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > _STOP:
            raise _Broken(found(say.SPF_LOOKUPS, self.subject, lookups=f"over {_STOP}"))


def _within(ip: Address, text: str, prefix: str) -> bool:
    term = network_term(text, prefix)
    return bool(term) and ip in ipaddress.ip_network(term[4:])


async def check_spf(resolver: Resolver, domain: str, addresses: Sequence[str]) -> list[Finding]:
    """Findings about the SPF record of `domain` (a return-path domain) for our `addresses`."""
    walk = _Walk(resolver, domain)
    try:
        if await walk.evaluate(domain) == "none":
            return [_missing(domain, walk.unread, wanted_record(addresses))]
        results = {ip: await _result(resolver, domain, ip, walk.records) for ip in addresses}
    except _Broken as error:
        return [error.finding, *walk.warnings]
    except ResolverFailed as error:
        return [found(say.DNS_FAILED, domain, name=f"SPF {domain}", problem=error)]
    findings = list(walk.warnings)
    if walk.lookups > MAX_LOOKUPS:
        findings.append(found(say.SPF_LOOKUPS, domain, lookups=walk.lookups))
    elif walk.lookups >= MAX_LOOKUPS - 1:
        findings.append(found(say.SPF_NEAR_LIMIT, domain, lookups=walk.lookups))
    if walk.lookups >= MAX_LOOKUPS - 1 and (flat := flattened(walk.networks, walk.records[domain])):
        findings.append(found(traps.SPF_FLAT, domain, record=flat))
    if walk.voids:
        findings.append(found(say.SPF_VOIDS if walk.voids > MAX_VOIDS else say.SPF_VOID, domain, voids=walk.voids))
    if walk.uses_ptr:
        findings.append(found(say.SPF_PTR, domain))
    passing_all = about_form(domain, walk.records)
    findings += passing_all
    if not any(f.level is Level.PROBLEM for f in passing_all):
        findings += await _strangers(resolver, domain, walk.records)
    findings += [
        found(say.SPF_NOT_COVERED, domain, ip=ip, result=result, term=f"ip{_version(ip)}:{ip}")
        for ip, result in results.items()
        if result != "pass"
    ]
    if not addresses:
        findings.append(found(say.SPF_UNTESTED, domain))
    return findings or [found(say.SPF_OK, domain, lookups=walk.lookups)]


async def _result(resolver: Resolver, domain: str, ip: str, records: dict[str, str]) -> str:
    return await _Walk(resolver, domain, ip=ipaddress.ip_address(ip), records=records).evaluate(domain)


async def _strangers(resolver: Resolver, domain: str, records: dict[str, str]) -> list[Finding]:
    """Whoever passes from addresses that nobody has, passes from any."""
    walks = [_Walk(resolver, domain, ip=ipaddress.ip_address(ip), records=records) for ip in _STRANGERS]
    try:
        if [await walk.evaluate(domain) for walk in walks] != ["pass", "pass"]:
            return []
    except _Broken:  # a macro led the stranger to what does not exist: he does not pass
        return []
    return [found(traps.SPF_STRANGERS, domain, domain=walks[0].passed_by or domain)]


def _missing(domain: str, unread: str, record: str) -> Finding:
    if unread:
        return found(traps.SPF_UNREAD, domain, seen=unread, record=record)
    return found(say.SPF_MISSING, domain, record=record)


def _version(ip: str) -> int:
    return ipaddress.ip_address(ip).version


def wanted_record(addresses: Sequence[str]) -> str:
    """The record that lets our addresses pass and nobody else."""
    return " ".join(["v=spf1", *(f"ip{_version(ip)}:{ip}" for ip in addresses), "-all" if addresses else "mx -all"])


async def spf_result(resolver: Resolver, domain: str, ip: str) -> str:
    """check_host() of RFC 7208 for one address: pass, fail, softfail, neutral, none or permerror.

    A macro of the local part or EHLO never matches: such a record may give less than pass.  Raises ResolverFailed."""
    try:
        walk = _Walk(resolver, domain, ip=ipaddress.ip_address(ip))
        answer = await walk.evaluate(domain)
    except (_Broken, ValueError):
        return "permerror"
    return "permerror" if walk.lookups > MAX_LOOKUPS or walk.voids > MAX_VOIDS else answer
