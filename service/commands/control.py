"""`penstock pause | resume | cancel | suppress | explain`: look at the gate and have a say in it.

They work on the store that the config names, so they need no running service; a running one obeys within a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import time

from core.clock import iso
from core.errors import InvalidInput
from core.lane import DAY
from core.state import Gate
from service.cancelling import Canceller
from service.commands.common import add_config, add_json, add_language, desk, who
from service.commands.given import given_lines
from service.commands.progress import Progress
from service.explained import explained
from service.gate_form import gate_json

SCOPE = "e.g. provider=gmail,stream=bulk; lane=SOURCE|DOMAIN|PROVIDER; all"
_PORTION = 2000  # messages that are cancelled between two drawings


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    pause = commands.add_parser("pause", help="close the gate over a scope: its mail waits")
    pause.add_argument("scope", metavar="SCOPE", help=SCOPE)
    pause.add_argument(
        "--hours", type=float, default=0.0, metavar="H", help="end by itself after so many hours (default: never)"
    )
    pause.add_argument("--reason", default="", metavar="TEXT", help="for the log and whoever looks at it later")
    pause.add_argument("--everything", action="store_true", help="stop transactional mail too")
    add_json(pause)
    add_config(pause)
    pause.set_defaults(run=run_pause)

    resume = commands.add_parser("resume", help="open every gate over exactly this scope")
    resume.add_argument("scope", metavar="SCOPE", help=SCOPE)
    resume.add_argument("--reason", default="", metavar="TEXT", help="for the log and whoever looks at it later")
    resume.add_argument(
        "--hours", type=float, default=0.0, metavar="H",
        help="keep rules from closing it so long (default: new evidence may)",
    )  # fmt: skip
    add_json(resume)
    add_config(resume)
    resume.set_defaults(run=run_resume)

    cancel = commands.add_parser(
        "cancel", help="end queued mail of a scope, e.g. campaign=spring; what is in flight goes"
    )
    cancel.add_argument("scope", metavar="SCOPE", help=SCOPE)
    cancel.add_argument("--reason", default="", metavar="TEXT", help="for the log and whoever looks at it later")
    cancel.add_argument("--everything", action="store_true", help="transactional mail too")
    add_json(cancel)
    add_config(cancel)
    cancel.set_defaults(run=run_cancel)

    suppress = commands.add_parser("suppress", help="never mail these addresses again ('-' reads them from stdin)")
    suppress.add_argument("addresses", nargs="+", metavar="ADDRESS", help="one or several; '-' reads them from stdin")
    suppress.add_argument("--stream", default="", help="only this stream (default: every stream)")
    suppress.add_argument("--note", default="", metavar="TEXT", help="kept with the address")
    suppress.add_argument(
        "--days", type=float, default=0.0, metavar="D", help="end by itself after so many days (default: never)"
    )
    suppress.add_argument("--remove", action="store_true", help="lift the suppression instead")
    add_json(suppress)
    add_config(suppress)
    suppress.set_defaults(run=run_suppress)

    explain = commands.add_parser("explain", help="tell the story of a message, pause, lane or campaign from the log")
    explain.add_argument("what", choices=["message", "pause", "lane", "campaign"], help="what the story is about")
    explain.add_argument(
        "id", metavar="ID", help="of a lane: SOURCE|DOMAIN|PROVIDER; of a campaign: its name, or STREAM/NAME"
    )
    add_json(explain)
    add_language(explain, "of every sentence; what hosts and people wrote stays")
    add_config(explain)
    explain.set_defaults(run=run_explain)


def _gate_text(gate: Gate) -> str:
    until = f"until {iso(gate.until)}" if gate.until else "until resumed"
    reason = f"      {gate.reason}\n" if gate.reason else ""
    return (
        f"  {gate.scope.key}: {gate.state} by {gate.by} since {iso(gate.since)} {until}\n"
        f"{reason}      penstock explain pause {shlex.quote(gate.pause_id)}   "
        f"penstock resume {shlex.quote(gate.scope.key)}"
    )


async def run_pause(arguments: argparse.Namespace) -> int:
    """Close a gate."""
    async with desk(arguments.config) as d:
        scope = d.operator.scope(arguments.scope, everything=arguments.everything)
        gate = await d.operator.pause(scope, by=who(), reason=arguments.reason, hours=arguments.hours)
        print(json.dumps({"pause": gate_json(gate)}, ensure_ascii=False) if arguments.json else _gate_text(gate))
    return 0


async def run_resume(arguments: argparse.Namespace) -> int:
    """Open gates."""
    async with desk(arguments.config) as d:
        scope = d.operator.scope(arguments.scope)
        gates = await d.operator.resume(scope, by=who(), reason=arguments.reason, hours=arguments.hours)
        if arguments.json:
            print(json.dumps({"resumed": [gate_json(gate) for gate in gates]}, ensure_ascii=False))
        else:
            for gate in gates:
                held = f", no rule closes it before {iso(gate.until)}" if gate.until else ""
                print(f"open: {gate.scope.key} ({gate.rule}){held}")
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
        if arguments.json:
            print(json.dumps({"scope": scope.key, "cancelled": ended, "more": more}, ensure_ascii=False))
            return int(more)
        print(f"cancelled of {scope.key}: {ended:,}")
        if more:
            print("others are in the hands of senders that do not run; the pause holds them: run this again")
    return int(more)


async def run_suppress(arguments: argparse.Namespace) -> int:
    """Add to or take from the suppression list."""
    addresses: list[str] = []
    for text in arguments.addresses:
        addresses += given_lines(sys.stdin.buffer) if text == "-" else [text]
    async with desk(arguments.config) as d:
        if arguments.remove:
            lifted = [await d.operator.allow(a, stream=arguments.stream, by=who()) for a in addresses]
            done = {"removed": sum(lifted), "unknown": len(addresses) - sum(lifted)}
            text = f"{sum(lifted)} of {len(addresses)} lifted"
        else:
            until = d.clock.now() + arguments.days * DAY if arguments.days else 0.0
            added = await d.operator.suppress(
                addresses, stream=arguments.stream, by=who(), note=arguments.note, until=until
            )
            done = {"added": added, "known": len(addresses) - added}
            text = f"{added} of {len(addresses)} added, {len(addresses) - added} were suppressed already"
        print(json.dumps(done) if arguments.json else text)
    return 0


async def run_explain(arguments: argparse.Namespace) -> int:
    """Tell a story."""
    async with desk(arguments.config) as d:
        found = await explained(d.stores, d.settings, d.clock, arguments.what, arguments.id, arguments.lang)
    if not found.known:
        raise InvalidInput("id", f"the log knows no {arguments.what} {arguments.id!r}", "Check the id")
    if arguments.json:
        story = [{"at": iso(line.at), "event": line.kind, "text": line.text} for line in found.story]
        print(json.dumps({"id": arguments.id, "story": story, "now": list(found.now)}, ensure_ascii=False))
        return 0
    for line in [*found.story, *found.now]:
        print(line)
    return 0
