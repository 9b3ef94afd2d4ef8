"""`penstock parse | classify`: what the service would understand of returned mail and of SMTP replies."""

from __future__ import annotations

import argparse

from service.commands_parse import run_classify, run_parse


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    parse = commands.add_parser("parse", help="read returned mail: one JSON object a line")
    parse.add_argument("paths", nargs="*", metavar="FILE", help="files, folders, mboxes or '-' (default)")
    parse.set_defaults(run=run_parsing)
    classify = commands.add_parser("classify", help="read SMTP replies, one a line: class, group and action of each")
    classify.add_argument("paths", nargs="*", metavar="FILE", help="files or '-' (default)")
    classify.set_defaults(run=run_classifying)


async def run_parsing(arguments: argparse.Namespace) -> int:
    """Print what was understood."""
    return run_parse(arguments.paths)


async def run_classifying(arguments: argparse.Namespace) -> int:
    """Print the classes."""
    return run_classify(arguments.paths)
