"""`penstock replies unknown`: refusals that no rule knows, grouped by what they say."""

from __future__ import annotations

import argparse
import json

from core.clock import iso
from core.lane import DAY
from service.commands.common import Subparsers, add_config, desk
from service.reactions import cluster_json


def add_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    replies = commands.add_parser("replies", help="what providers say and no rule knows")
    actions = replies.add_subparsers(title="actions", metavar="ACTION", required=True)
    unknown = actions.add_parser("unknown", help="texts that no rule knows, most frequent first, with a sample each")
    add_config(unknown)
    unknown.add_argument("--days", type=float, default=7, help="seen within so many days (default: 7)")
    unknown.add_argument("--limit", type=int, default=50, help="most clusters (default: 50)")
    unknown.add_argument("--json", action="store_true", help="one JSON object a line")
    unknown.set_defaults(run=run_unknown)


async def run_unknown(arguments: argparse.Namespace) -> int:
    """Print the clusters; 1 when there are none."""
    async with desk(arguments.config) as here:
        since = here.clock.now() - arguments.days * DAY
        found = await here.stores.feedback.clusters(since, max(1, arguments.limit))
    for one in found:
        if arguments.json:
            print(json.dumps(cluster_json(one), ensure_ascii=False))
        else:
            print(f"{one.count:>7} {one.provider:<12} {one.shape}")
            print(f"{'':>7} {'':<12} first {iso(one.first_at)}, last {iso(one.last_at)}; e.g. {one.sample}")
    return 0 if found else 1
