"""`penstock signals | burnout`: signals of any scope with interval and maturity, and the state of the base."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from alerts.words import Language, number, percent
from core.audience import Census, Engagement
from monitor.figures import Figure, Unknown
from service.audience import Audience, census_json, tracked_streams
from service.commands.common import Subparsers, add_config, add_language, desk
from service.lateness import fitted
from service.signals import SignalDesk, figure_json, question

_WORDS = {
    "en": {
        "unknown": "unknown ({why})", "young": "young: {share} can have come", "of": "of",
        "nothing": "no mail in these days: nothing is known", "no_list": "(no list source)", "asleep": "{share} asleep",
        "no_share": "unknown share", "new": "new", "active": "active", "sleeping": "sleeping", "at_risk": "at risk",
        "gone": "gone", "left": "left or held", "no_mail_yet": "unknown: no mail of a tracked stream yet",
        "untracked": "unknown: no stream tracks opens or clicks",
        **{str(why): str(why).replace("_", " ") for why in Unknown},
    },
    "ru": {
        "unknown": "неизвестно ({why})", "young": "рано: дошло до {share}", "of": "из",
        "nothing": "писем за эти дни нет: ничего не известно", "no_list": "(без источника)", "asleep": "спит {share}",
        "no_share": "доля неизвестна", "new": "новые", "active": "активные", "sleeping": "спящие",
        "at_risk": "под угрозой", "gone": "ушедшие", "left": "выбыли или удержаны",
        "no_mail_yet": "неизвестно: писем с отслеживанием ещё не было",
        "untracked": "неизвестно: ни один поток не отслеживает открытия и переходы",
        "no_mail": "нет писем", "no_feedback": "нет отчётов о жалобах", "not_tracked": "не отслеживается",
        "no_seeds": "нет контрольных ящиков",
    },
}  # fmt: skip


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
    add_language(command)
    add_config(command)
    command.set_defaults(run=run_signals)
    burnout = commands.add_parser("burnout", help="how many recipients of each list are active, sleeping, gone")
    burnout.add_argument("--json", action="store_true", help="print them as JSON")
    add_language(burnout)
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
        print(shown(found, arguments.lang))
    return 0


async def run_burnout(arguments: argparse.Namespace) -> int:
    """Print the burnout map."""
    async with desk(arguments.config) as here:
        tracked = tracked_streams(here.settings)
        found = await Audience(here.settings, here.stores, here.clock).census()
    if arguments.json:
        print(json.dumps([census_json(one) for one in found], ensure_ascii=False))
    elif not found:
        print(_WORDS[arguments.lang]["no_mail_yet" if tracked else "untracked"])
    for one in [] if arguments.json else sorted(found, key=lambda one: -one.asleep):
        print(_burnt(one, arguments.lang))
    return 0


def _burnt(one: Census, language: Language) -> str:
    words = _WORDS[language]
    counts = [f"{words[str(state)]} {number(one.counts.get(state, 0), language)}" for state in Engagement]
    share = words["asleep"].format(share=percent(one.asleep / one.base, language)) if one.base else words["no_share"]
    told = ", ".join([*counts, f"{words['left']} {number(one.left, language)}"])
    return f"{one.stream} / {one.list_source or words['no_list']}: {share}; {told}"


def shown(found: Sequence[Figure], language: Language = "en") -> str:
    """Lines for people."""
    width = max((len(f.scope.key) for f in found), default=0)
    lines, last = [], ""
    for figure in found:
        if figure.signal != last:
            lines.append(figure.signal)
            last = figure.signal
        lines.append(f"  {figure.scope.key:<{width}}  {_text(figure, language)}")
    return "\n".join(lines) or _WORDS[language]["nothing"]


def _text(figure: Figure, language: Language) -> str:
    words, interval = _WORDS[language], figure.interval
    if figure.rate is None or interval is None:
        return words["unknown"].format(why=words.get(str(figure.unknown), str(figure.unknown)))
    young = words["young"].format(share=percent(round(figure.maturity, 2), language))
    late = "" if figure.mature else f"  {young}"
    low, high = percent(interval[0], language), percent(interval[1], language)
    counts = f"{number(figure.bad, language)} {words['of']} {number(figure.total, language)}"
    return f"{percent(figure.rate, language):>9}  ({low} – {high})  {counts}{late}"
