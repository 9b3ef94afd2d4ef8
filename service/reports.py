"""Wires the intake of receivers' reports and the work around it: names, the book of deliveries, the watched folder.

Contract: `build_reports` builds and starts nothing; `jobs` are for the timetable, which gives each a lease.  The book
follows the log with a cursor of its own, so several processes cannot count twice.  A file of the watched folder is
moved to `done/` once it is stored, to `failed/` when nothing in it could be read: nothing is deleted.  PTR names are
asked for a few addresses at a time, those with most messages first; a failure is asked again a day later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from collectors.dns.reach import source_addresses
from collectors.reports.attached import report_files
from collectors.reports.book import fold_sent
from collectors.reports.intake import ReportIntake, Taken
from collectors.reports.naming import Namer
from collectors.reports.provenance import OriginCheck
from config.model import Settings
from config.services import load_reporters, load_services
from core.errors import StorageConflict
from core.lane import DAY, day_of
from core.ports import Clock, NameMissing, Resolver, ResolverFailed
from core.reports import SourceKind, SourceName
from service.job import Job
from storage.stores import Stores

logger = logging.getLogger("penstock.reports")
_BATCH = 2000
_BATCHES = 50  # in one run of the job
_NAMES_A_RUN = 40
_AT_ONCE = 8
_OURS_KEPT = 600.0  # seconds that addresses found by DNS serve
_FILES_A_RUN = 200
LEFT_AFTER = 3600.0  # seconds without a further portion: an import that goes on stores some each second


class Reports:
    """See the module.  Build with `build_reports`."""

    def __init__(self, settings: Settings, resolver: Resolver, stores: Stores, clock: Clock) -> None:
        self.settings = settings
        self.stores = stores
        self.clock = clock
        self._resolver = resolver
        self._ours: dict[str, str] = {source.bind: source.name for source in settings.sources if source.bind}
        self._ours_at = float("-inf")
        selectors = {
            domain.name.lower(): frozenset(key.selector for key in domain.dkim) for domain in settings.sending_domains
        }
        self.namer = Namer(load_services(), self._ours, selectors)
        given = settings.reports
        self.intake = ReportIntake(
            store=stores.dmarc, others=stores.other_reports, log=stores.log, clock=clock,
            origin=OriginCheck(resolver, trusted_hops=tuple(given.trusted_hops)), namer=self.namer,
            redact=given.redact, distrusted=tuple(given.distrusted), refused=stores.refused_reports,
        )  # fmt: skip
        known = {row.domain: tuple(row.providers) for row in load_reporters()}
        self.providers: Mapping[str, tuple[str, ...]] = {
            **known, **{row.reporter.lower(): tuple(row.providers) for row in given.receivers}
        }  # fmt: skip

    @property
    def jobs(self) -> list[Job]:
        """What the timetable has to run."""
        found = [
            Job(name="book of deliveries", seconds=2.0, work=self.count_deliveries),
            Job(name="names of sources", seconds=30.0, work=self.ask_names),
            Job(name="failure reports", seconds=3600.0, work=self.forget),
            Job(name="unfinished reports", seconds=60.0, work=self.refuse_leftovers),
        ]
        if self.settings.reports.folder is not None:
            found.append(Job(name="reports folder", seconds=5.0, work=self.read_folder))
        return found

    async def ours(self) -> dict[str, str]:
        """Address → name of every source of ours; what DNS cannot tell now keeps its last answer."""
        now = self.clock.now()
        if not 0 <= now - self._ours_at < self.clock.real(_OURS_KEPT):
            self._ours_at = now
            for source in self.settings.sources:
                if source.bind:
                    continue
                try:
                    addresses = await source_addresses(self._resolver, source.bind, source.ehlo)
                except ResolverFailed:
                    continue
                self._ours.update(dict.fromkeys(addresses, source.name))
            self.namer.learn(self._ours)
        return self._ours

    async def named(self, ips: list[str]) -> dict[str, SourceName]:
        """What each address is called; our own by today's settings."""
        ours = await self.ours()
        found = await self.stores.dmarc.names(ips)
        for ip in ips:
            if ip in ours:
                found[ip] = SourceName(
                    ip=ip, kind=SourceKind.OURS, name=ours[ip], evidence=f"address of source {ours[ip]}"
                )
        return found

    def providers_of(self, reporter: str) -> tuple[str, ...]:
        """Providers that a reporter speaks for: by its domain, or what lies above it; () when nobody knows."""
        labels = reporter.lower().split(".")
        for at in range(len(labels) - 1):
            found = self.providers.get(".".join(labels[at:]))
            if found:
                return found
        return ()

    # --- jobs ------------------------------------------------------------------------------------
    async def count_deliveries(self) -> None:
        """Follow the log."""
        await self.ours()
        for _ in range(_BATCHES):
            before = await self.stores.sent.cursor()
            batch = await self.stores.log.read(before, _BATCH)
            if not batch:
                return
            sent, tls = fold_sent(logged.event for logged in batch)
            try:
                await self.stores.sent.add(before, batch[-1].seq, sent, tls)
            except StorageConflict:
                return  # another process counts; its cursor is read at the next run
            if len(batch) < _BATCH:
                return

    async def ask_names(self) -> None:
        """PTR names for a few sources that nobody asked for yet."""
        now = self.clock.now()
        unnamed = await self.stores.dmarc.unasked(day_of(now) - 30, _NAMES_A_RUN)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def ask(source: SourceName) -> SourceName:
            async with slots:
                try:
                    names = await self._resolver.ptr(source.ip)
                except (NameMissing, ResolverFailed):
                    names = []
                return self.namer.by_ptr(source, names[0].lower()) if names else source

        await self.stores.dmarc.put_names(await asyncio.gather(*(ask(source) for source in unnamed)), now)

    async def forget(self) -> None:
        """Failure reports are not kept longer than the settings allow, refused originals not longer than 30 days."""
        await self.stores.other_reports.forget_failures(self.clock.now() - self.settings.reports.failure_days * DAY)
        await self.stores.refused_reports.forget(self.clock.now())

    async def refuse_leftovers(self) -> None:
        """A report whose storing was cut off, by a crash say, and that nobody came back with, is told as refused."""
        now = self.clock.now()
        for summary in await self.stores.dmarc.refuse_leftovers(now - LEFT_AFTER, now):
            logger.warning("%s: was cut off and nobody came back with it: refused, hand it in again", summary)

    async def read_folder(self) -> None:
        """Take in what lies in the watched folder."""
        folder = self.settings.reports.folder
        if folder is None or not folder.is_dir():
            return
        for path in await asyncio.to_thread(_waiting, folder):
            try:
                await self._take_file(path, folder)
            except OSError as error:
                # one file that cannot be read or moved must not keep the others waiting
                logger.warning("%s cannot be taken from the folder: %s", path.name, error.strerror)

    async def _take_file(self, path: Path, folder: Path) -> None:
        taken = Taken()
        files = report_files(path)
        while (given := await asyncio.to_thread(next, files, None)) is not None:
            taken.add(await self.intake.upload(given[1], Path(given[0]).name, f"folder {folder.name}"))
        bad = bool(taken.refused) and not taken.stored and not taken.repeated
        await asyncio.to_thread(_move, path, folder / ("failed" if bad else "done"))
        for problem in taken.refused[:5]:
            logger.warning("%s: %s", path.name, problem)


def _waiting(folder: Path) -> list[Path]:
    """Whole files only: a name that ends in .part or .tmp is still being written."""
    names = sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    return [path for path in names if path.suffix not in (".part", ".tmp") and path.name[0] != "."][:_FILES_A_RUN]


def _move(path: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    number = 1
    while target.exists():
        target = folder / f"{path.stem}.{number}{path.suffix}"
        number += 1
    path.rename(target)


def build_reports(settings: Settings, *, resolver: Resolver, stores: Stores, clock: Clock) -> Reports:
    """See the module."""
    return Reports(settings, resolver, stores, clock)
