"""The `penstock` command: a thin main over `service.commands`.

Exit codes: 0 done, 1 the answer is no (nothing accepted, something missing), 2 the input was wrong or something we
depend on does not answer.  Errors are one line: what, and the remedy.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from core.errors import PenstockError
from service.loop import run as run_long

# modules of `service.commands`, in the order of the help, with their commands: only the module that is asked for is
# loaded, which halves the time of a command
GROUPS = {
    "running": ("run", "sandbox"),
    "setup": ("init", "doctor", "config"),
    "dkim": ("dkim",),
    "mail": ("send",),
    "templates": ("template",),
    "status": ("status",),
    "control": ("pause", "resume", "cancel", "suppress", "explain"),
    "warmup": ("warmup",),
    "feedback": ("parse", "classify"),
    "replies": ("replies",),
    "rules": ("rules",),
    "reports": ("reports",),
    "simulate": ("simulate",),
    "backtest": ("backtest",),
    "suppressions": ("suppressions",),
    "audience": ("audience",),
    "signals": ("signals", "burnout"),
    "placement": ("placement",),
}

_CANNOT_LISTEN = {
    errno.EADDRINUSE: "Stop what listens there, or give the configuration another port",
    errno.EADDRNOTAVAIL: "Give the configuration a host that is an address of this machine",
    errno.EACCES: "Ports below 1024 need root or CAP_NET_BIND_SERVICE",
}


def parser(command: str = "") -> argparse.ArgumentParser:
    """The command line of the module that has `command`; the whole one when none has."""
    top = argparse.ArgumentParser(
        prog="penstock", description="Sending core with deliverability monitoring and warm-up."
    )
    top.add_argument("--version", action="version", version=f"penstock {version('penstock')}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in [name for name, offered in GROUPS.items() if command in offered] or GROUPS:
        import_module(f"service.commands.{name}").add_commands(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = parser(words[0] if words else "").parse_args(words)
        # every other command ends at once by SIGINT, as `service.entry` left it: the long ones compute in threads and
        # read from pipes, which asyncio's own handler waits for, and what they write bears being cut off anywhere
        if words[0] in GROUPS["running"] and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        work = arguments.run(arguments)
        return int(run_long(work) if words[:1] == ["run"] else asyncio.run(work))
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains of it at the end
        return 0
    except OSError as error:
        if error.filename:
            named, remedy = f"{error.filename}: {error.strerror}", "Check the path and its rights"
        else:
            named, remedy = error.strerror or str(error), _CANNOT_LISTEN.get(error.errno or 0, "")
        print(f"penstock: {named}{'. ' if remedy else ''}{remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
