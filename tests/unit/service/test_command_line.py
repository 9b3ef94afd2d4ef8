"""The command line as a stranger meets it: every option is explained, in one manner over all commands."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
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


# a job that a script puts behind `&` ignores SIGINT, and so would what it starts: these commands are a terminal's
HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
CTRL_C_WHILE_LOADING = f"""{HEARS_CTRL_C}
import os, sys
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "service.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
from service.entry import main
main()
"""


def test_ctrl_c_while_the_command_still_loads_ends_it_without_a_traceback() -> None:
    ended = subprocess.run([sys.executable, "-c", CTRL_C_WHILE_LOADING], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_ctrl_c_ends_a_command_that_waits_for_its_input() -> None:
    code = f"{HEARS_CTRL_C}import sys; sys.argv = ['penstock', 'classify']; from service.entry import main; main()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as ours:
        assert ours.stdin is not None
        assert ours.stdout is not None
        assert ours.stderr is not None
        ours.stdin.write("550 5.1.1 no such user\n")
        ours.stdin.flush()
        assert ours.stdout.readline(), "it reads"
        ours.send_signal(signal.SIGINT)
        assert ours.wait(60) == -signal.SIGINT
        assert not ours.stderr.read()
