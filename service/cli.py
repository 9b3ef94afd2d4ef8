"""The `penstock` command: a thin main over `service.commands`.

Exit codes: 0 done, 1 the answer is no (nothing accepted, something missing), 2 the input was wrong or something we
depend on does not answer.  Errors are one line: what, and the remedy.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from core.errors import PenstockError
from service.loop import run as run_long

# modules of `service.commands`, in the order of the help
GROUPS = (
    "running", "setup", "dkim", "mail", "templates", "control", "warmup", "feedback", "replies", "rules",
    "reports", "simulate", "backtest", "suppressions", "audience", "signals", "placement",
)  # fmt: skip
# commands that run in a pipe, over many files, on small machines, or are to be up soon: only what they need is loaded
LIGHT = {"parse": "feedback", "classify": "feedback", "run": "running"}


def parser(command: str = "") -> argparse.ArgumentParser:
    """The whole command line, or as much of it as `command` needs."""
    top = argparse.ArgumentParser(
        prog="penstock", description="Sending core with deliverability monitoring and warm-up."
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in (LIGHT[command],) if command in LIGHT else GROUPS:
        import_module(f"service.commands.{name}").add_commands(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = parser(words[0] if words else "").parse_args(words)
    try:
        work = arguments.run(arguments)
        return int(run_long(work) if words[:1] == ["run"] else asyncio.run(work))
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains of it at the end
        return 0
    except OSError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
