"""`penstock signals | burnout`: signals of any scope with interval and maturity, and the state of the base."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from alerts.words import percent
from core.audience import Engagement
from monitor.figures import Figure
from service.audience import Audience, census_json, tracked_streams
from service.commands.common import Subparsers, add_config, desk
from service.lateness import fitted
from service.signals import SignalDesk, figure_json, question


def add_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the command."""
    command = commands.add_parser("signals", help="complaints, bounces, blocks, opens … of any scope, with intervals")
    command.add_argument(
        "--by", default="provider,stream", metavar="NAMES",
        help="lane, source, sending_domain, provider, stream, campaign; several with commas; '' for all together",
    )  # fmt: skip
    command.add_argument("--days", default="7", help="whole UTC days with today (default 7)")
    command.add_argument("--signal", default="", metavar="NAMES", help="only these, with commas")
    command.add_argument("--json", action="store_true", help="print them as JSON")
    add_config(command)
    command.set_defaults(run=run_signals)
    burnout = commands.add_parser("burnout", help="how many recipients of each list are active, sleeping, gone")
    burnout.add_argument("--json", action="store_true", help="print them as JSON")
    add_config(burnout)
    burnout.set_defaults(run=run_burnout)


async def run_signals(arguments: argparse.Namespace) -> int:
    """Print."""
    asked = question(arguments.by, arguments.days, arguments.signal)
    async with desk(arguments.config) as here:
        now = here.clock.now()
        envelopes = await fitted(here.stores.lateness, now)
        found = await SignalDesk(here.settings, here.stores).figures(asked, envelopes, now)
    if arguments.json:
        print(json.dumps({"days": asked.days, "signals": [figure_json(f) for f in found]}, ensure_ascii=False))
    else:
        print(shown(found))
    return 0


async def run_burnout(arguments: argparse.Namespace) -> int:
    """Print the burnout map."""
    async with desk(arguments.config) as here:
        tracked = tracked_streams(here.settings)
        found = await Audience(here.settings, here.stores, here.clock).census()
    if arguments.json:
        print(json.dumps([census_json(one) for one in found], ensure_ascii=False))
    elif not found:
        print("unknown: " + ("no mail of a tracked stream yet" if tracked else "no stream tracks opens or clicks"))
    for one in [] if arguments.json else sorted(found, key=lambda one: -one.asleep):
        counts = ", ".join(f"{state.replace('_', ' ')} {one.counts.get(state, 0):,}" for state in Engagement)
        share = percent(one.asleep / one.base, "en") if one.base else "unknown"
        print(f"{one.stream} / {one.list_source or '(no list source)'}: {share} asleep; {counts}, left {one.left:,}")
    return 0


def shown(found: Sequence[Figure]) -> str:
    """Lines for people."""
    width = max((len(f.scope.key) for f in found), default=0)
    lines, last = [], ""
    for figure in found:
        if figure.signal != last:
            lines.append(figure.signal)
            last = figure.signal
        lines.append(f"  {figure.scope.key:<{width}}  {_text(figure)}")
    return "\n".join(lines) or "no mail in these days: nothing is known"


def _text(figure: Figure) -> str:
    interval = figure.interval
    if figure.rate is None or interval is None:
        return f"unknown ({str(figure.unknown).replace('_', ' ')})"
    late = "" if figure.mature else f"  young: {figure.maturity:.0%} can have come"
    low, high = percent(interval[0], "en"), percent(interval[1], "en")
    return f"{percent(figure.rate, 'en'):>9}  ({low} – {high})  {figure.bad:,} of {figure.total:,}{late}"
