"""The command line as a stranger meets it: every option is explained, in one manner over all commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from service.cli import parser


def commands(of: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command and command of a command."""
    yield of
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name in action.choices:
                yield from commands(action.choices[name])


def test_every_option_and_argument_says_what_it_is() -> None:
    silent = [
        f"{command.prog} {'/'.join(action.option_strings) or action.dest}"
        for command in commands(parser())
        for action in command._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert not silent


def test_options_that_many_commands_have_mean_the_same_everywhere() -> None:
    found: dict[str, set[object]] = {}
    for command in commands(parser()):
        for action in command._actions:
            for option in ("--json", "--lang"):
                if option in action.option_strings:
                    shape = (action.nargs, tuple(action.choices or ()), str(action.default))
                    found.setdefault(option, set()).add(shape)
    assert {option: len(shapes) for option, shapes in found.items()} == {"--json": 1, "--lang": 1}
