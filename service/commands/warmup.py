"""`penstock warmup …`: what a plan will do, where each lane stands, and a person's word over it.

The commands work on the store that the config names; a running service obeys within a second.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from alerts.words import Language, number
from config.load import load_plans, load_providers, load_settings
from config.tables import Plan
from core.errors import InvalidInput
from core.lane import HOUR
from core.state import StepState
from service.commands.common import Desk, add_config, add_json, add_language, desk, who
from service.instants import instant
from service.step_words import reason_words
from service.warming import Warming
from service.warming_view import standing_json, standing_table, standings
from warmup.admission import watched
from warmup.history import MAX_BYTES
from warmup.preview import chart, preview, table
from warmup.ramp import OTHER

_TAKEN = {
    "en": ("warm", "begins at {cap} a day", "unchanged, this history was imported before",
           "unchanged, it stands as high already"),
    "ru": ("прогрета", "начинает с {cap} в день", "без изменений, эта история уже загружена",
           "без изменений, она уже не ниже"),
}  # fmt: skip


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    group = commands.add_parser("warmup", help="warm-up: plans, lanes, holds, import")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser("preview", help="day by day, per provider, with the day on which all of it goes")
    show.add_argument("--plan", default="", help="a configured plan (default: the first), a shipped one, or a file")
    show.add_argument("--daily", type=int, required=True, help="messages a day that are wished for")
    show.add_argument(
        "--mix",
        required=True,
        metavar="NAME=SHARE,…",
        help="the audience by provider, e.g. gmail=50,mailru=30,yahoo=20",
    )
    show.add_argument("--base", type=int, default=0, help="addresses of the whole base: what share of it gets mail")
    show.add_argument("--chart", action="store_true", help="bars for each provider above the table")
    add_language(show)
    add_config(show)
    show.set_defaults(run=run_preview)

    status = actions.add_parser("status", help="every lane: day, step, cap, what is left, who holds it")
    add_json(status)
    add_language(status)
    add_config(status)
    status.set_defaults(run=run_status)

    hold = _word(actions, "hold", "keep caps from rising; mail goes on")
    hold.add_argument("--hours", type=float, default=0.0, help="end by itself after so many hours")
    hold.add_argument("--until", default="", help="end at this instant (RFC 3339; default: until resumed)")
    hold.set_defaults(run=run_hold)
    _word(actions, "resume", "lift holds").set_defaults(run=run_resume)
    back = _word(actions, "step-back", "lower caps at once")
    back.add_argument("--to", type=int, default=0, metavar="N", help="messages a day (default: half of the cap)")
    back.set_defaults(run=run_step_back)
    start = _word(actions, "start", "begin lanes before their first mail, or anew")
    start.add_argument("--at", type=int, default=0, metavar="N", help="begin at the step at or below N a day")
    start.add_argument("--again", action="store_true", help="begin anew what was started already")
    start.set_defaults(run=run_start)

    take = actions.add_parser(
        "import", help="lanes warmed elsewhere: CSV day,source,domain,provider,sent[,complaints,bounces]"
    )
    take.add_argument("file", help="CSV day,source,domain,provider,sent[,complaints,bounces]; '-' for stdin")
    add_language(take)
    add_config(take)
    take.set_defaults(run=run_import)


def _word(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text)
    parser.add_argument("scope", help="lanes, e.g. source=a,provider=gmail; or all")
    parser.add_argument("--reason", default="", metavar="TEXT", help="for the log and whoever looks at it later")
    add_language(parser)
    add_config(parser)
    return parser


async def run_preview(arguments: argparse.Namespace) -> int:
    """Print the table."""
    settings = load_settings(arguments.config)
    plans = {plan.name: plan for plan in load_plans(settings)}
    plan = plans.get(arguments.plan) if arguments.plan else next(iter(plans.values()))
    if plan is None:  # one that is not in use (yet): a shipped one, or a file
        wanted = settings.warmup.model_copy(update={"plans": [Path(arguments.plan)]})
        (plan,) = load_plans(settings.model_copy(update={"warmup": wanted}))
    lanes = lanes_at_once(plan, len(settings.sources), len(settings.sending_domains))
    try:
        shown = preview(plan, _mix(arguments.mix), arguments.daily, lanes=lanes)
    except ValueError as error:
        raise InvalidInput("--mix, --daily", str(error), "Write e.g. --daily 50000 --mix gmail=60,mailru=40") from error
    if arguments.base < 0:
        raise InvalidInput("--base", "is below 0", "Give the number of addresses, or leave it out")
    if arguments.chart:
        print(chart(shown, arguments.lang), end="\n\n")
    print(table(shown, arguments.lang, arguments.base))
    return 0


def lanes_at_once(plan: Plan, sources: int, domains: int) -> int:
    """How many lanes' caps a provider sees in a day, with the budgets that lanes share."""
    most = [sources * domains]
    if plan.budgets.source and domains > 1:
        most.append(max(1, int(sources * plan.budgets.source)))
    if plan.budgets.sending_domain and sources > 1:
        most.append(max(1, int(domains * plan.budgets.sending_domain)))
    return min(most)


def _mix(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            shares[name.strip()] = float(value)
        except ValueError as error:
            raise ValueError(f"{part.strip()!r} is no NAME=SHARE") from error
    known = {row.name for row in load_providers()} | {OTHER}
    for name in shares:
        if name not in known and not name.startswith("other:"):
            raise ValueError(f"{name!r} is no provider (known: {', '.join(sorted(known))})")
    return shares


async def run_status(arguments: argparse.Namespace) -> int:
    """Print the lanes."""
    async with desk(arguments.config) as d:
        await _show(d, await d.stores.allowances.steps(), as_json=arguments.json, language=arguments.lang)
    return 0


async def run_hold(arguments: argparse.Namespace) -> int:
    """Hold lanes."""
    async with desk(arguments.config) as d:
        until = instant(arguments.until or None, "--until") or 0.0
        if arguments.hours:
            until = float(round(d.clock.now() + arguments.hours * HOUR))
        held = await _warming(d).hold(arguments.scope, by=who(), reason=arguments.reason, until=until)
        await _show(d, held, language=arguments.lang)
    return 0


async def run_resume(arguments: argparse.Namespace) -> int:
    """Lift holds."""
    async with desk(arguments.config) as d:
        freed = await _warming(d).resume(arguments.scope, by=who(), reason=arguments.reason)
        await _show(d, freed, language=arguments.lang)
    return 0


async def run_step_back(arguments: argparse.Namespace) -> int:
    """Lower caps."""
    if arguments.to < 0:
        raise InvalidInput("--to", "is below 0", "Give messages a day, or leave it out for half of the cap")
    async with desk(arguments.config) as d:
        changed = await _warming(d).step_back(arguments.scope, by=who(), reason=arguments.reason, to=arguments.to)
        await _show(d, changed, language=arguments.lang)
    return 0


async def run_start(arguments: argparse.Namespace) -> int:
    """Begin lanes."""
    if arguments.at < 0:
        raise InvalidInput("--at", "is below 0", "Give messages a day, or leave it out for the first step")
    async with desk(arguments.config) as d:
        begun = await _warming(d).start(
            arguments.scope, by=who(), reason=arguments.reason, at=arguments.at, again=arguments.again
        )
        await _show(d, begun, language=arguments.lang)
    return 0


async def run_import(arguments: argparse.Namespace) -> int:
    """Take lanes over that were warmed elsewhere."""
    content = _content(arguments.file)
    async with desk(arguments.config) as d:
        done = await _warming(d).take_over(content, by=who())
        warm, begins, known, above = _TAKEN[arguments.lang]
        for state in done.taken:
            level = warm if state.finished else begins.format(cap=number(state.cap, arguments.lang))
            print(f"{state.lane.key}: {level} ({reason_words(state.reason, arguments.lang)})")
        for lane in done.known:
            print(f"{lane.key}: {known}")
        for lane in done.above:
            print(f"{lane.key}: {above}")
    return 0


def _content(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        problem = f"{name!r} cannot be read ({error.strerror})"
        raise InvalidInput("FILE", problem, "Name a CSV file, or '-' for stdin") from error


def _warming(d: Desk) -> Warming:
    return Warming(
        settings=d.settings, plans=load_plans(d.settings), providers=load_providers(),
        allowances=d.stores.allowances, clock=d.clock,
    )  # fmt: skip


async def _show(d: Desk, states: list[StepState], *, as_json: bool = False, language: Language = "en") -> None:
    now, used = d.clock.now(), {}
    for period, keys in watched((), states, now).items():
        for key, units in (await d.stores.allowances.used(keys, period)).items():
            used[key, period] = units
    rows = standings(states, used, load_plans(d.settings), now)
    if as_json:
        print(json.dumps({"lanes": [standing_json(row) for row in rows]}, ensure_ascii=False, indent=2))
    else:
        print(standing_table(rows, language))
