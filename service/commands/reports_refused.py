"""`penstock reports refused [list|show|retry] [NUMBER…]`: originals of what was refused, to look at and to try again.

`show NUMBER` writes the mail or file as it came to standard output, or to a new file that nobody else may read (--out).
`retry` takes up those that are named, or all; what is stored then is kept no longer.  Exit code 1 when one is still
refused, or there is none of that number.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from core.clock import iso
from core.errors import InvalidInput
from core.reports import Original
from service.commands.common import Subparsers, add_config
from service.commands.reports import open_reports
from service.reports import Reports


def add_refused(actions: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = actions.add_parser("refused", help="originals of refused reports: list, show one, try again")
    parser.add_argument("action", nargs="?", choices=["list", "show", "retry"], default="list", help="default: list")
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", help="of the list; retry: all without it")
    parser.add_argument("--out", type=Path, metavar="FILE", help="show: a new file in place of standard output")
    parser.add_argument("--json", action="store_true", help="list: one JSON document")
    add_config(parser)
    parser.set_defaults(run=run_refused)


async def run_refused(arguments: argparse.Namespace) -> int:
    """Do what is asked."""
    async with open_reports(arguments.config) as reports:
        kept = await reports.stores.refused_reports.kept()
        known = {one.number for one in kept}
        for number in arguments.numbers:
            if number not in known:
                raise InvalidInput("NUMBER", f"{number} is not kept", "See: penstock reports refused")
        chosen = [one for one in kept if not arguments.numbers or one.number in arguments.numbers]
        if arguments.action == "show":
            if len(arguments.numbers) != 1:
                raise InvalidInput("NUMBER", "one is shown at a time", "Give one number of: penstock reports refused")
            return await _show(reports, chosen[0], arguments.out)
        if arguments.action == "retry":
            return await _retry(reports, chosen)
    return _list(chosen, as_json=arguments.json)


def _list(kept: Sequence[Original], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps([{**asdict(one), "at": iso(one.at)} for one in kept], ensure_ascii=False, indent=1))
        return 0
    for one in kept:
        what = "mail of" if one.is_mail else f"{one.name or 'file'}, handed in by"
        print(f"{one.number}  {iso(one.at)}  {what} {one.sender or '<>'}, {one.size:,} bytes: {one.problem}")
    if not kept:
        print("Nothing that was refused is kept.")
    return 0


async def _show(reports: Reports, one: Original, out: Path | None) -> int:
    content = await reports.stores.refused_reports.content(one.number) or b""
    if out is None:
        sys.stdout.buffer.write(content)
        return 0
    # a report tells of people's mail, and may be hostile: for its reader alone, and over nothing that is there
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return 0


async def _retry(reports: Reports, chosen: Sequence[Original]) -> int:
    await reports.ours()
    left = 0
    for one in reversed(chosen):  # as they came
        taken = await reports.intake.retry(one)
        if taken is None:
            continue  # it was taken or forgotten meanwhile
        left += bool(taken.refused)
        told = "; ".join(taken.refused[:5])
        print(
            f"{one.number}: {taken.stored:,} reports stored, {taken.repeated:,} known already, "
            f"{taken.unproven:,} kept apart" + (f", still refused: {told}" if told else "")
        )
    return 1 if left else 0
