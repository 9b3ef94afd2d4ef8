"""`penstock parse` and `penstock classify`: what the service would understand, for files at hand.

Contract: one JSON object a line on standard output, in the order of the input; both use the readers that the service
itself uses, need no configuration and change nothing.  `parse` takes files, directories (every file in them, Maildirs
too), mboxes and '-' for standard input.  Exit 0 when everything could be opened, 2 otherwise; a mail that cannot be
understood is an answer, not an error.  Bounded: a file is read mail by mail, a mail no further than its limit.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from collectors.bounces.diagnostic import stage_of
from collectors.mime import MAX_BYTES
from collectors.parse import parse_mail
from config.replies import shipped_classifier
from core.errors import InvalidInput
from core.reply import Stage, parse_reply

_SEPARATOR = re.compile(rb"From \S+ .{0,20}\d\d:\d\d.{0,20}\d{4}\s*$")  # RFC 4155
_FIELD = re.compile(rb"[!-9;-~]{1,80}[ \t]*:")
_MAX_LINE = 1_000_000


def run_parse(paths: Sequence[str], out: TextIO | None = None) -> int:
    """Print one line for every mail found under `paths`."""
    out = out or sys.stdout
    code = 0
    for name, stream in _streams(paths or ["-"]):
        if stream is None:
            print(f"penstock: {name}: no such file or directory. Give files, directories or -", file=sys.stderr)
            code = 2
            continue
        with stream:
            for content in _mails(stream, single=name.endswith((".eml", ".msg"))):
                print(json.dumps(parse_mail(content).to_json(name), ensure_ascii=False), file=out)
    return code


def run_classify(paths: Sequence[str], out: TextIO | None = None) -> int:
    """Print the class of every reply, one a line of the inputs."""
    out = out or sys.stdout
    code = 0
    for name, stream in _streams(paths or ["-"]):
        if stream is None:
            print(f"penstock: {name}: no such file. Give files or -", file=sys.stderr)
            code = 2
            continue
        with stream:
            number = 0
            while raw := stream.readline(_MAX_LINE):
                number += 1
                line = raw.decode("utf-8", "replace").strip()
                if not line:
                    continue
                try:
                    told = classify_line(line)
                except InvalidInput as error:
                    print(f"penstock: {name}, {error.field} {number}: {error.problem}. {error.remedy}", file=sys.stderr)
                    code = 2
                    continue
                print(json.dumps(told, ensure_ascii=False), file=out)
    return code


def classify_line(line: str) -> dict[str, Any]:
    """The object for one line: an SMTP reply as text, or JSON with `reply` and perhaps `provider` and `stage`."""
    text, provider, stage = line, "", None
    if line.startswith("{"):
        try:
            told = json.loads(line)
            text = str(told["reply"])
            provider = str(told.get("provider") or "")
            stage = Stage(told["stage"]) if told.get("stage") else None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidInput("line", f"{line[:60]!r} is not a reply ({error})", 'Write {"reply": "550 …"}') from error
    reply = parse_reply(text, stage or stage_of(text))
    diagnosis = shipped_classifier().classify(reply, provider)
    return {
        "reply": text, "class": str(diagnosis.bounce_class), "group": str(diagnosis.group),
        "action": str(diagnosis.action_after(reply)), "suppress": diagnosis.suppresses,
    }  # fmt: skip


def _streams(paths: Sequence[str]) -> Iterator[tuple[str, BinaryIO | None]]:
    for text in paths:
        path = Path(text)
        if text == "-":
            yield "-", sys.stdin.buffer
        elif path.is_dir():
            for file in sorted(one for one in path.rglob("*") if one.is_file()):
                yield str(file), file.open("rb")
        elif path.exists():  # a pipe or a device as well
            yield text, path.open("rb")
        else:
            yield text, None


def _mails(stream: BinaryIO, *, single: bool) -> Iterator[bytes]:
    """The mails of an mbox, or the one mail that the stream is.  What is beyond the limit is skipped, but counted by
    the reader: it sees one byte too many."""
    first = stream.readline(_MAX_LINE)
    if single or not _SEPARATOR.match(first):
        yield first + stream.read(MAX_BYTES + 1 - len(first))
        return
    mail, size, blank = [first], len(first), False
    pending = b""
    while line := pending or stream.readline(_MAX_LINE):
        pending = b""
        if blank and _SEPARATOR.match(line):
            following = stream.readline(_MAX_LINE)
            if _FIELD.match(following):
                yield b"".join(mail)
                mail, size = [], 0
            pending = following
        blank = not line.strip()
        if size <= MAX_BYTES:
            mail.append(line)
            size += len(line)
    yield b"".join(mail)
