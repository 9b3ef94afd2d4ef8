"""What a placement test says, for the API, the page and the command line: figures, comparison, seeds.

Contract: reads the log and the book of deliveries; keeps nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.clock import iso
from core.lane import DAY, HOUR
from core.placement import PlacementTested, SeedOutcome, SeedResult
from monitor.placement import Comparison, Share, Summary, Weighted, compare, stale_seeds, summarise
from service.placement import MAX_TESTS, PlacementDesk, PlacementView
from storage.stores import Stores

MIX_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A test with its figures.  `before` is the earlier test of the same kind that it is compared with."""

    view: PlacementView
    summary: Summary
    before: str = ""
    change: Comparison | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedState:
    """One mailbox: what is wrong with it, and its newest outcomes (newest first)."""

    mailbox: str
    provider: str
    problem: str
    login_refused: bool
    since: float
    stale: bool
    outcomes: tuple[SeedOutcome, ...]


class PlacementViews:
    """See the module."""

    def __init__(self, desk: PlacementDesk, stores: Stores, now: float, *, stale_days: float) -> None:
        self._desk = desk
        self._stores = stores
        self._now = now
        self._stale_days = stale_days

    async def digests(self, limit: int = 20) -> list[Digest]:
        """Newest first."""
        views = await self._desk.tests(limit)
        history = await self._desk.ended(MAX_TESTS)
        mix, stale = await self.mix(), stale_seeds(history, self._now, self._stale_days)
        return [self._digest(view, history, mix, stale) for view in views]

    async def digest(self, test_id: str) -> Digest | None:
        """One test."""
        view = await self._desk.test(test_id)
        if view is None:
            return None
        history = await self._desk.ended(MAX_TESTS)
        return self._digest(view, history, await self.mix(), stale_seeds(history, self._now, self._stale_days))

    async def seeds(self, mailboxes: Sequence[tuple[str, str]]) -> list[SeedState]:
        """The state of each (mailbox, provider)."""
        blind, history = await self._desk.blind(), await self._desk.ended(MAX_TESTS)
        stale = stale_seeds(history, self._now, self._stale_days)
        seen: dict[str, list[SeedOutcome]] = {}
        for test in history:
            for one in test.results:
                seen.setdefault(one.mailbox, []).append(one.outcome)
        return [
            SeedState(
                mailbox=mailbox, provider=provider, problem=blind[mailbox].problem if mailbox in blind else "",
                login_refused=mailbox in blind and blind[mailbox].login,
                since=blind[mailbox].at if mailbox in blind else 0.0, stale=mailbox in stale,
                outcomes=tuple(seen.get(mailbox, ())[:10]),
            )
            for mailbox, provider in mailboxes
        ]  # fmt: skip

    async def mix(self) -> dict[str, int]:
        """Our delivered mail of the last 30 days by provider."""
        hour = int(self._now // HOUR)
        found: Counter[str] = Counter()
        for one in await self._stores.sent.sent(hour - int(MIX_DAYS * DAY // HOUR), hour + 1):
            found[one.key.provider] += one.delivered
        return {provider: n for provider, n in found.items() if n > 0}

    def _digest(
        self, view: PlacementView, history: Sequence[PlacementTested], mix: dict[str, int], stale: frozenset[str]
    ) -> Digest:
        mine = view.started
        earlier = next(
            (
                one
                for one in history
                if one.started_at < mine.at
                and (one.name, one.stream, one.sending_domain) == (mine.name, mine.stream, mine.sending_domain)
            ),
            None,
        )
        return Digest(
            view=view, summary=summarise(view.results, mix, stale), before=earlier.test_id if earlier else "",
            change=compare(earlier.results, view.results) if earlier else None,
        )  # fmt: skip


def digest_json(digest: Digest, *, full: bool) -> dict[str, Any]:
    """As the API and `--json` show it; `full` with every mailbox."""
    mine, summary = digest.view.started, digest.summary
    shown: dict[str, Any] = {
        "id": mine.test_id, "at": iso(mine.at), "ended_at": iso(digest.view.ended_at) if digest.view.ended_at else None,
        "schedule": mine.name, "stream": mine.stream, "campaign": mine.campaign, "sending_domain": mine.sending_domain,
        "subject": mine.subject, "by": mine.by, "copies": len(mine.copies),
        "inbox": share_json(summary.inbox), "without_stale": share_json(summary.fresh),
        "weighted": weighted_json(summary.weighted), "outcomes": _words(summary.counts),
        "providers": [
            {
                "provider": one.provider, "inbox": share_json(one.inbox), "outcomes": _words(one.counts),
                "median_seconds": one.median_seconds if one.median_seconds >= 0 else None,
            }
            for one in summary.providers
        ],
        "compared_with": {"id": digest.before, **asdict(digest.change)} if digest.change else None,
    }  # fmt: skip
    if full:
        ids = {copy.mailbox: copy.message_id for copy in mine.copies}
        shown["seeds"] = [_seed_json(one, ids.get(one.mailbox, "")) for one in digest.view.results]
    return shown


def share_json(one: Share) -> dict[str, Any]:
    """A share."""
    return {"part": one.part, "of": one.of, "rate": one.rate, "low": one.low, "high": one.high}


def weighted_json(one: Weighted) -> dict[str, Any]:
    """The weighted share."""
    return {"rate": one.rate, "low": one.low, "high": one.high, "covered": one.covered}


def _words(counts: dict[SeedOutcome, int]) -> dict[str, int]:
    return {str(outcome): n for outcome, n in counts.items()}


def _seed_json(one: SeedResult, message_id: str) -> dict[str, Any]:
    facts = one.facts
    return {
        "mailbox": one.mailbox, "provider": one.provider, "outcome": str(one.outcome), "detail": one.detail,
        "seconds": one.seconds if one.seconds >= 0 else None, "message_id": message_id or None,
        "authentication": {
            "by": facts.authserv, "spf": facts.spf, "dkim": facts.dkim, "dmarc": facts.dmarc, "arc": facts.arc
        } if facts.authserv else None,
        "filters": dict(facts.filters),
        "moves": [
            {"outcome": str(move.outcome), "folder": move.folder, "seconds": move.seconds} for move in one.moves
        ],
    }  # fmt: skip
