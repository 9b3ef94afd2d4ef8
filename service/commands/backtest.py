"""`penstock backtest`: what rules would have done with the mail of the stored log (docs/backtest.md).

Reads beside a running service; nothing is changed.  Exit code 0 whatever was found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.load import load_providers, load_rules
from config.tables import Rule
from core.clock import iso
from core.errors import InvalidInput
from core.events import Evidence
from core.lane import DAY
from core.state import CounterKey
from monitor.backtest import Backtest
from monitor.canary import Terms
from monitor.counters import counted
from monitor.delays import Lateness
from monitor.hindsight import CanaryRun, Finding, Outcome, Told
from service.canaries import canary_terms
from service.commands.common import Subparsers, add_config, desk
from service.commands.simulate import read_rules
from service.lateness import reports_of
from storage.history import History
from warmup.admission import gate_allowance
from warmup.ramp import OTHER


def add_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the command."""
    command = commands.add_parser("backtest", help="what would these rules have done with the mail of the past?")
    command.add_argument("--rules", type=Path, metavar="FILE", help="rules (default: those of the configuration)")
    command.add_argument("--since", default="", metavar="DATE|DAYS", help="2026-01-31, or days back (default: all)")
    command.add_argument("--slice-minutes", type=float, default=60.0, help="how finely time is cut (default 60)")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    add_config(command)
    command.set_defaults(run=run_backtest)


async def run_backtest(arguments: argparse.Namespace) -> int:
    """Run and print."""
    if not 1 <= arguments.slice_minutes <= 24 * 60:
        raise InvalidInput("--slice-minutes", "must be 1 to 1440", "Leave it out for one hour")
    async with desk(arguments.config) as here:
        rules = read_rules(arguments.rules) if arguments.rules else load_rules(here.settings)
        since = since_of(arguments.since, here.clock.now())
        # what was reported long before says how late the providers of the first days report
        lateness = await reports_of(here.stores.lateness, since)
        test = await asyncio.to_thread(
            replayed, History(here.stores.db), rules, here.settings.transactional, since,
            arguments.slice_minutes * 60, lateness, canary_terms(here.settings, rules),
        )  # fmt: skip
    result = report(test)
    print(json.dumps(result, ensure_ascii=False) if arguments.json else shown(result))
    return 0


def since_of(text: str, now: float) -> float:
    """Epoch seconds of a date (UTC) or of so many days back; 0 for ''."""
    if not text:
        return 0.0
    try:
        return now - float(text) * DAY if text.replace(".", "", 1).isdigit() else _date(text)
    except ValueError as error:
        raise InvalidInput("--since", f"{text!r} is no date", "Write 2026-01-31, or a number of days") from error


def _date(text: str) -> float:
    given = datetime.fromisoformat(text)
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


def replayed(
    history: History,
    rules: list[Rule],
    transactional: tuple[str, ...],
    since: float,
    slice_seconds: float,
    lateness: Sequence[Lateness] = (),
    canaries: Mapping[str, Terms] | None = None,
) -> Backtest:
    """The whole log, slice by slice.  Blocks."""
    silent = frozenset({OTHER, *(row.name for row in load_providers() if not row.complaint_feedback)})
    test = Backtest(
        rules, allowance=gate_allowance, transactional=transactional, no_feedback=silent, lateness=lateness,
        canaries=canaries, slice_seconds=slice_seconds,
    )  # fmt: skip
    for at, deltas in slices(history, since, slice_seconds):
        test.take(at, deltas)
    test.end()
    return test


def slices(history: History, since: float, slice_seconds: float) -> Iterator[tuple[float, dict[CounterKey, int]]]:
    """Counter deltas of each slice, in order."""
    now, sums = 0.0, Counter[CounterKey]()
    for at, event, n in history.folded(since, slice_seconds=slice_seconds):
        if at != now and sums:
            yield now, dict(sums)
            sums.clear()
        now = at
        for attribution, metric in counted(event):
            sums[CounterKey(attribution=attribution, metric=metric)] += n
    if sums:
        yield now, dict(sums)


def report(test: Backtest) -> dict[str, Any]:
    """JSON-able."""
    outcomes = Counter(found.outcome for found in test.findings)
    return {
        "messages": test.messages,
        "pauses": [_row(found) for found in test.findings],
        "outcomes": {outcome.value: outcomes[outcome] for outcome in Outcome},
        "held": sum(found.held for found in test.findings),
        "told": [_told(told) for told in test.told],
        "canaries": [_canary(run) for run in test.canaries],
    }


def _row(found: Finding) -> dict[str, Any]:
    return {
        "rule": found.rule, "scope": found.scope, "at": iso(found.at), "state": found.state.value,
        "until": iso(found.until) if found.until else "", "closings": found.closings,
        "evidence": _evidence(found.evidence), "held": found.held, "held_bad": found.bad, "held_total": found.total,
        "spared": found.spared, "outcome": found.outcome.value,
    }  # fmt: skip


def _evidence(seen: Evidence) -> dict[str, Any]:
    return {
        "bad": seen.numerator, "of": seen.denominator, "e_value": seen.e_value, "limit": seen.limit,
        "threshold": seen.threshold,
    }  # fmt: skip


def _told(told: Told) -> dict[str, Any]:
    return {
        "rule": told.rule, "scope": told.scope, "action": told.action, "at": iso(told.at),
        "until": iso(told.until) if told.until else "",
        "evidence": _evidence(told.evidence) if told.evidence else None,
    }  # fmt: skip


def _canary(run: CanaryRun) -> dict[str, Any]:
    return {
        "scope": run.scope, "at": iso(run.at), "slice": run.slice, "until": iso(run.until) if run.until else "",
        "waited": run.waited,
    }  # fmt: skip


def shown(result: dict[str, Any]) -> str:
    """Text for people."""
    lines = [
        f"{row['at'][:16]}Z  {row['state']:<12} {row['scope']} by {row['rule']}: {row['evidence']['bad']:,} of "
        f"{row['evidence']['of']:,}; would have held {row['held']:,}, {row['held_bad']:,} bad of them: {row['outcome']}"
        for row in result["pauses"]
    ]
    lines += [
        f"{row['at'][:16]}Z  {row['action']:<12} {row['scope']} by {row['rule']}"
        + (f": {row['evidence']['bad']:,} of {row['evidence']['of']:,}" if row["evidence"] else "")
        + (f"; over at {row['until'][:16]}Z" if row["until"] else "; not over")
        for row in result["told"]
    ]
    lines += [
        f"{row['at'][:16]}Z  {'canary':<12} {row['scope']}: {row['slice']:,} first, "
        + (f"{row['waited']:,} waited until {row['until'][:16]}Z" if row["until"] else "the rest never went")
        for row in result["canaries"]
    ]
    sums = ", ".join(f"{name} {n}" for name, n in result["outcomes"].items())
    tail = (
        f"{result['messages']:,} messages read; {len(result['pauses'])} pauses ({sums}); {result['held']:,} messages "
        f"held; {len(result['told'])} alerts and holds of the warm-up; {len(result['canaries'])} canaries"
    )
    return "\n".join([*sorted(lines), tail])
