"""Lays what a receiver reports beside what we know that we delivered to it.  Pure.

Contract: one line for each day, reporter, domain and source of ours.  Own deliveries are those in the very hours that
the reports of that day cover.  `difference` = reported − delivered; it is explained while it lies between 0 and
`refused`, for a receiver may count a message that it refused after it had seen it.  A reporter that nobody can assign
to a provider has no own figure (`delivered` None), and a day with deliveries and without report is a line with
`reported` None: unknown is never 0.  Such a line is `awaited` while the reporter's report is not due yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from core.lane import HOUR
from core.reports import ReportHead, SentCount, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Reported messages of one d= and selector."""

    domain: str
    selector: str
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """See the module.  `signed` splits `reported` by d= and selector ('' where no signature was told)."""

    day: int
    reporter: str
    providers: tuple[str, ...]
    domain: str
    source: str
    addresses: tuple[str, ...]
    reported: int | None
    delivered: int | None
    refused: int
    signed: tuple[Signed, ...] = ()
    awaited: bool = False

    @property
    def difference(self) -> int | None:
        return None if self.reported is None or self.delivered is None else self.reported - self.delivered

    @property
    def explained(self) -> bool:
        return self.difference is not None and 0 <= self.difference <= self.refused


Key = tuple[int, str, str, str]  # day, reporter, domain, source


def reconcile(
    heads: Sequence[ReportHead],
    tallies: Iterable[Tally],
    sent: Sequence[SentCount],
    *,
    ours: Mapping[str, str],
    providers: Mapping[str, tuple[str, ...]],
    due: Callable[[str], int],
) -> list[Line]:
    """`tallies` by (day, reporter, policy domain, source address, d=, selector); `ours`: address → source name;
    `providers`: reporter → providers; `due`: reporter → the newest day whose report should be here by now.
    Newest day first."""
    reported: dict[Key, Counter[tuple[str, str]]] = {}
    addresses: dict[str, set[str]] = {}
    for tally in tallies:
        when, reporter, domain, ip, signer, selector = tally.key
        source = ours.get(ip)
        if source is not None:
            reported.setdefault((int(when), reporter, domain, source), Counter())[signer, selector] += tally.messages
            addresses.setdefault(source, set()).add(ip)
    hours: dict[tuple[int, str, str], set[int]] = {}
    for head in heads:
        covered = hours.setdefault((head.day, head.reporter, head.domain), set())
        covered.update(range(int(head.begin // HOUR), ceil(max(head.end, head.begin + 1) / HOUR)))
    lines = []
    taken: set[tuple[int, str]] = set()
    for (day, reporter, domain), covered in hours.items():
        known = providers.get(reporter, ())
        own = _own(sent, covered, frozenset(known), domain) if known else {}
        taken.update((hour // 24, provider) for hour in covered for provider in known)
        for source in sorted(set(own) | {key[3] for key in reported if key[:3] == (day, reporter, domain)}):
            signed = reported.get((day, reporter, domain, source), Counter())
            delivered, refused = own.get(source, (0, 0))
            lines.append(
                Line(
                    day=day, reporter=reporter, providers=known, domain=domain, source=source,
                    addresses=tuple(sorted(addresses.get(source, ()))), reported=signed.total(),
                    delivered=delivered if known else None, refused=refused,
                    signed=tuple(
                        Signed(domain=d, selector=s, messages=n) for (d, s), n in sorted(signed.items())
                    ),
                )
            )  # fmt: skip
    lines += _unreported(sent, taken, providers, due)
    return sorted(lines, key=lambda line: (-line.day, line.reporter, line.domain, line.source))


def _own(
    sent: Sequence[SentCount], hours: set[int], providers: frozenset[str], domain: str
) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for one in sent:
        key = one.key
        if key.hour in hours and key.provider in providers and _covers(domain, key.sending_domain):
            delivered, refused = found.get(key.source, (0, 0))
            found[key.source] = (delivered + one.delivered, refused + one.refused)
    return found


def _unreported(
    sent: Sequence[SentCount],
    taken: set[tuple[int, str]],
    providers: Mapping[str, tuple[str, ...]],
    due: Callable[[str], int],
) -> list[Line]:
    """Days with deliveries to a provider whose reporter we know, and no report (yet)."""
    told = {provider: reporter for reporter, names in providers.items() for provider in names}
    sums: dict[Key, tuple[int, int, str]] = {}
    for one in sent:
        key = one.key
        day, reporter = key.hour // 24, told.get(key.provider)
        if reporter is None or (day, key.provider) in taken:
            continue
        at = (day, reporter, key.sending_domain, key.source)
        delivered, refused, _ = sums.get(at, (0, 0, ""))
        sums[at] = (delivered + one.delivered, refused + one.refused, key.provider)
    return [
        Line(
            day=day, reporter=reporter, providers=(provider,), domain=domain, source=source, addresses=(),
            reported=None, delivered=delivered, refused=refused, awaited=day > due(reporter),
        )
        for (day, reporter, domain, source), (delivered, refused, provider) in sums.items()
        if delivered
    ]  # fmt: skip


def _covers(policy_domain: str, sending_domain: str) -> bool:
    return sending_domain == policy_domain or sending_domain.endswith("." + policy_domain)
