"""All storage ports over one database: what the composition root opens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from core.errors import Unavailable
from storage.allowances import SqlAllowances
from storage.audience import SqlAudience
from storage.campaigns import SqlCampaigns
from storage.choices import SqlFrequencies
from storage.controls import SqlControls
from storage.counters import SqlCounters
from storage.database import Database
from storage.dmarc import SqlAggregateReports
from storage.engagements import SqlEngagements
from storage.events import SqlEventLog
from storage.feedback import SqlFeedback
from storage.frequency import SqlFrequency
from storage.idempotency import SqlIdempotency
from storage.lateness import SqlLateness
from storage.leases import SqlLeases
from storage.lore import SqlLore
from storage.meta import SqlMeta
from storage.migrations import migrate
from storage.notices import SqlNotices
from storage.observations import SqlObservations
from storage.optins import SqlConsents
from storage.otherreports import SqlOtherReports, SqlSentBook
from storage.queue import SqlQueue
from storage.queue.cancel import SqlCancelling
from storage.queue.watch import SqlResidents
from storage.rates import SqlRates
from storage.refused import SqlRefusedReports
from storage.spool import SqlSpool
from storage.suppressions import SqlSuppressions
from storage.tlsrpt import SqlTlsSessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """One adapter for each storage port of core.ports."""

    db: Database
    log: SqlEventLog
    queue: SqlQueue
    spool: SqlSpool
    idempotency: SqlIdempotency
    suppressions: SqlSuppressions
    controls: SqlControls
    campaigns: SqlCampaigns
    counters: SqlCounters
    allowances: SqlAllowances
    leases: SqlLeases
    meta: SqlMeta
    dmarc: SqlAggregateReports
    other_reports: SqlOtherReports
    sent: SqlSentBook
    observations: SqlObservations
    feedback: SqlFeedback
    frequency: SqlFrequency
    engagements: SqlEngagements
    consents: SqlConsents
    choices: SqlFrequencies
    lore: SqlLore
    lateness: SqlLateness
    audience: SqlAudience
    notices: SqlNotices
    rates: SqlRates
    residents: SqlResidents
    cancelling: SqlCancelling
    tls_sessions: SqlTlsSessions
    refused_reports: SqlRefusedReports

    async def close(self) -> None:
        """Finish what waits to be committed, then close every connection."""
        await self.db.close()


async def open_stores(url: str, *, inline: bool = False) -> Stores:
    """Open and migrate the database.  Raises Unavailable when it cannot be opened or belongs to a newer version.

    `inline` keeps everything in the calling thread on one connection (virtual time, `sqlite://` in memory)."""
    _make_folder(url)
    db = Database(url, inline=inline)
    try:
        if inline:
            migrate(db.engine)
        else:
            await asyncio.get_running_loop().run_in_executor(None, migrate, db.engine)
    except BaseException:
        await db.close()
        raise
    return Stores(
        db=db, log=SqlEventLog(db), queue=SqlQueue(db), spool=SqlSpool(db), idempotency=SqlIdempotency(db),
        suppressions=SqlSuppressions(db), controls=SqlControls(db), counters=SqlCounters(db),
        campaigns=SqlCampaigns(db),
        allowances=SqlAllowances(db), leases=SqlLeases(db), meta=SqlMeta(db), dmarc=SqlAggregateReports(db),
        observations=SqlObservations(db), frequency=SqlFrequency(db), feedback=SqlFeedback(db),
        engagements=SqlEngagements(db), consents=SqlConsents(db), choices=SqlFrequencies(db),
        notices=SqlNotices(db), tls_sessions=SqlTlsSessions(db), rates=SqlRates(db), residents=SqlResidents(db),
        cancelling=SqlCancelling(db),
        other_reports=SqlOtherReports(db), sent=SqlSentBook(db), lateness=SqlLateness(db), lore=SqlLore(db),
        audience=SqlAudience(db), refused_reports=SqlRefusedReports(db),
    )  # fmt: skip


def _make_folder(url: str) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        try:
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"The database's folder cannot be made: {error}") from error
