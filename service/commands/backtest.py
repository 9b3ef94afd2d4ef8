"""`penstock backtest`: what rules would have done with the mail of the stored log (docs/backtest.md).

Reads beside a running service; nothing is changed.  Exit code 0 whatever was found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.load import load_providers
from config.tables import Rule
from core.clock import iso
from core.errors import InvalidInput
from core.lane import DAY
from core.state import CounterKey
from monitor.backtest import Backtest, Finding, Outcome
from monitor.counters import counted
from monitor.evidence import DelayEnvelope
from service.commands.common import Subparsers, add_config, desk
from service.commands.simulate import read_rules
from service.lateness import fitted
from storage.history import History
from warmup.ramp import OTHER


def add_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the command."""
    command = commands.add_parser("backtest", help="what would these rules have done with the mail of the past?")
    command.add_argument("--rules", type=Path, metavar="FILE", help="rules (default: the shipped ones)")
    command.add_argument("--since", default="", metavar="DATE|DAYS", help="2026-01-31, or days back (default: all)")
    command.add_argument("--slice-minutes", type=float, default=60.0, help="how finely time is cut (default 60)")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    add_config(command)
    command.set_defaults(run=run_backtest)


async def run_backtest(arguments: argparse.Namespace) -> int:
    """Run and print."""
    if not 1 <= arguments.slice_minutes <= 24 * 60:
        raise InvalidInput("--slice-minutes", "must be 1 to 1440", "Leave it out for one hour")
    rules = read_rules(arguments.rules)
    async with desk(arguments.config) as here:
        since = since_of(arguments.since, here.clock.now())
        transactional = here.settings.transactional
        history = History(here.stores.db)
        # by the delays as they are known now, over all of the past
        envelopes = await fitted(here.stores.lateness, here.clock.now())
        test = await asyncio.to_thread(
            replayed, history, rules, transactional, since, arguments.slice_minutes * 60, envelopes
        )
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
    envelopes: Mapping[str, DelayEnvelope] | None = None,
) -> Backtest:
    """The whole log, slice by slice.  Blocks."""
    silent = frozenset({OTHER, *(row.name for row in load_providers() if not row.complaint_feedback)})
    test = Backtest(rules, transactional=transactional, no_feedback=silent, envelopes=envelopes)
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
    }


def _row(found: Finding) -> dict[str, Any]:
    return {
        "rule": found.rule, "scope": found.scope, "at": iso(found.at), "state": found.state.value,
        "until": iso(found.until) if found.until else "", "closings": found.closings,
        "evidence": {
            "bad": found.evidence.numerator, "of": found.evidence.denominator, "e_value": found.evidence.e_value,
            "limit": found.evidence.limit, "threshold": found.threshold,
        },
        "held": found.held, "held_bad": found.bad, "held_total": found.total, "spared": found.spared,
        "outcome": found.outcome.value,
    }  # fmt: skip


def shown(result: dict[str, Any]) -> str:
    """Text for people."""
    lines = [
        f"{row['at'][:16]}Z  {row['state']:<12} {row['scope']} by {row['rule']}: {row['evidence']['bad']:,} of "
        f"{row['evidence']['of']:,}; would have held {row['held']:,}, {row['held_bad']:,} bad of them: {row['outcome']}"
        for row in result["pauses"]
    ]
    sums = ", ".join(f"{name} {n}" for name, n in result["outcomes"].items())
    tail = f"{result['messages']:,} messages read; {len(lines)} pauses ({sums}); {result['held']:,} messages held"
    return "\n".join([*lines, tail])
