"""`penstock reports VIEW`: what `/v1/reports/…` and the page show, as tables, or as JSON with --json.

`readiness` exits with 1 when some domain is not ready, `reconcile` when a difference is not explained.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from collectors.reports.readiness import Readiness, Verdict
from collectors.reports.reconcile import Line
from core.clock import iso
from core.lane import DAY
from core.reports import Dim, Tally
from service.commands.common import Subparsers, add_config
from service.commands.reports import open_reports
from service.report_views import Views, dim_of, narrowed

FAILURES_SHOWN = 500
_SAYS = {
    Verdict.READY: "ready for p={next}",
    Verdict.NOT_READY: "NOT ready for p={next}",
    Verdict.UNKNOWN: "unknown: too little is reported yet",
    Verdict.DONE: "p=reject holds",
}


def add_views(actions: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    for name, about, days, run in (
        ("sources", "who sends in your name, with the evidence", 30, run_sources),
        ("timeline", "alignment by day", 30, run_timeline),
        ("tally", "any drill-down: by source, selector, reporter, day and every other part of a record", 30, run_tally),
        ("readiness", "which stricter policy is possible, and what would break", 30, run_readiness),
        ("reconcile", "reported counts beside our own deliveries", 7, run_reconcile),
        ("selectors", "DKIM selectors, and which nobody saw for long", 0, run_selectors),
        ("reporters", "who reports, how completely and how late", 30, run_reporters),
        ("tls", "how senders' TLS sessions with our hosts went, beside our own with theirs", 30, run_tls),
        ("failures", "failure reports about single messages, without people", 0, run_failures),
    ):
        parser = actions.add_parser(name, help=about)
        if days:
            parser.add_argument("--days", type=int, default=days, metavar="N", help=f"default: {days}")
        parser.add_argument("--json", action="store_true", help="one JSON document")
        add_config(parser)
        parser.set_defaults(run=run)
        if run is run_tally:
            parser.add_argument("--by", default="source_ip", metavar="PART,…", help="of " + ", ".join(Dim))
            parser.add_argument("--where", action="append", default=[], metavar="PART=VALUE", help="narrow to it")
            parser.add_argument("--limit", type=int, default=200, metavar="N", help="rows, default: 200")


async def run_sources(arguments: argparse.Namespace) -> int:
    """Print the sources."""
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).sources(arguments.days)
    if arguments.json:
        return _json([{**asdict(name), **asdict(tally)} for tally, name in found])
    _table(
        ("source", "kind", "name", "messages", "aligned", "evidence"),
        [
            (name.ip, str(name.kind), name.name or name.ptr, f"{t.messages:,}", _share(t.aligned, t.messages),
             name.evidence)
            for t, name in found
        ],
    )  # fmt: skip
    return 0


async def run_timeline(arguments: argparse.Namespace) -> int:
    """Print alignment by day."""
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).timeline(arguments.days)
    return _tallies(found, [Dim.DAY], as_json=arguments.json)


async def run_tally(arguments: argparse.Namespace) -> int:
    """Print sums split and narrowed by any part.  Raises InvalidInput for a part that there is not."""
    by = [dim_of(name) for name in arguments.by.split(",") if name]
    where = []
    for given in arguments.where:
        name, _, value = given.partition("=")
        where.append(narrowed(dim_of(name), value))
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).drill(by, where, arguments.days, max(1, arguments.limit))
    return _tallies(found, by, as_json=arguments.json)


def _tallies(found: Sequence[Tally], by: Sequence[Dim], *, as_json: bool) -> int:
    keys = [
        [_day(int(value)) if dim is Dim.DAY else value for dim, value in zip(by, tally.key, strict=True)]
        for tally in found
    ]
    if as_json:
        return _json([
            {**{str(dim): value for dim, value in zip(by, key, strict=True)}, "messages": tally.messages,
             "aligned": tally.aligned, "dkim": tally.dkim, "spf": tally.spf, "quarantined": tally.quarantined,
             "rejected": tally.rejected}
            for key, tally in zip(keys, found, strict=True)
        ])  # fmt: skip
    _table(
        (*by, "messages", "aligned", "dkim", "spf", "quarantined", "rejected"),
        [
            (*key, f"{t.messages:,}", _share(t.aligned, t.messages), _share(t.dkim, t.messages),
             _share(t.spf, t.messages), f"{t.quarantined:,}", f"{t.rejected:,}")
            for key, t in zip(keys, found, strict=True)
        ],
    )  # fmt: skip
    return 0


async def run_readiness(arguments: argparse.Namespace) -> int:
    """Print one answer for each domain."""
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).readiness(arguments.days)
    if arguments.json:
        _json([{**asdict(one), "loss": one.loss} for one in found])
    for one in () if arguments.json else found:
        _show(one)
    if not found and not arguments.json:
        print("No report that counts has come in this time.")
    return 1 if any(one.verdict is Verdict.NOT_READY for one in found) else 0


def _show(one: Readiness) -> None:
    loss = "nothing of ours or of a known service was reported" if one.loss is None else (
        f"{one.wanted_unaligned:,} of {one.wanted:,} of own and known mail not aligned ({one.loss:.2%})"
    )  # fmt: skip
    print(f"{one.domain}: p={one.policy or '?'}: {_SAYS[one.verdict].format(next=one.next)}")
    print(f"  {one.messages:,} messages, {one.days} days, {one.reporters} reporters; {loss}")
    for at in one.breaks[:20]:
        name = at.source.name or at.source.ptr or "nobody that we know"
        print(f"  would be stopped: {at.unaligned:,} of {at.messages:,} from {at.source.ip} ({at.source.kind}, {name})")
        if at.streams:
            print("      it carries " + ", ".join(f"{stream} ({n:,})" for stream, n in at.streams[:5]))


async def run_reconcile(arguments: argparse.Namespace) -> int:
    """Print the lines."""
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).reconcile(arguments.days)
    if arguments.json:
        _json([{**asdict(one), "difference": one.difference, "explained": one.explained} for one in found])
    else:
        _table(
            ("day", "reporter", "domain", "source", "delivered", "reported", "difference", "signed"),
            [
                (_day(one.day), one.reporter, one.domain, one.source, _number(one.delivered),
                 "awaited" if one.awaited else _number(one.reported),
                 _difference(one), ", ".join(f"{s.selector}={s.messages:,}" for s in one.signed if s.selector))
                for one in found
            ],
        )  # fmt: skip
    return 1 if any(one.difference is not None and not one.explained for one in found) else 0


async def run_selectors(arguments: argparse.Namespace) -> int:
    """Print the selectors."""
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).selectors()
    if arguments.json:
        return _json([asdict(one) for one in found])
    _table(
        ("domain", "selector", "ours", "messages", "passing", "last seen", ""),
        [
            (one.domain, one.selector, "yes" if one.ours else "no", f"{one.messages:,}",
             _share(one.passing, one.messages), _day(one.last_day) if one.last_day is not None else "never",
             "unused: safe to revoke" if one.safe_to_revoke else "")
            for one in found
        ],
    )  # fmt: skip
    return 0


async def run_reporters(arguments: argparse.Namespace) -> int:
    """Print the reporters."""
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).reporters(arguments.days)
    if arguments.json:
        return _json([asdict(one) for one in found])
    _table(
        ("reporter", "providers", "reports", "messages", "last day", "lag", ""),
        [
            (one.name, ", ".join(one.providers) or "?", f"{one.reports:,}", f"{one.messages:,}", _day(one.last_day),
             f"{one.lag / 3600:.1f} h", f"missing for {one.missing} days" if one.missing else "")
            for one in found
        ],
    )  # fmt: skip
    return 0


async def run_tls(arguments: argparse.Namespace) -> int:
    """Print the TLS reports."""
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).tls(arguments.days)
    if arguments.json:
        return _json([asdict(one) for one in found])
    _table(
        ("day", "reporter", "domain", "policy", "successful", "failed", "own sessions", "own failures"),
        [
            (_day(one.day), one.reporter, one.policy_domain, one.policy_type, f"{one.successes:,}",
             _counts(one.failures), _number(one.own_sessions),
             "unknown" if one.own_sessions is None else _counts(one.own_failures))
            for one in found
        ],
    )  # fmt: skip
    return 0


async def run_failures(arguments: argparse.Namespace) -> int:
    """Print groups of failure reports."""
    async with open_reports(arguments.config) as reports:
        found = await Views(reports).failures(FAILURES_SHOWN)
    if arguments.json:
        return _json([one._asdict() for one in found])
    _table(
        ("day", "domain", "source", "failure", "outcome", "reporter", "reports"),
        [
            (_day(one.day), one.domain, one.source_ip, one.failure, one.delivery, one.reporter, f"{one.reports:,}")
            for one in found
        ],
    )
    return 0


def _counts(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counted.items()) or "0"


def _json(value: Any) -> int:
    print(json.dumps(value, ensure_ascii=False, indent=1))
    return 0


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        print("Nothing is reported yet.")
        return
    widths = [max(len(head[at]), *(len(row[at]) for row in rows)) for at in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _share(part: int, of: int) -> str:
    return f"{part / of:.1%}" if of else "–"


def _day(day: int) -> str:
    return iso(day * DAY)[:10]


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _difference(one: Line) -> str:
    if one.difference is None:
        return "–"
    if not one.difference:
        return "0"
    reasons = [f"under way at the turn of the day: {one.turned:+,}"] if one.turned else []
    if one.explained and one.difference != one.turned:
        reasons.append(f"refused after data: {one.refused:,}")
    return f"{one.difference:+,}" + (f" ({', '.join(reasons)})" if reasons else "")
