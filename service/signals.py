"""Signals as the page, the API and the command show them: figures of mail and of the base in one list.

Contract: reads storage only; works beside a running service.  What is known of the base (BASE) is known by stream
alone: asked by anything else it is left out, and refused when it was named.  A picture is kept for `FRESH` real
seconds, since a month of counters is much to add up.  Raises InvalidInput naming what was asked wrongly.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.load import load_providers
from config.model import Settings
from core.clock import FixedClock
from core.errors import InvalidInput
from core.lane import DAY, Scope, day_of
from monitor.evidence import DelayEnvelope
from monitor.figures import DIMENSIONS, LANE, Figure, Known, Unknown, figures
from monitor.signals import SIGNALS
from service.audience import Audience, tracked_streams
from service.figures import silent_providers
from storage.stores import Stores

FRESH = 10.0
MOST_DAYS = 90
_KEPT = 20
BASE = ("sleeping_share", "over_frequency")  # of recipients, not of mail
NAMES = (*SIGNALS, *BASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked: dimensions, whole UTC days with today, signals."""

    by: tuple[str, ...]
    days: int
    signals: tuple[str, ...]


class SignalDesk:
    """See the module."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self._settings = settings
        self._stores = stores
        self._silent = silent_providers(load_providers())
        self._pictures: dict[tuple[Question, int], tuple[float, list[Figure]]] = {}

    async def figures(self, asked: Question, envelopes: Mapping[str, DelayEnvelope], now: float) -> list[Figure]:
        """Every figure of a question."""
        key = (asked, day_of(now))
        kept = self._pictures.get(key)
        if kept is not None and time.monotonic() - kept[0] < FRESH:
            return kept[1]
        since = (day_of(now) - asked.days + 1) * int(DAY // 3600)
        streams = self._settings.streams
        known = Known(
            no_feedback=self._silent, envelopes=envelopes,
            opens=frozenset(s.name for s in streams if s.track_opens),
            clicks=frozenset(s.name for s in streams if s.track_clicks),
        )  # fmt: skip
        found = figures(
            await self._stores.counters.load(since), by=asked.by, known=known, since=since, now=now,
            signals=asked.signals, transactional=self._settings.transactional,
        )  # fmt: skip
        if asked.by == ("stream",):
            found += await self._of_base(asked, now)
        if len(self._pictures) >= _KEPT:
            self._pictures.clear()
        self._pictures[key] = (time.monotonic(), found)
        return found

    async def _of_base(self, asked: Question, now: float) -> list[Figure]:
        """Of each marketing stream, as the rules over the base see it now."""
        base = Audience(self._settings, self._stores, FixedClock(now))
        tracked, found = tracked_streams(self._settings), list[Figure]()
        asleep: dict[str, tuple[int, int]] = {}
        for one in await base.census():
            bad, total = asleep.get(one.stream, (0, 0))
            asleep[one.stream] = (bad + one.asleep, total + one.base)
        often = await base.often()
        for stream in sorted(s.name for s in self._settings.streams if s.kind != "transactional"):
            for signal, sums in zip(BASE, (asleep, often), strict=True):
                if signal in asked.signals:
                    bad, total = sums.get(stream, (0, 0))
                    untracked = signal == BASE[0] and stream not in tracked
                    unknown = Unknown.NOT_TRACKED if untracked else Unknown.NO_MAIL if not total else None
                    found.append(
                        Figure(signal=signal, scope=Scope(stream=stream), bad=bad, total=total, unknown=unknown)
                    )
        return sorted(found, key=lambda figure: (BASE.index(figure.signal), figure.scope.key))


def question(by: str, days: str, signals: str) -> Question:
    """Read what a person wrote: comma-separated dimensions (`lane` is three), a number of days, signals ('' all)."""
    names: list[str] = []
    for word in filter(None, (part.strip() for part in by.split(","))):
        if word != "lane" and word not in DIMENSIONS:
            known = ", ".join(("lane", *DIMENSIONS))
            raise InvalidInput("by", f"{word[:40]!r} is no dimension", f"Use some of: {known}")
        names += [part for part in (LANE if word == "lane" else (word,)) if part not in names]
    if not days.isdigit() or not 1 <= int(days[:4]) <= MOST_DAYS:
        raise InvalidInput("days", f"{days[:20]!r} is no number of days", f"Give 1 to {MOST_DAYS}")
    wanted = tuple(filter(None, (part.strip() for part in signals.split(","))))
    for word in wanted:
        if word not in NAMES:
            raise InvalidInput("signal", f"{word[:40]!r} is no signal", f"Use some of: {', '.join(NAMES)}")
        if word in BASE and names != ["stream"]:
            raise InvalidInput("signal", f"{word} is known by stream alone", "Ask by stream")
    return Question(by=tuple(names), days=int(days), signals=wanted or NAMES)


def figure_json(figure: Figure) -> dict[str, Any]:
    """A figure as the API shows it."""
    interval = figure.interval
    return {
        "signal": figure.signal, "scope": figure.scope.key, **_parts(figure.scope),
        "bad": figure.bad, "total": figure.total, "rate": figure.rate,
        "low": interval[0] if interval else None, "high": interval[1] if interval else None,
        "maturity": round(figure.maturity, 3), "mature": figure.mature,
        "unknown": str(figure.unknown) if figure.unknown else None,
    }  # fmt: skip


def _parts(scope: Scope) -> dict[str, str]:
    return {name: value for name in DIMENSIONS if (value := getattr(scope, name))}


def table(found: Sequence[Figure]) -> dict[Scope, dict[str, Figure]]:
    """Figures by scope, then signal."""
    rows: dict[Scope, dict[str, Figure]] = {}
    for figure in found:
        rows.setdefault(figure.scope, {})[figure.signal] = figure
    return rows
