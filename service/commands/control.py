"""`penstock status | pause | resume | cancel | suppress | explain`: look at the gate and have a say in it.

They work on the store that the config names, so they need no running service; a running one obeys within a second.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from alerts import ledger
from alerts.keeper import META_NAME
from core.clock import iso
from core.errors import InvalidInput
from core.lane import DAY
from core.state import Alert, Gate
from monitor import operator as word
from service.cancelling import Canceller
from service.commands.common import add_config, desk, who
from service.commands.progress import Progress
from service.explained import explained
from service.figures import by_lane, rate_of, today
from service.telling import evidence_text
from service.waiting import BucketState, bucket_states

_SHOWN = 20  # buckets of limits
_PORTION = 2000  # messages that are cancelled between two drawings


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    status = commands.add_parser("status", help="queue, lanes, closed gates and firing alerts")
    add_config(status)
    status.set_defaults(run=run_status)

    pause = commands.add_parser(
        "pause", help="close the gate over a scope, e.g. provider=gmail,stream=bulk; all; lane=SOURCE|DOMAIN|PROVIDER"
    )
    pause.add_argument("scope")
    pause.add_argument("--hours", type=float, default=0.0, help="end by itself after so many hours (default: never)")
    pause.add_argument("--reason", default="")
    pause.add_argument("--everything", action="store_true", help="stop transactional mail too")
    add_config(pause)
    pause.set_defaults(run=run_pause)

    resume = commands.add_parser("resume", help="open every gate over exactly this scope")
    resume.add_argument("scope")
    resume.add_argument("--reason", default="")
    add_config(resume)
    resume.set_defaults(run=run_resume)

    cancel = commands.add_parser(
        "cancel", help="end queued mail of a scope, e.g. campaign=spring; what is in flight goes"
    )
    cancel.add_argument("scope")
    cancel.add_argument("--reason", default="")
    cancel.add_argument("--everything", action="store_true", help="transactional mail too")
    add_config(cancel)
    cancel.set_defaults(run=run_cancel)

    suppress = commands.add_parser("suppress", help="never mail these addresses again ('-' reads them from stdin)")
    suppress.add_argument("addresses", nargs="+", metavar="ADDRESS")
    suppress.add_argument("--stream", default="", help="only this stream (default: every stream)")
    suppress.add_argument("--note", default="")
    suppress.add_argument("--days", type=float, default=0.0, help="end by itself after so many days (default: never)")
    suppress.add_argument("--remove", action="store_true", help="lift the suppression instead")
    add_config(suppress)
    suppress.set_defaults(run=run_suppress)

    explain = commands.add_parser("explain", help="tell the story of a message, pause, lane or campaign from the log")
    explain.add_argument("what", choices=["message", "pause", "lane", "campaign"])
    explain.add_argument("id", metavar="ID", help="of a campaign: its name, or STREAM/NAME")
    explain.add_argument(
        "--lang", choices=["en", "ru"], default="en", help="of every sentence; what hosts and people wrote stays"
    )
    add_config(explain)
    explain.set_defaults(run=run_explain)


async def run_status(arguments: argparse.Namespace) -> int:
    """Print the picture."""
    async with desk(arguments.config) as d:
        now = d.clock.now()
        depth = await d.stores.queue.depth()
        print(f"{iso(now)}   queued: {sum(depth.values()):,}   suppressed: {await d.stores.suppressions.count():,}")
        sums = by_lane(await d.stores.counters.load(today(now)), today(now))
        steps = {state.lane: state for state in await d.stores.allowances.steps()}
        print("\nlane (source|domain|provider)                          step    cap   sent  hard bounces    complaints")
        for lane in sorted(set(sums) | set(steps)):
            counted, state = sums.get(lane, {}), steps.get(lane)
            cap = "–" if state is None else "done" if state.finished else f"{state.cap:,}"
            bounces = rate_of(counted.get("hard_bounced", 0), counted.get("attempted", 0))
            complaints = rate_of(counted.get("complained", 0), counted.get("delivered", 0))
            print(
                f"{lane.key:<52} {state.step if state else 0:>6} {cap:>6} {counted.get('attempted', 0):>6,}"
                f"  {f'{bounces.rate:.2%}' if bounces else 'unknown':>12}"
                f"  {f'{complaints.rate:.3%}' if complaints else 'unknown':>12}"
            )
        for line in _limit_lines(await bucket_states(d.stores, d.settings, now)):
            print(line)
        closed = [gate for gate in await d.stores.controls.gates() if word.is_closed(gate)]
        print("\nevery gate is open" if not closed else "\ngates that are not open:")
        for gate in closed:
            print(_gate_text(gate))
        firing = [entry.alert for entry in ledger.read(await d.stores.meta.get(META_NAME)).values() if entry.firing]
        print("\nno alert is firing" if not firing else "\nalerts that are firing:")
        for alert in sorted(firing, key=lambda one: (one.labels.get("severity", ""), one.starts_at)):
            print(_alert_text(alert))
    return 0


def _alert_text(alert: Alert) -> str:
    samples = "".join(f"\n      {line}" for line in alert.annotations.get("samples", "").splitlines()[:5])
    return (
        f"  {alert.labels.get('severity', '')} {alert.labels.get('alertname', '')} since {iso(alert.starts_at)}\n"
        f"      {alert.annotations.get('summary', '')}{samples}"
    )


def _limit_lines(states: list[BucketState]) -> list[str]:
    lines = ["\nlimits:"] if states else []
    for state in states[:_SHOWN]:
        free = f"{state.free:,} of {state.burst:,} free" if state.free else f"nothing free until {iso(state.opens_at)}"
        lines.append(f"  {state.limit} {state.values or '(all)'}: {state.rate} {state.kind}, {free}")
    return lines


def _gate_text(gate: Gate) -> str:
    until = f"until {iso(gate.until)}" if gate.until else "until resumed"
    figures = f"\n      {evidence_text(gate.evidence)}" if gate.evidence else ""
    return (
        f"  {gate.scope.key}: {gate.state} by {gate.by} ({gate.rule}) since {iso(gate.since)} {until}\n"
        f"      {gate.reason}{figures}\n      penstock explain pause {gate.pause_id}   penstock resume {gate.scope.key}"
    )


async def run_pause(arguments: argparse.Namespace) -> int:
    """Close a gate."""
    async with desk(arguments.config) as d:
        scope = d.operator.scope(arguments.scope, everything=arguments.everything)
        gate = await d.operator.pause(scope, by=who(), reason=arguments.reason, hours=arguments.hours)
        print(_gate_text(gate))
    return 0


async def run_resume(arguments: argparse.Namespace) -> int:
    """Open gates."""
    async with desk(arguments.config) as d:
        for gate in await d.operator.resume(d.operator.scope(arguments.scope), by=who(), reason=arguments.reason):
            print(f"open: {gate.scope.key} ({gate.rule})")
    return 0


async def run_cancel(arguments: argparse.Namespace) -> int:
    """Take queued mail back."""
    async with desk(arguments.config) as d:
        scope = d.operator.scope(arguments.scope, everything=arguments.everything)
        canceller = Canceller(d.operator, d.stores.controls, d.stores.cancelling, d.clock)
        progress, ended, more = Progress(0), 0, True
        moved = time.monotonic()
        while more and time.monotonic() - moved < d.settings.delivery.lease_seconds:
            done = await canceller.cancel(scope, by=who(), reason=arguments.reason, most=_PORTION)
            ended, more = ended + done.ended, done.more
            progress.show(ended, f"{ended:,} cancelled")
            if done.ended:
                moved = time.monotonic()
            elif more:
                await asyncio.sleep(0.2)  # senders hold the rest: it is sent or comes back
        progress.end()
        print(f"{ended:,} messages of {scope.key} are cancelled")
        if more:
            print("others are in the hands of senders that do not run; the pause holds them: run this again")
    return int(more)


async def run_suppress(arguments: argparse.Namespace) -> int:
    """Add to or take from the suppression list."""
    addresses: list[str] = []
    for text in arguments.addresses:
        addresses += [line.strip() for line in sys.stdin if line.strip()] if text == "-" else [text]
    async with desk(arguments.config) as d:
        if arguments.remove:
            lifted = [await d.operator.allow(a, stream=arguments.stream, by=who()) for a in addresses]
            print(f"{sum(lifted)} of {len(addresses)} lifted")
        else:
            until = d.clock.now() + arguments.days * DAY if arguments.days else 0.0
            added = await d.operator.suppress(
                addresses, stream=arguments.stream, by=who(), note=arguments.note, until=until
            )
            print(f"{added} of {len(addresses)} added, {len(addresses) - added} were suppressed already")
    return 0


async def run_explain(arguments: argparse.Namespace) -> int:
    """Tell a story."""
    async with desk(arguments.config) as d:
        found = await explained(d.stores, d.settings, d.clock, arguments.what, arguments.id, arguments.lang)
    if not found.known:
        raise InvalidInput("id", f"the log knows no {arguments.what} {arguments.id!r}", "Check the id")
    for line in [*found.story, *found.now]:
        print(line)
    return 0
