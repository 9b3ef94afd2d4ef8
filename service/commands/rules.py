"""`penstock rules list | test | end`: the reply rules, what they would do with replies, and the end of a reaction."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TextIO

from config.load import load_providers, load_settings
from config.model import Settings
from config.reactions import load_noted_rules, load_reaction_rules
from config.replies import shipped_classifier
from core.clock import iso
from core.errors import InvalidInput
from core.replyrules import RuleBook
from service.commands.common import DEFAULT_CONFIG, Subparsers, add_config, desk, who
from service.reactions import end_reaction, rule_json, rule_words
from service.rulebench import Heard, read_lines, try_replies

_NOBODY = {
    "sending_domains": [{"name": "example.com", "return_path": "bounces.example.com"}],
    "sources": [{"name": "source", "ehlo": "mail.example.com"}],
}


def add_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    rules = commands.add_parser("rules", help="reply rules: what replies of providers make senders do")
    actions = rules.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every rule, and what is in force now")
    add_config(listing)
    listing.add_argument("--provider", default="", help="only rules that this provider's replies can meet")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.set_defaults(run=run_list)
    test = actions.add_parser("test", help="run a file of replies through the rules: what takes each, what acts")
    add_config(test)
    test.add_argument("file", metavar="FILE", help="lines 'PROVIDER 421 …' or JSON objects; '-' for standard input")
    test.add_argument("--provider", default="", help="of lines that name none")
    test.add_argument("--json", action="store_true", help="one JSON object a line")
    test.set_defaults(run=run_test)
    end = actions.add_parser("end", help="end a reaction that is in force")
    add_config(end)
    end.add_argument("key", metavar="KEY", help="as `penstock rules list` shows it")
    end.set_defaults(run=run_end)


async def run_list(arguments: argparse.Namespace) -> int:
    """Print the rules; with a store also what is in force."""
    settings = _settings(arguments.config)
    notes = dict(load_noted_rules(settings))
    rules = list(notes)
    if arguments.provider:
        wanted = RuleBook(rules, [row.name for row in load_providers()]).of_provider(arguments.provider)
        rules = [rule for rule in rules if rule in wanted]
    for rule in rules:
        print(json.dumps(rule_json(rule, notes[rule]), ensure_ascii=False) if arguments.json
              else f"{rule.name:<30} {rule_words(rule)}")  # fmt: skip
    if not arguments.json and arguments.config.exists():
        async with desk(arguments.config) as here:
            found = await here.stores.lore.in_force()
            now = here.clock.now()
        print(f"\n{len(found)} in force" + (":" if found else ""))
        for one in found:
            state = f"probe, {one.passed} of {one.probe} through" if one.probing(now) else f"until {iso(one.until)}"
            print(f"  {one.key}\n    {one.action} since {iso(one.since)}, {state}: {one.reason}")
    return 0


async def run_test(arguments: argparse.Namespace) -> int:
    """Print what becomes of each reply; 1 when no rule took any."""
    book = RuleBook(load_reaction_rules(_settings(arguments.config)), [row.name for row in load_providers()])
    with _lines(arguments.file) as lines:
        return _try(read_lines(lines, provider=arguments.provider), book, as_json=arguments.json)


def _try(heard: Iterable[Heard], book: RuleBook, *, as_json: bool) -> int:
    taken = acted = refused = 0
    for tried in try_replies(heard, book, shipped_classifier()):
        print(json.dumps(tried.to_json(), ensure_ascii=False) if as_json else tried)
        refused += not tried.heard.reply.is_success
        taken += bool(tried.rules)
        acted += len(tried.began)
    if not as_json:
        print(f"\n{refused} refusals: {taken} taken by a rule; {acted} reactions would have begun")
    return 0 if taken else 1


def _lines(name: str) -> AbstractContextManager[TextIO]:
    if name == "-":
        return nullcontext(sys.stdin)
    path = Path(name)
    if not path.is_file():
        raise InvalidInput("FILE", f"{path} cannot be read", "Name a file of replies, or - for standard input")
    return path.open(encoding="utf-8", errors="replace")


async def run_end(arguments: argparse.Namespace) -> int:
    """End a reaction by the operator's word."""
    async with desk(arguments.config) as here:
        ended = await end_reaction(here.stores.lore, arguments.key, by=who(), now=here.clock.now())
    print(f"ended: {ended.key}")
    return 0


def _settings(path: Path) -> Settings:
    """The config's; without a file of the default name, the shipped rules can be tried all the same."""
    if path == DEFAULT_CONFIG and not path.exists():
        return Settings.model_validate(_NOBODY)
    return load_settings(path)
