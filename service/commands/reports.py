"""`penstock reports …`: the group of commands, and `import`: from files, folders, Maildirs, mboxes.

Works beside a running service and without one.  Exit code 1 when nothing could be read as a report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

from collectors.reports.attached import count_files, report_files
from collectors.reports.intake import Taken
from core.errors import InvalidInput
from service.commands.common import Subparsers, add_config, desk, who
from service.commands.progress import Progress
from service.lateresolver import late_resolver
from service.reports import Reports, build_reports

REFUSALS_SHOWN = 20


def add_commands(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    group = commands.add_parser("reports", help="DMARC, TLS and failure reports of receivers")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    take = actions.add_parser("import", help="store reports from files, folders, Maildirs and mboxes")
    take.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files, folders, Maildirs or mboxes")
    add_config(take)
    take.set_defaults(run=run_import)
    import_module("service.commands.reports_refused").add_refused(actions)
    import_module("service.commands.report_tables").add_views(actions)


@asynccontextmanager
async def open_reports(config: Path) -> AsyncIterator[Reports]:
    """The reports of the store that the settings name."""
    async with desk(config) as d:
        yield build_reports(d.settings, resolver=late_resolver(d.settings.dns, d.clock), stores=d.stores, clock=d.clock)


async def run_import(arguments: argparse.Namespace) -> int:
    """Take everything under the paths."""
    for path in arguments.paths:
        if not path.exists():
            raise InvalidInput("PATH", f"{path} does not exist", "Give files, folders, Maildirs or mboxes")
    total = Taken()
    progress = Progress(sum(count_files(path) for path in arguments.paths))
    async with open_reports(arguments.config) as reports:
        await reports.ours()
        done, last = 0, ""
        for path in arguments.paths:
            async for name, taken in reports.intake.upload_all(report_files(path), who()):
                total.add(taken)
                for problem in taken.refused[: max(0, REFUSALS_SHOWN - len(total.refused) + len(taken.refused))]:
                    print(f"{name}: {problem}", file=sys.stderr)
                file = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name
                done, last = done + (file != last), file
                progress.show(done, f"{done:,} files, {total.stored:,} new reports, {total.messages:,} messages")
    progress.end()
    print(
        f"{total.stored:,} reports stored ({total.records:,} records, {total.messages:,} messages), "
        f"{total.repeated:,} known already, {len(total.refused):,} refused"
    )
    return 0 if total.stored or total.repeated else 1
