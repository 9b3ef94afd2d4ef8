"""What receivers' reports say, as people ask it: sources by name, readiness, reconciliation, selectors, reporters, TLS.

Contract: every view is over reports that count, reads the store alone and keeps nothing.  Days are UTC days up to
today; a figure that nobody reported is None, never 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import NamedTuple

from collectors.reports.readiness import Readiness, readiness
from collectors.reports.reconcile import REACH, Line, reconcile
from core.errors import InvalidInput
from core.lane import DAY, day_of
from core.reports import Dim, ReportHead, SourceName, Tally
from service.reports import Reports

MAX_SOURCES = 500
_HEADS = 20_000
_ROWS = 50_000
_EPOCH = date(1970, 1, 1).toordinal()
COMPLETE_AFTER = 2  # days after which a reporter's report of a day is called missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """`unused_days` None: some report of the last day saw it, or none ever (`last_day` None)."""

    domain: str
    selector: str
    ours: bool
    messages: int
    passing: int
    last_day: int | None
    unused_days: int | None
    safe_to_revoke: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """`lag`: median seconds from the end of a period to its report; `missing`: days since its last one, less the
    usual."""

    name: str
    org: str
    providers: tuple[str, ...]
    reports: int
    messages: int
    first_day: int
    last_day: int
    lag: float
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsLine:
    """Sessions that a reporter had with our hosts, beside our own sessions with its hosts in the same days."""

    day: int
    reporter: str
    policy_domain: str
    policy_type: str
    successes: int
    failures: dict[str, int]
    own_sessions: int | None
    own_failures: dict[str, int]


class FailureGroup(NamedTuple):
    """Failure reports that say the same."""

    day: int
    domain: str
    source_ip: str
    failure: str
    delivery: str
    reporter: str
    reports: int


class Views:
    """See the module."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._store = reports.stores.dmarc

    def _today(self) -> int:
        return day_of(self._reports.clock.now())

    async def sources(self, days: int = 30, domain: str = "") -> list[tuple[Tally, SourceName]]:
        """Source addresses with their names, most messages first."""
        where = [(Dim.POLICY_DOMAIN, domain)] if domain else []
        found = await self._store.tally([Dim.SOURCE], since_day=self._today() - days, where=where, limit=MAX_SOURCES)
        names = await self._reports.named([tally.key[0] for tally in found])
        return [(tally, names.get(tally.key[0], SourceName(ip=tally.key[0]))) for tally in found]

    async def timeline(self, days: int = 30, domain: str = "") -> list[Tally]:
        """Alignment by day, oldest first."""
        where = [(Dim.POLICY_DOMAIN, domain)] if domain else []
        found = await self._store.tally([Dim.DAY], since_day=self._today() - days, where=where)
        return sorted(found, key=lambda tally: int(tally.key[0]))

    async def drill(self, by: Sequence[Dim], where: Sequence[tuple[Dim, str]], days: int, limit: int) -> list[Tally]:
        """Any split of any part."""
        return await self._store.tally(by, since_day=self._today() - days, where=where, limit=limit)

    async def readiness(self, days: int = 30) -> list[Readiness]:
        """One answer for each domain that was reported about."""
        since = self._today() - days
        heads = [head for head in await self._heads() if head.day >= since]
        sent = await self._reports.stores.sent.sent(since * 24, (self._today() + 1) * 24)
        found = []
        for domain in sorted({head.domain for head in heads}):
            own = [head for head in heads if head.domain == domain]
            tallies = await self._store.tally(
                [Dim.SOURCE], since_day=since, where=[(Dim.POLICY_DOMAIN, domain)], limit=MAX_SOURCES
            )
            streams: dict[str, Counter[str]] = defaultdict(Counter)
            for one in sent:
                streams[one.key.source][one.key.stream] += one.delivered
            found.append(
                readiness(
                    domain, max(own, key=lambda head: head.end).policy, tallies,
                    await self._reports.named([tally.key[0] for tally in tallies]),
                    days=len({head.day for head in own}), reporters=len({head.reporter for head in own}),
                    streams=streams,
                )
            )  # fmt: skip
        return found

    async def reconcile(self, days: int = 7) -> list[Line]:
        """Reported beside delivered."""
        await self._reports.count_deliveries()
        since, today = self._today() - days, self._today()
        every = await self._heads()
        # a few days more than are shown: what turned there belongs to the first one
        start = since - REACH
        heads = [head for head in every if head.day >= start]
        tallies = await self._store.tally(
            [Dim.DAY, Dim.REPORTER, Dim.POLICY_DOMAIN, Dim.SOURCE, Dim.DKIM_DOMAIN, Dim.SELECTOR], since_day=start,
            limit=_ROWS,
        )  # fmt: skip
        sent = await self._reports.stores.sent.sent(start * 24, (today + 1) * 24)
        known = {head.reporter: self._reports.providers_of(head.reporter) for head in heads}
        usual = {name: _usual_days(own) for name, own in _by_reporter(every).items()}
        found = reconcile(
            heads, tallies, sent, ours=await self._reports.ours(), providers=known,
            due=lambda reporter: today - usual.get(reporter, COMPLETE_AFTER),
        )  # fmt: skip
        return [line for line in found if line.day >= since]

    async def selectors(self) -> list[Selector]:
        """Every selector of ours, and every other that reports show for our domains."""
        today, limit = self._today(), self._reports.settings.reports.unused_selector_days
        domains = {domain.name.lower(): domain for domain in self._reports.settings.sending_domains}
        ours = {(name, key.selector) for name, domain in domains.items() for key in domain.dkim}
        seen = {
            (tally.key[0], tally.key[1]): tally
            for tally in await self._store.tally([Dim.DKIM_DOMAIN, Dim.SELECTOR], limit=_ROWS)
            if tally.key[0] in domains and tally.key[1]
        }
        watched = min((tally.first_day for tally in seen.values()), default=today)
        found = []
        for name, selector in sorted(ours | set(seen)):
            tally = seen.get((name, selector))
            last = tally.last_day if tally else None
            unused = today - last if last is not None else None
            mine = (name, selector) in ours
            idle = today - (last if last is not None else watched)
            found.append(
                Selector(
                    domain=name, selector=selector, ours=mine, messages=tally.messages if tally else 0,
                    passing=tally.dkim if tally else 0, last_day=last, unused_days=unused,
                    safe_to_revoke=not mine and idle >= limit,
                )
            )  # fmt: skip
        return found

    async def reporters(self, days: int = 30) -> list[Reporter]:
        """Who reports, how completely and how late."""
        since, today = self._today() - days, self._today()
        found = []
        for name, heads in _by_reporter([head for head in await self._heads() if head.day >= since]).items():
            last = max(head.day for head in heads)
            lags = [max(0.0, head.received_at - head.end) for head in heads]
            found.append(
                Reporter(
                    name=name, org=heads[0].org, providers=self._reports.providers_of(name), reports=len(heads),
                    messages=sum(head.messages for head in heads), first_day=min(head.day for head in heads),
                    last_day=last, lag=median(lags), missing=max(0, today - last - _usual_days(heads)),
                )
            )  # fmt: skip
        return sorted(found, key=lambda one: -one.messages)

    async def tls(self, days: int = 30) -> list[TlsLine]:
        """TLS reports with our own attempts beside them."""
        since = self._today() - days
        own = await self._reports.stores.sent.tls(since, self._today() + 1)
        found = []
        for stored in await self._reports.stores.other_reports.tls(500, since=since * DAY):
            if not stored.provenance.counts:
                continue
            report = stored.report
            reporter = stored.provenance.domain or report.contact.rpartition("@")[2].lower() or report.organization
            day = int((report.begin + report.end) / 2 // DAY)
            mine = [one for one in own if one.day == day and _belongs(reporter, one.domain, one.host)]
            for domain, kind in sorted({(row.policy_domain, row.policy_type) for row in report.rows}):
                rows = [row for row in report.rows if (row.policy_domain, row.policy_type) == (domain, kind)]
                found.append(
                    TlsLine(
                        day=day, reporter=reporter, policy_domain=domain, policy_type=kind,
                        successes=sum(row.sessions for row in rows if not row.result),
                        failures=_sums((row.result, row.sessions) for row in rows if row.result),
                        own_sessions=sum(one.sessions for one in mine) if mine else None,
                        own_failures=_sums((one.failure, one.sessions) for one in mine if one.failure),
                    )
                )  # fmt: skip
        return found

    async def failures(self, limit: int) -> list[FailureGroup]:
        """Failure reports by day, domain, source and failure, newest first; nothing in it is about a person."""
        groups: Counter[tuple[int, str, str, str, str, str]] = Counter()
        for stored in await self._reports.stores.other_reports.failures(1000):
            one = stored.report
            if stored.provenance.counts:
                day = int(one.arrived_at // DAY)
                groups[(day, one.domain, one.source_ip, one.failure, one.delivery, one.reporter)] += 1
        return [FailureGroup(*key, count) for key, count in sorted(groups.items(), reverse=True)][:limit]

    async def apart(self) -> int:
        """How many of the newest thousand reports do not count."""
        return len(await self._store.heads(1000, counting=False))

    async def _heads(self) -> list[ReportHead]:
        return await self._store.heads(_HEADS, counting=True)


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for name, n in pairs:
        counted[name] += n
    return dict(counted)


def _belongs(reporter: str, domain: str, host: str) -> bool:
    """True when our attempt went to the reporter's own house."""
    return any(name == reporter or name.endswith("." + reporter) for name in (domain, host))


def dim_of(name: str) -> Dim:
    """The part of a record that a person names.  Raises InvalidInput."""
    try:
        return Dim(name.strip())
    except ValueError as error:
        raise InvalidInput("by", f"{name[:40]!r} is no part of a record", f"Use {', '.join(Dim)}") from error


def narrowed(dim: Dim, value: str) -> tuple[Dim, str]:
    """A part and the value to narrow it to; days as YYYY-MM-DD or as days since the epoch.  Raises InvalidInput."""
    if dim is not Dim.DAY or (value.isascii() and value.isdigit() and len(value) < 8):
        return dim, value
    try:
        return dim, str(date.fromisoformat(value).toordinal() - _EPOCH)
    except ValueError as error:
        raise InvalidInput("day", f"{value[:40]!r} is no day", "Write 2026-12-31") from error


def _by_reporter(heads: Iterable[ReportHead]) -> dict[str, list[ReportHead]]:
    groups: dict[str, list[ReportHead]] = defaultdict(list)
    for head in heads:
        groups[head.reporter].append(head)
    return groups


def _usual_days(heads: Sequence[ReportHead]) -> int:
    """After how many days a reporter's report is here, as a rule."""
    return int(median(max(0.0, head.received_at - head.end) for head in heads) // DAY) + COMPLETE_AFTER
