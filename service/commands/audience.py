"""`penstock audience check FILE`: which rows of a list can be mailed, and why the others cannot.

Contract: streams; a list of a million rows needs less than 100 MB.  The clean list keeps the rows as they were, with
the address in its normal spelling (`--out`); the others go to `--rejected` with the reason.  Both are written
whole or not at all.  Addresses that DNS gave no answer for stay in the clean list.  Exit code 1 when nothing can be
mailed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config.audience import load_audience_lists
from config.load import load_settings
from config.model import Dns
from core.clock import SystemClock
from core.errors import InvalidInput
from sender.audience.checker import AudienceChecker
from sender.audience.domains import Domains
from sender.audience.verdict import CLEAN, WORDS, Reason, Tally, Verdict
from service.commands.common import DEFAULT_CONFIG, add_language
from service.commands.csvfile import CsvFile, open_csv
from service.commands.progress import Progress
from service.resolver import DnsResolver

BATCH = 5000  # rows
KEEPABLE = (Reason.ROLE, Reason.DISPOSABLE, Reason.TYPO)
SHOWN_TYPOS = 10
_TEXTS = {
    "en": {
        "head": "{file}: {total} rows, {clean} can be mailed ({share})", "example": "e.g.", "kept": " (kept)",
        "smtputf8": "{count} of them have letters outside ASCII before the @: many hosts refuse those",
        "no_dns": "DNS was not asked: domains that do not exist count as valid",
        "gave_up": "DNS answered nothing: domains were not checked. Is a name server within reach?",
        "typos": "Misspelt:", "wrote": "wrote {file}: {count} rows",
    },
    "ru": {
        "head": "{file}: строк {total}, можно писать {clean} ({share})", "example": "например", "kept": " (оставлены)",
        "smtputf8": "У {count} из них буквы не из ASCII перед @: многие серверы такие адреса не принимают",
        "no_dns": "DNS не спрашивали: несуществующие домены считаются верными",
        "gave_up": "DNS ничего не ответил: домены не проверены. Доступен ли сервер имён?",
        "typos": "Опечатки:", "wrote": "записан {file}: строк {count}",
    },
}  # fmt: skip


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    top = commands.add_parser("audience", help="clean a list of recipients before it costs reputation")
    what = top.add_subparsers(title="what", metavar="WHAT", required=True)
    check = what.add_parser("check", help="say what share of a CSV list can be mailed, and why the rest cannot")
    check.add_argument("file", type=Path, metavar="FILE", help="the list: CSV with a header")
    check.add_argument("--column", default="email", help="name or number of the column with addresses")
    check.add_argument("--encoding", default="utf-8-sig", help="of the file, e.g. cp1251 (default: utf-8)")
    check.add_argument("--out", type=Path, metavar="CSV", help="write the clean rows there")
    check.add_argument("--rejected", type=Path, metavar="CSV", help="write the other rows there, with the reason")
    check.add_argument(
        "--keep", action="append", default=[], choices=[str(r) for r in KEEPABLE],
        help="leave these in the clean list; may be given again",
    )  # fmt: skip
    check.add_argument("--no-dns", action="store_true", help="do not ask whether domains take mail")
    check.add_argument("--concurrency", type=int, default=100, metavar="N", help="open DNS questions (default: 100)")
    check.add_argument("--json", action="store_true", help="print the sums as JSON")
    add_language(check)
    check.add_argument("--config", type=Path, metavar="FILE", help="takes the name servers from this configuration")
    check.set_defaults(run=run_check)


async def run_check(arguments: argparse.Namespace) -> int:
    """Check the list."""
    if not 1 <= arguments.concurrency <= 1000:
        raise InvalidInput("--concurrency", f"{arguments.concurrency} is too few or too many", "Give 1 to 1000")
    lists = load_audience_lists()
    domains = None
    if not arguments.no_dns:
        resolver = DnsResolver(_dns(arguments.config), SystemClock())
        domains = Domains(resolver, disposable=lists.disposable, concurrency=arguments.concurrency)
    checker = AudienceChecker(lists, domains)
    tally = Tally()
    source = open_csv(arguments.file, column=arguments.column, encoding=arguments.encoding)
    with source.file, _writer(arguments.out) as out, _writer(arguments.rejected) as rejected:
        await check_file(source, checker, tally, out, rejected, frozenset(Reason(word) for word in arguments.keep))
    keep = CLEAN | {Reason(word) for word in arguments.keep}
    gave_up = domains is not None and domains.gave_up
    if arguments.json:
        print(json.dumps(tally_json(arguments.file, tally, keep, gave_up), ensure_ascii=False, indent=1))
    else:
        print(report(arguments, tally, keep, gave_up))
    return 0 if any(tally.counts[reason] for reason in keep) else 1


class Rows:
    """Writes rows, and counts them; no file, no writing."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer
        self.count = 0

    def head(self, row: list[str]) -> None:
        """The header."""
        if self._writer is not None:
            self._writer.writerow(row)

    def write(self, row: list[str]) -> None:
        """One row."""
        self.count += 1
        if self._writer is not None:
            self._writer.writerow(row)


async def check_file(
    source: CsvFile, checker: AudienceChecker, tally: Tally, out: Rows, rejected: Rows, keep: frozenset[Reason]
) -> None:
    """Row by row from the list into the two others."""
    if source.header:
        out.head(source.header)
        rejected.head([*source.header, "reason", "suggestion"])
    progress = Progress(source.size)
    batch: list[list[str]] = []
    try:
        for _, row in source.rows():
            batch.append(row)
            if len(batch) >= BATCH:
                await _check(batch, source.column, checker, tally, out, rejected, keep)
                batch = []
                progress.show(_position(source), f"{tally.total:,}")
        await _check(batch, source.column, checker, tally, out, rejected, keep)
    finally:
        progress.end()


async def _check(
    batch: list[list[str]], column: int, checker: AudienceChecker, tally: Tally, out: Rows, rejected: Rows,
    keep: frozenset[Reason],
) -> None:  # fmt: skip
    texts = [row[column] if column < len(row) else "" for row in batch]
    for row, text, verdict in zip(batch, texts, await checker.check(texts), strict=True):
        tally.add(text, verdict)
        if verdict.reason in CLEAN or verdict.reason in keep:
            out.write([*row[:column], str(verdict.address), *row[column + 1 :]])
        else:
            rejected.write([*row, str(verdict.reason), _suggestion(verdict)])


def _suggestion(verdict: Verdict) -> str:
    return f"{verdict.address.local}@{verdict.meant}" if verdict.address is not None and verdict.meant else ""


def _position(source: CsvFile) -> int:
    """Bytes read: near enough for a bar, and `tell` of a text file would be slow."""
    return source.file.buffer.tell()


@contextmanager
def _writer(path: Path | None) -> Iterator[Rows]:
    if path is None:
        yield Rows()
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield Rows(csv.writer(file))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def report(arguments: argparse.Namespace, tally: Tally, keep: frozenset[Reason], gave_up: bool) -> str:
    """The sums for people, the largest first."""
    words, index = _TEXTS[arguments.lang], int(arguments.lang == "ru")
    clean = sum(tally.counts[reason] for reason in keep)
    share = f"{clean / tally.total:.1%}" if tally.total else "–"
    lines = [words["head"].format(file=arguments.file, total=f"{tally.total:,}", clean=f"{clean:,}", share=share)]
    for reason, count in tally.counts.most_common():
        examples = ", ".join(tally.examples.get(reason, ())[:2])
        kept = words["kept"] if reason in keep and reason not in CLEAN else ""
        shown = f"   {words['example']} {examples}" if examples else ""
        lines.append(f"  {count:>11,}  {tally.share(reason):6.1%}  {WORDS[reason][index]}{kept}{shown}")
    if tally.meant:
        pairs = [f"{wrong} → {meant} ({n})" for (wrong, meant), n in tally.meant.most_common(SHOWN_TYPOS)]
        lines.append(f"{words['typos']} {', '.join(pairs)}")
    if tally.smtputf8:
        lines.append(words["smtputf8"].format(count=tally.smtputf8))
    if arguments.no_dns:
        lines.append(words["no_dns"])
    if gave_up:
        lines.append(words["gave_up"])
    written = ((arguments.out, clean), (arguments.rejected, tally.total - clean))
    lines += [words["wrote"].format(file=path, count=f"{count:,}") for path, count in written if path is not None]
    return "\n".join(lines)


def tally_json(file: Path, tally: Tally, keep: frozenset[Reason], gave_up: bool) -> dict[str, object]:
    """The sums for programs."""
    clean = sum(tally.counts[reason] for reason in keep)
    return {
        "file": str(file), "rows": tally.total, "clean": clean,
        "reasons": {
            str(reason): {"count": count, "share": tally.share(reason), "kept": reason in keep,
                          "examples": tally.examples.get(reason, [])}
            for reason, count in tally.counts.most_common()
        },
        "misspelt": [{"domain": w, "meant": m, "count": n} for (w, m), n in tally.meant.most_common(100)],
        "need_smtputf8": tally.smtputf8, "dns_gave_up": gave_up,
    }  # fmt: skip


def _dns(config: Path | None) -> Dns:
    if config is None and not DEFAULT_CONFIG.exists():
        return Dns()
    return load_settings(config or DEFAULT_CONFIG).dns
