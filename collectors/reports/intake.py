"""Takes reports in, however they come: parse off the event loop, ask whose word it is, store once, tell the log.

Contract: `report` takes a report mail, `upload` a file or a mail that an operator vouches for; both give what became
of each report.  A report that counts gives one DmarcReportStored when it is new; one whose origin is not proven, that
contradicts a stored one, or that is no report at all gives ReportUnverified and changes no figure.  The original of
a mail (and of an upload, if asked for) in which something is refused goes to `refused`; `retry` takes one up again,
with the proof of its own arrival, and lets it go when nothing in it is refused any more.  A mail may hold
DMARC, TLS and failure reports; TLS and failure reports are stored without an event.  Never raises for what is in the
mail; raises what storage raises, and Unavailable when DNS cannot prove the mail now: then it should be retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from hashlib import sha256

from collectors.dmarc.defects import Defect, Refusal
from collectors.dmarc.mail import looks_like_mail, parse_report_file, parse_report_mail
from collectors.reports.attached import tls_attachments
from collectors.reports.failure import parse_failure
from collectors.reports.naming import Namer
from collectors.reports.provenance import Arrival, OriginCheck
from collectors.reports.tlsrpt import looks_like_json, parse_tls
from core.dmarc_records import packed
from core.events import DmarcReportStored, Event, ReportUnverified
from core.lane import DAY
from core.ports import Clock, EventLog
from core.reports import (
    AggregateReports,
    FailureReport,
    Original,
    OtherReports,
    Provenance,
    RefusedReports,
    Stored,
    TlsReport,
    Trust,
)
from core.state import DmarcReport

AT_ONCE = 32  # files of an import
AT_ONCE_BYTES = 500_000
AHEAD = 2 * DAY  # seconds: what a reporter's clock may be wrong by

_DULL = (Defect.NOT_A_REPORT, Defect.EMPTY)

Parsed = DmarcReport | TlsReport | FailureReport | Refusal


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of one mail or file."""

    stored: int = 0
    repeated: int = 0
    unproven: int = 0  # new, but kept apart
    records: int = 0
    messages: int = 0
    refused: list[str] = field(default_factory=list)
    dull: bool = True  # what is refused is no report at all

    def add(self, other: Taken) -> None:
        self.stored += other.stored
        self.repeated += other.repeated
        self.unproven += other.unproven
        self.records += other.records
        self.messages += other.messages
        self.refused += other.refused


class ReportIntake:
    """The collector of reports.  `executor` None takes the loop's own; `distrusted` are domains that never count."""

    def __init__(
        self,
        *,
        store: AggregateReports,
        others: OtherReports,
        log: EventLog,
        clock: Clock,
        origin: OriginCheck,
        namer: Namer,
        redact: bool = True,
        distrusted: Sequence[str] = (),
        refused: RefusedReports | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._refused = refused
        self._store = store
        self._others = others
        self._log = log
        self._clock = clock
        self._origin = origin
        self._namer = namer
        self._redact = redact
        self._distrusted = frozenset(domain.lower() for domain in distrusted)
        self._executor = executor

    async def report(self, content: bytes, mail_from: str, peer: str = "") -> int:
        """Take one report mail.  How many reports in it were new and count."""
        taken = await self._report(content, mail_from, peer)
        await self._keep(taken, content, is_mail=True, sender=mail_from, peer=peer)
        return taken.stored

    async def _report(self, content: bytes, mail_from: str, peer: str) -> Taken:
        parsed = await self._run(content, "", mail=True)
        if all(isinstance(one, Refusal) for one in parsed):
            origin = Provenance(trust=Trust.UNALIGNED)  # nothing to prove: ask no DNS for it
        else:
            origin = await self._origin.check(content, Arrival(mail_from=mail_from, peer=peer))
        return await self._take(parsed, content, origin, mail_from)

    async def upload(self, payload: bytes, filename: str, by: str, *, keep: bool = False) -> Taken:
        """Take one file that a person or a program handed in.  `keep`: nobody else has it, should it be refused."""
        parsed = await self._run(payload, filename, mail=looks_like_mail(payload))
        taken = await self._take(parsed, payload, Provenance(trust=Trust.VOUCHED, why=f"handed in by {by}"), by)
        if keep:
            await self._keep(taken, payload, is_mail=False, sender=by, name=filename)
        return taken

    async def retry(self, one: Original) -> Taken | None:
        """Take up again what was refused; None when it is not kept any more."""
        content = None if self._refused is None else await self._refused.content(one.number)
        if content is None or self._refused is None:
            return None
        if one.is_mail:
            taken = await self._report(content, one.sender, one.peer)
        else:
            taken = await self.upload(content, one.name, one.sender)
        if not taken.refused:
            await self._refused.drop(one.number)
        return taken

    async def _keep(
        self, taken: Taken, content: bytes, *, is_mail: bool, sender: str, peer: str = "", name: str = ""
    ) -> None:
        if taken.refused and self._refused is not None:
            original = Original(
                at=self._clock.now(), is_mail=is_mail, sender=sender, peer=peer, name=name,
                problem="; ".join(taken.refused[:5]),
            )  # fmt: skip
            await self._refused.keep(original, content, dull=taken.dull)

    async def upload_all(self, files: Iterable[tuple[str, bytes]], by: str) -> AsyncIterator[tuple[str, Taken]]:
        """Take many files, several small ones at once so that they share commits; what became of each, in order."""
        batch: list[tuple[str, bytes]] = []
        size = 0
        for name, content in files:
            if batch and (len(batch) >= AT_ONCE or size + len(content) > AT_ONCE_BYTES):
                for done in await self._upload_batch(batch, by):
                    yield done
                batch, size = [], 0
            batch.append((name, content))
            size += len(content)
        for done in await self._upload_batch(batch, by):
            yield done

    async def _upload_batch(self, batch: Sequence[tuple[str, bytes]], by: str) -> list[tuple[str, Taken]]:
        taken = await asyncio.gather(*(self.upload(content, name.rpartition("/")[2], by) for name, content in batch))
        return [(name, one) for (name, _), one in zip(batch, taken, strict=True)]

    async def _run(self, content: bytes, name: str, *, mail: bool) -> list[Parsed]:
        now = self._clock.now()
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, _parse, content, name, mail, now, self._redact
        )

    async def _take(self, parsed: Sequence[Parsed], content: bytes, origin: Provenance, sender: str) -> Taken:
        taken = Taken()
        for one in parsed:
            now = self._clock.now()
            event: Event | None = None
            if isinstance(one, Refusal):
                taken.refused.append(str(one))
                taken.dull &= one.defect in _DULL
                event = _unverified(f"{one.defect}: {one.problem}", sender, str(one), now)
            elif isinstance(one, DmarcReport):
                event = await self._aggregate(one, origin, sender, now, taken)
            elif isinstance(one, TlsReport):
                given = await self._proven(origin, one.contact.rpartition("@")[2].lower())
                _count(taken, await self._others.store_tls(one, given, now), given)
            else:
                digest = sha256(content).hexdigest()
                given = await self._proven(origin, one.reporter)
                _count(taken, await self._others.store_failure(one, given, digest, now), given)
            # one by one: what is stored is in the log before the next file is looked at
            if event is not None:
                await self._log.append([event])
        return taken

    async def _aggregate(
        self, one: DmarcReport, origin: Provenance, sender: str, now: float, taken: Taken
    ) -> Event | None:
        title = f"report {one.report_id} of {one.reporter} about {one.domain}"
        if one.begin > now + AHEAD:
            taken.dull = False
            taken.refused.append(
                f"{title}: {Defect.INVALID}: its period begins {(one.begin - now) / DAY:.0f} days from now"
            )
            return _unverified(f"{Defect.INVALID}: a period that is yet to come", sender, title, now)
        given = await self._proven(origin, one.email.rpartition("@")[2].lower())
        outcome = await self._store.store(one, given, now, self._namer.name_all)
        _count(taken, outcome, given)
        match outcome:
            case Stored.CONFLICT:
                taken.dull = False
                taken.refused.append(f"{title}: another report with this key and other content came before")
                return _unverified("conflict: the key of a stored report with other content", sender, title, now)
            case Stored.REPEATED:
                return None
            case Stored.NEW if not given.counts:
                return _unverified(f"unaligned: {given.why}", sender, title, now)
            case _:
                taken.records += len(one.records) + len(one.refused)
                taken.messages += packed(one.records).messages + one.refused_messages
                return stored_event(one, now)

    async def _proven(self, origin: Provenance, reporter: str) -> Provenance:
        """The mail's origin as far as it goes for this reporter."""
        if origin.trust is not Trust.ALIGNED:
            return origin
        if {origin.domain, reporter} & self._distrusted:
            return Provenance(trust=Trust.UNALIGNED, why=f"{origin.domain} is not trusted by the settings")
        if reporter and not await self._origin.speaks_for(origin.domain, reporter):
            return Provenance(
                trust=Trust.UNALIGNED, why=f"the mail is of {origin.domain}, the report of {reporter}"[:300]
            )
        return origin


def _parse(content: bytes, name: str, mail: bool, now: float, redact: bool) -> list[Parsed]:
    if not mail:
        read = parse_report_file(content, name)
        results: list[Parsed] = [one for one in read if not _is_tls(one)]
        if len(results) < len(read):
            # an archive may hold both kinds: each reader names only what neither takes
            results += [one for one in parse_tls(content, name) if isinstance(one, TlsReport) or not results]
        return results
    found: list[Parsed] = []
    for one in parse_report_mail(content):
        if _is_tls(one):
            continue
        if isinstance(one, Refusal) and one.defect is Defect.FAILURE_REPORT:
            found.append(parse_failure(content, now, redact=redact))
        else:
            found.append(one)
    told: list[Parsed] = []
    for data, filename in tls_attachments(content):
        if looks_like_json(data) or not found:
            told += parse_tls(data, filename)
    return [*found, *told] or [Refusal(name="", defect=Defect.NOT_A_REPORT, problem="carries no report")]


def _is_tls(one: Parsed) -> bool:
    return isinstance(one, Refusal) and one.defect is Defect.TLS_REPORT


def _count(taken: Taken, outcome: Stored, origin: Provenance) -> None:
    if outcome is Stored.REPEATED:
        taken.repeated += 1
    elif outcome in (Stored.NEW, Stored.PROVEN):
        if origin.counts:
            taken.stored += 1
        else:
            taken.unproven += 1


def stored_event(report: DmarcReport, now: float) -> DmarcReportStored:
    """What the log keeps of a report."""
    return DmarcReportStored(
        at=now, reporter=report.reporter, domain=report.domain, report_id=report.report_id, begin=report.begin,
        end=report.end, records=len(report.records), counted=packed(report.records).messages,
        aligned=packed(report.records).aligned, refused=len(report.refused),
    )  # fmt: skip


def _unverified(problem: str, sender: str, summary: str, now: float) -> ReportUnverified:
    return ReportUnverified(at=now, kind="dmarc", problem=problem, sender=sender, to="", summary=summary[:500])
