"""DMARC policy discovery by tree walk (RFC 9989 section 4.10), and whether our mail and our reports fit it.

Contract: at most 8 queries a walk; several records at one name count as none.  The organisational domain is where the
walk says it is: the name with psd=n, the one below psd=y, else the record with the fewest labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from collectors.dns import texts_auth as say
from collectors.dns import texts_traps as traps
from collectors.dns.dmarc_tags import POLICIES, about_tags, targets
from collectors.dns.finding import Finding, found
from collectors.dns.reach import takes_mail
from collectors.dns.suffix import listed_organisation
from collectors.dns.tags import parse_tags
from core.ports import NameMissing, Resolver, ResolverFailed

MAX_QUERIES = 8
_OLD_TAGS = ("pct", "rf", "ri")


@dataclass(frozen=True, slots=True)
class Step:
    """What one name of the walk answered."""

    domain: str
    records: tuple[str, ...]

    @property
    def usable(self) -> bool:
        return len(self.records) == 1


async def tree_walk(resolver: Resolver, domain: str) -> list[Step]:
    """The names from `domain` up to the top that hold DMARC records.  Raises ResolverFailed."""
    steps: list[Step] = []
    for name in walk_names(domain):
        try:
            texts = await resolver.txt(f"_dmarc.{name}")
        except NameMissing:
            continue
        records = tuple(t for t in texts if re.match(r"v\s*=\s*DMARC1\s*(;|$)", t))
        if records:
            steps.append(Step(name, records))
            if steps[-1].usable and _tag(records[0], "psd") in ("y", "n"):
                break
    return steps


def _governing(steps: list[Step], domain: str, organisation: str) -> list[Step]:
    """RFC 9989 section 4.10.1: of the domain, else of its organisation, else of the public suffix above."""
    return (
        [step for step in steps if step.domain == domain]
        or [step for step in steps if step.domain == organisation]
        or [step for step in steps if step.usable and _tag(step.records[0], "psd") == "y"]
    )


async def _missing(resolver: Resolver, domain: str, wanted: str) -> list[Finding]:
    """Nothing governs the domain: is there something that was meant to?"""
    place = f"_dmarc.{domain}"
    try:
        stray = next((text for text in await resolver.txt(place) if "dmarc" in text.lower() or "p=" in text), "")
    except NameMissing:
        stray = ""
    if stray:
        return [found(traps.DMARC_UNREAD, domain, place=place, seen=stray, record=wanted)]
    try:
        misplaced = any(text.lower().startswith("v=dmarc1") for text in await resolver.txt(domain))
    except NameMissing:
        misplaced = False
    return [found(traps.DMARC_MISPLACED, domain) if misplaced else found(say.DMARC_MISSING, domain, record=wanted)]


def walk_names(domain: str) -> list[str]:
    """The names that a walk asks, in order: of long names the middle is left out."""
    labels = domain.split(".")
    names = [domain]
    rest = labels[1:] if len(labels) < MAX_QUERIES else labels[-(MAX_QUERIES - 1) :]
    while rest:
        names.append(".".join(rest))
        rest = rest[1:]
    return names[:MAX_QUERIES]


def organisational_domain(domain: str, steps: list[Step]) -> str:
    """The organisational domain that a walk from `domain` shows."""
    usable = [step for step in steps if step.usable]
    for step in usable:
        psd = _tag(step.records[0], "psd")
        if psd == "n":
            return step.domain
        if psd == "y" and step.domain != domain:
            depth = step.domain.count(".") + 2
            return ".".join(domain.split(".")[-depth:])
    return usable[-1].domain if usable else domain


def _tag(record: str, name: str) -> str:
    try:
        return parse_tags(record).get(name, "").lower()
    except ValueError:
        return ""


async def governing_tags(resolver: Resolver, domain: str) -> tuple[dict[str, str], bool]:
    """(tags, inherited) of the policy that governs mail From `domain`; ({}, False) without a usable one.

    Raises ResolverFailed."""
    steps = await tree_walk(resolver, domain)
    governing = _governing(steps, domain, organisational_domain(domain, steps))
    if not governing or not governing[0].usable:
        return {}, False
    try:
        return parse_tags(governing[0].records[0]), governing[0].domain != domain
    except ValueError:
        return {}, False


async def check_dmarc(resolver: Resolver, domain: str, return_path: str = "", reports_to: str = "") -> list[Finding]:
    """Findings about the policy that governs mail From `domain`.

    `return_path` is the bounce domain (for SPF alignment), `reports_to` our own address for aggregate reports."""
    wanted = f"v=DMARC1; p=none; rua=mailto:{reports_to or 'dmarc@' + domain}"
    try:
        steps = await tree_walk(resolver, domain)
        organisation = organisational_domain(domain, steps)
        governing = _governing(steps, domain, organisation)
        if not governing:
            return await _missing(resolver, domain, wanted)
        step = governing[0]
        place = f"_dmarc.{step.domain}"
        if not step.usable:
            return [found(say.DMARC_SEVERAL, domain, place=place, count=len(step.records))]
        try:
            tags = parse_tags(step.records[0])
            policy = _policy(tags, inherited=step.domain != domain)
        except ValueError as error:
            return [found(say.DMARC_SYNTAX, domain, place=place, problem=error, record=wanted)]
        findings = _about(domain, tags, policy)
        findings += about_tags(domain, tags, inherited=step.domain != domain)
        findings += await _reports(resolver, domain, organisation, tags, reports_to, {domain, return_path})
        listed = listed_organisation(domain)
        if listed != organisation and return_path != domain:
            findings.append(found(traps.DMARC_SUFFIX, domain, walk=organisation, listed=listed))
        mode = tags.get("aspf", "r").lower()
        if return_path and not await _aligned(resolver, return_path, domain, organisation, mode):
            findings.append(found(say.DMARC_SPF_UNALIGNED, domain, return_path=return_path, mode=mode))
    except ResolverFailed as error:
        return [found(say.DNS_FAILED, domain, name=f"DMARC {domain}", problem=error)]
    return findings or [found(say.DMARC_OK, domain, policy=policy, place=place)]


def _policy(tags: dict[str, str], *, inherited: bool) -> str:
    given = tags.get("p", "").lower()
    if not given and tags.get("rua"):
        given = "none"  # RFC 9989 section 4.7: a record with rua and without a valid p counts as p=none
    if given not in POLICIES:
        raise ValueError(f"p={given or '(missing)'} is none of {', '.join(POLICIES)}")
    below = tags.get("sp", "").lower()
    if below and below not in POLICIES:
        raise ValueError(f"sp={below} is none of {', '.join(POLICIES)}")
    return below or given if inherited else given


def _about(domain: str, tags: dict[str, str], policy: str) -> list[Finding]:
    findings = []
    if policy == "none":
        findings.append(found(say.DMARC_NONE, domain))
    if tags.get("t", "n").lower() == "y":
        findings.append(found(say.DMARC_TESTING, domain))
    old = [tag for tag in _OLD_TAGS if tag in tags]
    if old:
        findings.append(found(say.DMARC_OLD_TAGS, domain, tags=", ".join(old)))
    return findings


async def _reports(
    resolver: Resolver,
    domain: str,
    organisation: str,
    tags: dict[str, str],
    reports_to: str,
    ours: set[str],  # whether these take mail is another check's matter
) -> list[Finding]:
    rua, ruf = targets(tags.get("rua", "")), targets(tags.get("ruf", ""))
    findings = []
    if not rua and not tags.get("rua"):
        findings.append(found(say.DMARC_NO_REPORTS, domain, address=reports_to or "dmarc@" + domain))
    elif rua and reports_to and reports_to.lower() not in {address.lower() for address, _ in rua}:
        addresses = ", ".join(address for address, _ in rua)
        findings.append(found(say.DMARC_NOT_TO_US, domain, addresses=addresses, address=reports_to))
    for target in dict.fromkeys(target for _, target in (*rua, *ruf)):
        if target not in ours and not await takes_mail(resolver, target):
            findings.append(found(traps.DMARC_TARGET, domain, target=target))
        elif target != organisation and not target.endswith("." + organisation):
            findings += await _authorised(resolver, domain, target)
    return findings


async def _authorised(resolver: Resolver, domain: str, target: str) -> list[Finding]:
    name = f"{domain}._report._dmarc.{target}"
    try:
        texts = await resolver.txt(name)
    except NameMissing:
        texts = []
    if any(text.startswith("v=DMARC1") for text in texts):
        return []
    return [found(say.DMARC_UNAUTHORISED, domain, target=target, name=name)]


async def _aligned(resolver: Resolver, return_path: str, domain: str, organisation: str, mode: str) -> bool:
    if return_path == domain:
        return True
    if mode == "s":
        return False
    if organisation == domain and not return_path.endswith("." + domain):
        return False
    return organisational_domain(return_path, await tree_walk(resolver, return_path)) == organisation
