"""Lays what a receiver reports beside what we know that we delivered to it.  Pure.

Contract: one line for each day, reporter, domain and source of ours.  Own deliveries are those in the very hours that
the reports of that day cover.  `difference` = reported − delivered; it is explained while it lies between 0 and
`refused`, for a receiver may count a message that it refused after it had seen it.  A message that is under way when
the period ends is counted on that day by one side and on the next by the other: what one day has too much and the day
beside it too little is `turned`, up to a thousandth of the day (at least 3), and explained too; while the next day is
not reported yet, own deliveries in its first hour have to allow for it.  A reporter that nobody can assign
to a provider has no own figure (`delivered` None), and a day with deliveries and without report is a line with
`reported` None: unknown is never 0.  Such a line is `awaited` while the reporter's report is not due yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """See the module.  `signed` splits `reported` by d= and selector ('' where no signature was told); `turned` is
    above 0 for messages that the receiver counts here and we on a day beside, below 0 for the reverse."""

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
    turned: int = 0

    @property
    def difference(self) -> int | None:
        return None if self.reported is None or self.delivered is None else self.reported - self.delivered

    @property
    def explained(self) -> bool:
        return self.unexplained == 0

    @property
    def unexplained(self) -> int | None:
        """What is left of the difference: too much above 0, too little below; None without a difference."""
        return None if self.difference is None else max(0, self.over - self.refused) - self.under

    @property
    def over(self) -> int:
        """What the receiver counts beyond ours and what turned."""
        return max(0, (self.difference or 0) - self.turned)

    @property
    def under(self) -> int:
        """What is missing from the receiver's count."""
        return max(0, self.turned - (self.difference or 0))


_TURN = 3  # messages
REACH = 3  # days
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
    by_hour: dict[int, list[SentCount]] = {}
    for one in sent:
        by_hour.setdefault(one.key.hour, []).append(one)
    lines: list[Line] = []
    behind: dict[Key, int] = {}  # own deliveries in the hour after the period
    taken: set[tuple[int, str]] = set()
    for (day, reporter, domain), covered in hours.items():
        known = providers.get(reporter, ())
        own = _own(by_hour, covered, frozenset(known), domain) if known else {}
        after = _own(by_hour, {max(covered) + 1}, frozenset(known), domain) if known else {}
        behind.update({(day, reporter, domain, source): delivered for source, (delivered, _) in after.items()})
        taken.update((hour // 24, provider) for hour in covered for provider in known)
        for source in sorted(set(own) | {key[3] for key in reported if key[:3] == (day, reporter, domain)}):
            signed = reported.get((day, reporter, domain, source), Counter())
            delivered, refused = own.get(source, (0, 0))
            if not delivered and not signed.total():
                continue  # refusals alone: nothing to compare
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
    lines = _turned(lines, behind)
    lines += _unreported(sent, taken, providers, due)
    return sorted(lines, key=lambda line: (-line.day, line.reporter, line.domain, line.source))


def _turned(lines: Sequence[Line], behind: Mapping[Key, int]) -> list[Line]:
    """The lines, with what stands on the other side of the end of a day.

    A day in the middle may hand on as much as it gets and show nothing of it: the nearest days are matched first, then
    those with one and two days between."""
    at: dict[Key, Line] = {(line.day, line.reporter, line.domain, line.source): line for line in lines}
    flow: Counter[Key] = Counter()  # over the end of each day: above 0 where the receiver counts sooner
    for distance in range(1, REACH + 1):
        for key in sorted(at):
            way = [_later(key, days) for days in range(distance)]
            end = _later(key, distance)
            if end not in at or any(day not in at for day in way):
                continue
            for sign in (1, -1):
                line, other = at[key], at[end]
                room = min(_most(at[day]) - sign * flow[day] for day in way)
                give, take = (line.over, other.under) if sign > 0 else (line.under, other.over)
                moved = sign * max(0, min(give, take, room))
                at[key], at[end] = (
                    replace(line, turned=line.turned + moved),
                    replace(other, turned=other.turned - moved),
                )
                flow.update(dict.fromkeys(way, moved))
    for key, line in at.items():
        if _later(key, 1) not in at:
            moved = min(max(0, line.unexplained or 0), _most(line), behind.get(key, 0))
            at[key] = replace(line, turned=line.turned + moved)
    return list(at.values())


def _later(key: Key, days: int) -> Key:
    return key[0] + days, *key[1:]


def _most(line: Line) -> int:
    return max(_TURN, (line.delivered or 0) // 1000)


def _own(
    by_hour: Mapping[int, Sequence[SentCount]], hours: set[int], providers: frozenset[str], domain: str
) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for hour in hours:
        for one in by_hour.get(hour, ()):
            key = one.key
            if key.provider in providers and _covers(domain, key.sending_domain):
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
