"""Finds reports in what people and programs hand over: mails, mail folders, files.

Contract: `tls_attachments(content)` gives the parts of a mail that may be TLS reports; `report_files(path)` walks a
file, folder, Maildir or mbox and yields (name, content) one at a time, so that ten thousand reports need no more memory
than one.  A file beyond the limit is yielded empty: its refusal says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.errors import MessageError
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from pathlib import Path
from typing import BinaryIO

MAX_FILE = 50_000_000
MAX_PARTS = 100
_SEPARATOR = re.compile(rb"From \S+ .{0,20}\d\d:\d\d.{0,20}\d{4}\s*$")  # RFC 4155
_TLS_KINDS = frozenset({"application/tlsrpt+gzip", "application/tlsrpt+json", "application/json"})


def tls_attachments(content: bytes) -> Iterator[tuple[bytes, str]]:
    """(content, file name) of every part that may be a TLS report."""
    try:
        message: Message = BytesParser(policy=compat32).parsebytes(content)
    except (MessageError, RecursionError, ValueError, LookupError):
        return
    for number, part in enumerate(message.walk()):
        if number > MAX_PARTS:
            return
        if part.is_multipart():
            continue
        try:
            name = str(part.get_filename("") or "")[:400]
            if part.get_content_type() not in _TLS_KINDS and not name.endswith((".json", ".json.gz")):
                continue
            data = part.get_payload(decode=True)
        except (LookupError, ValueError, TypeError, AssertionError):
            continue
        if isinstance(data, bytes) and data:
            yield data, name


def count_files(path: Path) -> int:
    """How many files `report_files` would open: for a progress bar."""
    return sum(1 for _ in _files(path))


def report_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every mail or file under `path`, an mbox mail by mail."""
    for file in _files(path):
        if file.stat().st_size > MAX_FILE:
            with file.open("rb") as stream:
                if not _SEPARATOR.match(stream.readline(2000)):
                    yield str(file), b""
                    continue
        with file.open("rb") as stream:
            first = stream.readline(2000)
            stream.seek(0)
            if _SEPARATOR.match(first) and file.suffix != ".eml":
                for number, mail in enumerate(_mbox(stream), 1):
                    yield f"{file}:{number}", mail
            else:
                yield str(file), stream.read()


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for found in sorted(path.iterdir()):
            if found.name.startswith(".") or found.is_symlink():
                continue
            yield from _files(found)
    elif path.is_file():
        yield path


def _mbox(stream: BinaryIO) -> Iterator[bytes]:
    mail: list[bytes] = []
    size, blank = 0, True
    while line := stream.readline(1_000_000):
        if blank and _SEPARATOR.match(line):
            if mail:
                yield b"".join(mail)
            mail, size = [], 0
        elif size <= MAX_FILE:
            # mboxrd: one '>' was put before lines that look like separators
            mail.append(line[1:] if re.match(rb">+From ", line) else line)
            size += len(line)
        blank = not line.strip()
    if mail:
        yield b"".join(mail)
