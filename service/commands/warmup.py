"""`penstock warmup preview`: what a plan will do with one's own volume, day by day."""

from __future__ import annotations

import argparse

from config.load import load_plans, load_settings
from core.errors import InvalidInput
from service.commands.common import add_config
from warmup.preview import preview, table


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    group = commands.add_parser("warmup", help="look at warm-up plans")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("preview", help="day by day, per provider, with the day on which all of it goes")
    show.add_argument("--plan", default="", help="name of a configured plan (default: the first)")
    show.add_argument("--daily", type=int, required=True, help="messages a day that are wished for")
    show.add_argument(
        "--mix",
        required=True,
        metavar="NAME=SHARE,…",
        help="the audience by provider, e.g. gmail=50,mailru=30,yahoo=20",
    )
    show.add_argument("--lang", choices=["en", "ru"], default="en")
    add_config(show)
    show.set_defaults(run=run_preview)


async def run_preview(arguments: argparse.Namespace) -> int:
    """Print the table."""
    settings = load_settings(arguments.config)
    plans = {plan.name: plan for plan in load_plans(settings)}
    plan = plans.get(arguments.plan) if arguments.plan else next(iter(plans.values()))
    if plan is None:
        raise InvalidInput("--plan", f"{arguments.plan!r} is not configured", f"Use one of: {', '.join(plans)}")
    lanes = len(settings.sources) * len(settings.sending_domains)
    try:
        shown = preview(plan, _mix(arguments.mix), arguments.daily, lanes=lanes)
    except ValueError as error:
        raise InvalidInput("--mix, --daily", str(error), "Write e.g. --daily 50000 --mix gmail=60,mailru=40") from error
    print(table(shown, arguments.lang))
    return 0


def _mix(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        shares[name.strip()] = float(value)
    return shares
