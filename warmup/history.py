"""A lane's history elsewhere: reads the CSV of a migrating sender and says where its lanes may begin.  Pure.

Contract: columns `day,source,domain,provider,sent` and, if there are, `complaints,bounces`, in any order; days are
ISO dates.  A lane may begin at the most that it sent on one of its last seven sending days without trouble, faded by
the days since (warmup.ramp, idle decay), never above the plan's target.  All faults of a file are told at once, each
with its line.  Bounded in bytes and lines.  The same history again changes nothing: `digest` tells it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date

from config.tables import Plan
from core.errors import InvalidInput, LimitExceeded
from core.lane import Lane, Provider, SendingDomain, Source
from core.state import Control, StepState
from warmup import adaptive
from warmup.days import plan_day
from warmup.ramp import FULL_DAYS, OTHER, is_other, plan_lane, ramp_of

MAX_BYTES = 10_000_000
MAX_ROWS = 200_000
MOST_PROBLEMS = 20  # told at once
MOST_SENT = 10**10
NEEDED = ("day", "source", "domain", "provider", "sent")
FURTHER = ("complaints", "bounces")
PEAK_DAYS = 7
TROUBLE_COMPLAINTS = 0.003  # Google's and Yahoo's limit
TROUBLE_BOUNCES = 0.05
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryDay:
    """One day of one lane.  `day` in days since the epoch."""

    lane: Lane
    day: int
    sent: int
    complaints: int = 0
    bounces: int = 0

    @property
    def in_trouble(self) -> bool:
        """A day that proves nothing good."""
        return self.complaints > TROUBLE_COMPLAINTS * self.sent or self.bounces > TROUBLE_BOUNCES * self.sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Where a lane may begin."""

    lane: Lane
    peak: int
    last_day: int
    first_day: int
    days: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a row may name."""

    sources: Collection[str]
    domains: Collection[str]
    providers: Collection[str]
    today: int


def read_history(content: bytes, known: Known) -> list[HistoryDay]:
    """The rows.  Raises LimitExceeded, or InvalidInput that tells up to twenty lines with what is wrong in each."""
    if len(content) > MAX_BYTES:
        raise LimitExceeded("history", f"{len(content):,} bytes", f"At most {MAX_BYTES:,}; split the file by lanes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("history", "is no UTF-8 text", "Save the CSV as UTF-8") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in NEEDED if name not in header]
        unknown = [name for name in header if name not in (*NEEDED, *FURTHER)]
        if missing or unknown:
            wrong = f"misses {', '.join(missing)}" if missing else f"has the unknown column {unknown[0]!r}"
            raise InvalidInput("history, line 1", wrong, f"Write the header {','.join((*NEEDED, *FURTHER))}")
        return _rows(reader, header, known)
    except csv.Error as error:
        raise InvalidInput(f"history, line {reader.line_num}", str(error), "Mend that line") from error


def _rows(reader: Iterable[list[str]], header: list[str], known: Known) -> list[HistoryDay]:
    found: list[HistoryDay] = []
    seen: dict[tuple[Lane, int], int] = {}
    problems: list[str] = []
    for row in reader:
        line: int = getattr(reader, "line_num", 0)
        if not any(cell.strip() for cell in row):
            continue
        if len(found) >= MAX_ROWS:
            raise LimitExceeded("history", f"more than {MAX_ROWS:,} rows", "Split the file by lanes")
        try:
            if len(row) != len(header):
                raise ValueError(f"has {len(row)} fields, the header {len(header)}")
            day = _row({name: cell.strip() for name, cell in zip(header, row, strict=True)}, known)
            before = seen.setdefault((day.lane, day.day), line)
            if before != line:
                raise ValueError(f"repeats the lane and day of line {before}")
            found.append(day)
        except ValueError as error:
            problems.append(f"line {line} {error}")
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise InvalidInput("history", "; ".join(problems), "Mend these lines; nothing was imported")
    if not found:
        raise InvalidInput("history", "holds no rows", f"Write {','.join(NEEDED)} lines below the header")
    return found


def _row(cells: dict[str, str], known: Known) -> HistoryDay:
    try:
        day = (date.fromisoformat(cells["day"]) - _EPOCH).days
    except ValueError as error:
        raise ValueError(f"day: {cells['day'][:20]!r} is no date like 2026-03-31") from error
    if not 0 <= day <= known.today:
        raise ValueError(f"day: {cells['day']} is not in the past")
    provider = cells["provider"].lower()
    for name, value, of in (("source", cells["source"], known.sources), ("domain", cells["domain"], known.domains)):
        if value not in of:
            raise ValueError(f"{name}: {value[:60]!r} is not configured (known: {', '.join(sorted(of))})")
    if provider not in known.providers and not is_other(provider):
        raise ValueError(
            f"provider: {provider[:60]!r} is unknown (known: {', '.join(sorted(known.providers))}, {OTHER})"
        )
    numbers = {name: _number(name, cells.get(name, "")) for name in ("sent", *FURTHER)}
    if max(numbers["complaints"], numbers["bounces"]) > numbers["sent"]:
        raise ValueError("complaints, bounces: are more than was sent")
    lane = Lane(
        source=Source(cells["source"]), sending_domain=SendingDomain(cells["domain"]), provider=Provider(provider)
    )
    return HistoryDay(lane=lane, day=day, **numbers)


def _number(name: str, text: str) -> int:
    if not text and name in FURTHER:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) > MOST_SENT:
        raise ValueError(f"{name}: {text[:20]!r} is no whole number from 0 to {MOST_SENT:,}")
    return int(text)


def levels(rows: Iterable[HistoryDay]) -> list[Level]:
    """Each lane's level: its best untroubled day of the last seven on which it sent."""
    lanes: dict[Lane, dict[int, HistoryDay]] = {}
    for row in rows:
        lane = plan_lane(row.lane)
        before = lanes.setdefault(lane, {}).get(row.day)
        lanes[lane][row.day] = HistoryDay(
            lane=lane, day=row.day, sent=row.sent + (before.sent if before else 0),
            complaints=row.complaints + (before.complaints if before else 0),
            bounces=row.bounces + (before.bounces if before else 0),
        )  # fmt: skip
    found = []
    for lane, days in sorted(lanes.items()):
        sent = sorted((row for row in days.values() if row.sent), key=lambda row: row.day)
        if not sent:
            continue
        text = ";".join(f"{row.day},{row.sent},{row.complaints},{row.bounces}" for row in sent)
        found.append(
            Level(
                lane=lane, peak=max((r.sent for r in sent[-PEAK_DAYS:] if not r.in_trouble), default=0),
                first_day=sent[0].day, last_day=sent[-1].day, days=len(sent),
                digest=hashlib.sha256(f"{lane.key}:{text}".encode()).hexdigest()[:16],
            )
        )  # fmt: skip
    return found


def imported(level: Level, plan: Plan, now: float) -> StepState:
    """The state in which such a lane begins today."""
    ramp, today = ramp_of(plan, level.lane.provider), plan_day(plan, now)
    idle = max(0, today - level.last_day - 1)
    faded = 0.0 if idle >= plan.idle_rewarm_days else ramp.idle_cap(level.peak, idle)
    step = ramp.step_under(faded)
    finished = faded >= ramp.target
    cap, control = ramp.cap(step), Control()
    if plan.controller == "adaptive":  # no table to stand on: what the providers knew there is good here
        cap = min(ramp.target, max(ramp.cap(0), int(faded)))
        control = replace(adaptive.begin(plan), good=cap)
    reason = f"warmed elsewhere: {level.peak:,} a day at best in the last {min(PEAK_DAYS, level.days)} sending days"
    if idle > FULL_DAYS:
        reason += f", {idle} days ago"
    return StepState(
        lane=level.lane, plan=plan.name, step=step, cap=cap, day=today, started_day=level.first_day,
        last_sent_day=level.last_day, peak=level.peak, finished=finished, reason=reason, imported=level.digest,
        control=control,
    )  # fmt: skip
