"""`penstock suppressions import FILE | export FILE`: the whole list as CSV.

Contract: streams in bounded memory.  `export` writes the columns address, stream, reason, at, evidence, expires_at, all
or nothing; `import` reads these by name, of which only the address is required, in any order, or a bare list of
addresses.  An entry that is known stays as it is (unless the new one lasts longer), so an import that was interrupted
is simply run again.  Rows that cannot be read are counted, told with their line and left out; exit code 1 then.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from core.address import parse_address
from core.clock import iso
from core.errors import InvalidInput
from core.events import SuppressionReason
from core.state import Suppression
from service.commands.common import add_config, desk
from service.commands.csvfile import CsvFile, open_csv
from service.commands.progress import Progress
from service.operator import known_scopes

BATCH = 2000  # entries in one transaction
SHOWN = 10  # faulty rows that are told one by one
COLUMNS = ("address", "stream", "reason", "at", "evidence", "expires_at")
MAX_EVIDENCE = 1000  # characters


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands."""
    top = commands.add_parser("suppressions", help="the suppression list as CSV")
    what = top.add_subparsers(title="what", metavar="WHAT", required=True)
    bring = what.add_parser("import", help="add the rows of a CSV file; may be run again")
    bring.add_argument("file", type=Path, metavar="FILE", help="CSV with a header")
    bring.add_argument("--column", default="email", help="name or number of the column with addresses")
    bring.add_argument("--encoding", default="utf-8-sig", help="of the file, e.g. cp1251 (default: utf-8)")
    bring.add_argument(
        "--reason", default="manual", choices=[str(r) for r in SuppressionReason], help="of rows that name none"
    )
    bring.add_argument("--stream", default="", help="of rows that name none (default: every stream)")
    bring.add_argument("--note", default="", help="evidence of rows that name none")
    add_config(bring)
    bring.set_defaults(run=run_import)
    take = what.add_parser("export", help="write the whole list to a CSV file")
    take.add_argument("file", type=Path, metavar="FILE", help="where to")
    add_config(take)
    take.set_defaults(run=run_export)


async def run_import(arguments: argparse.Namespace) -> int:
    """Add what is new."""
    source = open_csv(arguments.file, column=arguments.column, encoding=arguments.encoding)
    progress = Progress(source.size)
    rows = new = 0
    faults: list[str] = []
    count = 0
    try:
        async with desk(arguments.config) as d:
            # rows may name streams of another time; what is asked for here must exist
            known_scopes(d.settings)(arguments.stream)
            defaults = {
                "reason": arguments.reason, "stream": arguments.stream,
                "evidence": arguments.note or f"imported from {arguments.file.name}",
            }  # fmt: skip
            for batch, wrong in _batches(source, defaults, d.clock.now()):
                rows += len(batch) + len(wrong)
                new += await d.stores.suppressions.add(batch)
                count += len(wrong)
                faults += wrong[: SHOWN - len(faults)]
                progress.show(min(source.characters, source.size), f"{rows:,} rows, {new:,} new")
    finally:
        progress.end()
        source.file.close()
    print(f"{rows:,} rows: {new:,} new, {rows - new - count:,} known already, {count:,} left out")
    for fault in faults:
        print(f"  {fault}")
    if count > len(faults):
        print(f"  … and {count - len(faults):,} more")
    return 1 if count else 0


def _batches(source: CsvFile, defaults: Mapping[str, str], now: float) -> Iterator[tuple[list[Suppression], list[str]]]:
    """Entries, and what is wrong with the other rows, in portions."""
    places = {name.strip().lower(): index for index, name in enumerate(source.header)}
    places = {name: places[name] for name in COLUMNS if name in places and name != "address"}
    entries: list[Suppression] = []
    faults: list[str] = []
    for line, fields in source.rows():
        try:
            entries.append(_entry(source, fields, places, defaults, now))
        except InvalidInput as error:
            faults.append(f"line {line}: {error}")
        if len(entries) + len(faults) >= BATCH:
            yield entries, faults
            entries, faults = [], []
    yield entries, faults


def _entry(
    source: CsvFile, fields: list[str], places: Mapping[str, int], defaults: Mapping[str, str], now: float
) -> Suppression:
    said = {name: fields[place].strip() for name, place in places.items() if place < len(fields)}
    value = {**defaults, **{name: text for name, text in said.items() if text}}
    if source.column >= len(fields):
        raise InvalidInput("address", "the row is too short", "Check the separators")
    stream = value["stream"]
    if len(stream) > 200 or not stream.isprintable():
        raise InvalidInput("stream", "is no name of a stream", "Leave it empty for every stream")
    try:
        reason = SuppressionReason(value["reason"].lower())
    except ValueError as error:
        known = ", ".join(SuppressionReason)
        raise InvalidInput("reason", f"{value['reason'][:40]!r} is unknown", f"Use one of: {known}") from error
    evidence = "".join(c if c.isprintable() else " " for c in value["evidence"])[:MAX_EVIDENCE]
    expires_at = _instant("expires_at", value.get("expires_at", "")) or 0.0
    if expires_at and expires_at <= now:
        raise InvalidInput("expires_at", "lies in the past", "The entry has ended already")
    return Suppression(
        address=parse_address(fields[source.column]).normal, stream=stream, reason=reason,
        at=_instant("at", value.get("at", "")) or now, evidence=evidence.encode("utf-8", "replace").decode(),
        expires_at=expires_at,
    )  # fmt: skip


def _instant(name: str, text: str) -> float:
    if not text:
        return 0.0
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError
        return at.timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidInput(name, f"{text[:40]!r} is no instant", "Write 2026-11-25T08:00:00Z") from error


async def run_export(arguments: argparse.Namespace) -> int:
    """Write everything."""
    path: Path = arguments.file
    beside = path.with_name(path.name + ".part")
    written = 0
    async with desk(arguments.config) as d:
        progress = Progress(await d.stores.suppressions.count())
        try:
            with beside.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                after = ""
                while page := await d.stores.suppressions.page(after, BATCH):
                    writer.writerows(_row(entry) for entry in page)
                    after = page[-1].address
                    written += len(page)
                    progress.show(written, f"{written:,} rows")
            os.replace(beside, path)
        finally:
            progress.end()
            beside.unlink(missing_ok=True)
    print(f"{written:,} rows written to {path}")
    return 0


def _row(entry: Suppression) -> list[str]:
    ends = iso(entry.expires_at) if entry.expires_at else ""
    return [entry.address, entry.stream, str(entry.reason), iso(entry.at), entry.evidence, ends]
