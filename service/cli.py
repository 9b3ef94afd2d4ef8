"""The `penstock` command: a thin main over `service.commands`.

Exit codes: 0 done, 1 the answer is no (nothing accepted, something missing), 2 the input was wrong or something we
depend on does not answer.  Errors are one line: what, and the remedy.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from core.errors import PenstockError
from service.commands import control, dkim, feedback, mail, running, setup, simulate, templates, warmup


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="penstock", description="Sending core with deliverability monitoring and warm-up."
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (running, setup, dkim, mail, templates, control, warmup, feedback, simulate):
        group.add_commands(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command."""
    arguments = parser().parse_args(argv)
    try:
        return int(asyncio.run(arguments.run(arguments)))
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
