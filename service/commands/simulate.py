"""`penstock simulate`: what a plan and rules would do to mail at providers whose habits are known (docs/simulation.md).

Prints a table of days, pauses with the truth about each, and the sums; `--json` gives everything as one object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from config.load import DATA, load_plans, load_rules
from config.plans import shipped_plan_names
from config.problems import named
from config.tables import Plan, Rule
from core.errors import InvalidInput
from sandbox.simulated import load_models, shipped_models
from service.commands.common import Subparsers
from service.simulate import SETTINGS, Request, simulate
from service.simulate_fast import simulate_fast
from service.simulated_truth import Result

MOST_MAIL = 5_000_000
MOST_FAST = 50_000_000_000
MOST_DAYS = 3660


def add_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the command."""
    command = commands.add_parser("simulate", help="run a warm-up plan and rules against models of providers")
    command.add_argument("--plan", default="conservative", metavar="NAME|FILE", help="shipped plan or a file")
    command.add_argument("--rules", type=Path, metavar="FILE", help="rules (default: the shipped ones)")
    command.add_argument(
        "--providers", nargs="+", default=["gmail-like", "outlook-like", "yahoo-like", "mailru-like"],
        metavar="MODEL", help=f"model files or shipped models: {', '.join(shipped_models())}",
    )  # fmt: skip
    command.add_argument("--days", type=int, default=45, metavar="N", help="days to play (default 45)")
    command.add_argument("--daily", type=int, default=2000, help="messages a day that are wished for (default 2000)")
    command.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of chance: the same seed, the same play (default 1)"
    )
    command.add_argument("--fast", action="store_true", help="by the handful: any volume within seconds")
    command.add_argument("--steady", action="store_true", help="new mail comes in each day, however much still waits")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    command.set_defaults(run=run_simulate)


async def run_simulate(arguments: argparse.Namespace) -> int:
    """Run and print."""
    most = MOST_FAST if arguments.fast else MOST_MAIL
    for key, given, limit in (("--days", arguments.days, MOST_DAYS), ("--daily", arguments.daily, MOST_FAST)):
        if not 1 <= given <= limit:
            raise InvalidInput(key, f"{given} is not 1 to {limit:,}", "Raise it" if given < 1 else "Lower it")
    if arguments.days * arguments.daily > most:
        remedy = "Lower one" if arguments.fast else "Lower one, or use --fast"
        raise InvalidInput("--days, --daily", f"more than {most:,} messages together", remedy)
    if arguments.fast and arguments.steady:
        raise InvalidInput("--steady", "is not drawn by the handful", "Leave out --fast")
    request = Request(
        plan=read_plan(arguments.plan), rules=read_rules(arguments.rules), models=load_models(arguments.providers),
        days=arguments.days, daily=arguments.daily, seed=arguments.seed, steady=arguments.steady,
    )  # fmt: skip
    result = await asyncio.to_thread(simulate_fast if arguments.fast else simulate, request)
    print(json.dumps(result.to_json(), ensure_ascii=False) if arguments.json else shown(result))
    return 0


def read_plan(name: str) -> Plan:
    """A shipped plan by name, or a file.  Raises InvalidInput."""
    shipped = DATA / "plans" / f"{name}.toml"
    path = shipped if "/" not in name and shipped.is_file() else Path(name)
    if not path.is_file():
        raise InvalidInput("--plan", f"{name!r} cannot be read", named(name, shipped_plan_names()))
    settings = SETTINGS.model_copy(update={"warmup": SETTINGS.warmup.model_copy(update={"plans": [path]})})
    return load_plans(settings)[0]


def read_rules(path: Path | None) -> list[Rule]:
    """Rules of a file, or the shipped ones.  Raises ConfigError."""
    return load_rules(SETTINGS.model_copy(update={"monitor": SETTINGS.monitor.model_copy(update={"rules": path})}))


def shown(result: Result) -> str:
    """Text for people."""
    lines = [
        f"{'day':>4} {'provider':<12}{'cap':>8}{'sent':>8}{'defer':>8}{'block':>8}{'bounce':>8}{'inbox':>8}{'compl':>7}"
    ]
    lines += [
        f"{row.day:>4} {row.provider:<12}{row.cap:>8,}{row.sent:>8,}{row.deferred:>8,}{row.blocked:>8,}"
        f"{row.bounced:>8,}{row.inboxed:>8,}{row.complaints:>7,}"
        for row in result.days
    ]
    lines += [
        "",
        *(
            f"day {pause.day}: {pause.state} {pause.scope} by {pause.rule}, "
            + (f"justified ({pause.true_rate:.2%}), after {pause.delay_hours} h and {pause.delay_mail:,} messages"
               if pause.justified else f"FALSE (true rate {pause.true_rate:.2%}, limit {pause.threshold:.2%})")
            for pause in result.pauses
        ),
        *(f"missed: {text}" for text in result.missed),
        *(f"{p}: whole volume from day {d} on" if d > 0 else f"{p}: never reached" for p, d in
          result.days_to_target.items()),
        *(f"reply rule {rule} acted {n} times" for rule, n in result.reply_rules.items()),
        ", ".join(f"{name} {n:,}" for name, n in result.to_json()["total"].items()),
    ]  # fmt: skip
    return "\n".join(lines)
