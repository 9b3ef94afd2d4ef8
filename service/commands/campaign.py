"""`penstock send --template FILE --recipients CSV`: a campaign from two files, resumable.

Contract: rows go through intake in portions of 1,000, each under an idempotency key made of the two files' content, the
options and the rows' numbers; what is done stands in a state file beside the list (`LIST.penstock-state`).  A run that
was cut off at any point, also between commit and note, goes on where it stood when the same command is given again, and
nobody gets the mail twice.  A list that was sent already is refused, unless `--again` begins anew.  An address that
stands twice in the list gets one mail.  Memory is bounded: rows stream, and of each address eight bytes are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core.address import parse_address
from core.clock import iso
from core.errors import InvalidInput
from core.events import Door
from sender.audience.seen import Seen
from sender.intake import AnswerStatus, Injection, Intake, Overloaded, RecipientIn
from service.commands.common import desk, who
from service.commands.csvfile import CsvFile, open_csv
from service.commands.progress import Progress
from service.commands.template_file import read_template
from service.engaged import door_of

PORTION = 1000  # rows in one call
SHOWN = 10  # reasons in the summary
DOUBLE = "stands twice in the list"


@dataclass(slots=True)
class State:
    """How far a list was sent."""

    digest: str
    run: int = 1
    done: int = 0  # rows
    finished: str = ""  # RFC 3339
    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def note(self, status: str, reason: str) -> None:
        self.counts[status] = self.counts.get(status, 0) + 1
        # texts that name an address differ from row to row: the tenth kind is as good as all
        if reason and (reason in self.reasons or len(self.reasons) < 100):
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


def add_options(send: argparse.ArgumentParser) -> None:
    """The options of a campaign."""
    group = send.add_argument_group("a campaign from files")
    group.add_argument("--template", type=Path, metavar="FILE", help="TOML, JSON or HTML, see `penstock template`")
    group.add_argument("--recipients", type=Path, metavar="CSV", help="one row each; columns become variables")
    group.add_argument("--column", default="email", help="name or number of the column with addresses")
    group.add_argument("--encoding", default="utf-8-sig", help="of the list, e.g. cp1251 (default: utf-8)")
    group.add_argument("--again", action="store_true", help="send a list once more that was sent already")


async def run_campaign(arguments: argparse.Namespace) -> int:
    """Send the list, or the rest of it; exit code 1 when nobody was accepted."""
    if arguments.template is None or arguments.to or arguments.mime:
        raise InvalidInput("--recipients", "goes with --template, and without --to and --mime", "See penstock send -h")
    parts = read_template(arguments.template).parts
    wanted = [parts, arguments.stream, arguments.campaign, arguments.sender, arguments.column, arguments.encoding]
    wanted += [arguments.pool] if arguments.pool else []
    digest = _digest(json.dumps(wanted, sort_keys=True), arguments.recipients)
    note = arguments.recipients.with_name(arguments.recipients.name + ".penstock-state")
    state = _begin(note, digest, again=arguments.again)
    source = open_csv(arguments.recipients, column=arguments.column, encoding=arguments.encoding)
    progress = Progress(source.size)
    try:
        async with desk(arguments.config) as d:
            intake = Intake(
                queue=door_of(d.stores, d.settings, d.clock), suppressions=d.stores.suppressions,
                idempotency=d.stores.idempotency, clock=d.clock, settings=d.settings, frequencies=d.stores.choices,
            )  # fmt: skip
            for start, portion in _portions(source):
                if start < state.done:
                    continue
                recipients = tuple(r for r in portion if isinstance(r, RecipientIn))
                if recipients:
                    await _submit(intake, state, Injection(
                        stream=arguments.stream, campaign=arguments.campaign, pool=arguments.pool,
                        sender=arguments.sender, door=Door.COMMAND, by=who(), recipients=recipients, parts=parts,
                        idempotency_key=f"send:{digest}:{state.run}:{start}-{start + len(portion)}",
                    ))  # fmt: skip
                for reason in portion:
                    if isinstance(reason, str):
                        state.note(AnswerStatus.INVALID, reason)
                state.done = start + len(portion)
                _write(note, state)
                progress.show(min(source.characters, source.size), f"{state.done:,} rows  {_counts(state)}")
            state.finished = iso(d.clock.now())
            _write(note, state)
    finally:
        progress.end()
        source.file.close()
    print(f"{state.done:,} rows: {_counts(state)}")
    for reason, count in Counter(state.reasons).most_common(SHOWN):
        print(f"  {count:>9,}  {reason}")
    return 0 if state.counts.get(AnswerStatus.ACCEPTED) else 1


async def _submit(intake: Intake, state: State, injection: Injection) -> None:
    while True:
        try:
            answers = await intake.submit(injection)
            break
        except Overloaded as error:
            await asyncio.sleep(error.retry_after)
    for answer in answers:
        state.note(answer.status, answer.reason)


def _portions(source: CsvFile) -> Iterator[tuple[int, list[RecipientIn | str]]]:
    """(number of the first row, recipients or why a row is none), the same on every run."""
    seen = Seen()
    names = [name.strip() for name in source.header]
    portion: list[RecipientIn | str] = []
    start = 0
    for _, fields in source.rows():
        portion.append(_recipient(source.column, names, fields, seen))
        if len(portion) == PORTION:
            yield start, portion
            start, portion = start + PORTION, []
    if portion:
        yield start, portion


def _recipient(column: int, names: list[str], fields: list[str], seen: Seen) -> RecipientIn | str:
    address = fields[column].strip() if column < len(fields) else ""
    if not address:
        return "the row has no address"
    try:
        normal = parse_address(address).normal
    except InvalidInput:
        return "the address cannot be read"
    if not seen.add(normal):
        return DOUBLE
    variables = {name: value for name, value in zip(names, fields, strict=False) if name and value}
    return RecipientIn(address=address, variables=variables)


def _digest(wanted: str, file: Path) -> str:
    whole = hashlib.sha256(wanted.encode("utf-8", "replace"))
    with file.open("rb") as content:
        while piece := content.read(1 << 20):
            whole.update(piece)
    return whole.hexdigest()[:24]


def _begin(note: Path, digest: str, *, again: bool) -> State:
    """The state to go on from.  Raises InvalidInput when the list was sent, or another campaign is half done."""
    if not note.exists():
        return State(digest=digest)
    try:
        before = State(**json.loads(note.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InvalidInput(str(note), "cannot be read", "Restore it, or remove it and send the list anew") from error
    if before.digest == digest and not before.finished:
        return before
    if not again:
        what = f"this list was sent at {before.finished}" if before.finished else "other options or files are half sent"
        raise InvalidInput(str(note), what, "Give --again to begin anew")
    return State(digest=digest, run=before.run + 1)


def _write(note: Path, state: State) -> None:
    beside = note.with_name(note.name + ".part")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(asdict(state), file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, note)


def _counts(state: State) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in sorted(state.counts.items())) or "nothing"
