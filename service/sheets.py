"""Requirement sheets of this installation: findings, settings, counters and feeds brought together.

`judged` is what the API and `penstock doctor --sheets` show.  Counters and observations of the last WINDOW_DAYS count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from collectors.dns.finding import Finding
from collectors.dns.sheets import SheetResult, judge
from config.load import load_sheets
from config.model import Settings
from core.clock import iso
from core.errors import Unavailable
from core.lane import DAY, cohort_of, day_of
from core.ports import Counters, Observations
from core.state import CounterKey, Observation
from service.requirements import facts_of
from storage.stores import open_stores

WINDOW_DAYS = 7
MAX_OBSERVATIONS = 5000


def judged(
    settings: Settings,
    findings: Sequence[Finding],
    counters: Mapping[CounterKey, int],
    observations: Sequence[Observation],
    looked: float,
) -> list[SheetResult]:
    """Every shipped sheet; `looked` is when the findings were made (epoch seconds)."""
    facts = facts_of(settings, counters, observations)
    return [judge(sheet, findings, facts, looked) for sheet in load_sheets()]


async def evidence(
    counters: Counters, observations: Observations, now: float
) -> tuple[dict[CounterKey, int], list[Observation]]:
    """What storage holds of the window."""
    first = day_of(now) - WINDOW_DAYS
    return (
        await counters.load(cohort_of(first * DAY)),
        await observations.page(since_day=first, limit=MAX_OBSERVATIONS),
    )


async def stored_evidence(settings: Settings, now: float) -> tuple[dict[CounterKey, int], list[Observation]]:
    """The same for a command; nothing when there is no database yet, which a look must not make."""
    if not _is_made(settings.storage.url):
        return {}, []
    try:
        stores = await open_stores(settings.storage.url)
    except Unavailable:
        return {}, []
    try:
        return await evidence(stores.counters, stores.observations, now)
    finally:
        await stores.close()


def _is_made(url: str) -> bool:
    parsed = make_url(url)
    return parsed.get_backend_name() != "sqlite" or Path(str(parsed.database)).exists()


def sheet_json(result: SheetResult) -> dict[str, Any]:
    """A sheet as the API shows it."""
    return {
        "provider": result.sheet.provider,
        "title": {"en": result.sheet.title_en, "ru": result.sheet.title_ru},
        "applies_from": result.sheet.applies_from,
        "as_of": result.sheet.as_of,
        "rows": [
            {
                "id": row.row.id, "standing": str(row.standing), "source": row.row.source,
                "what": {"en": row.what("en"), "ru": row.what("ru")},
                "evidence": {"en": row.shown("en"), "ru": row.shown("ru")},
                "remedy": {"en": row.remedy("en"), "ru": row.remedy("ru")},
                "seen": iso(row.seen) if row.seen else None,
            }
            for row in result.rows
        ],
    }  # fmt: skip
