"""Reads lists of recipients: CSV with or without a header, row by row in bounded memory.

Contract: `CsvFile` knows after `open_csv` which column holds the addresses, and then gives (line number, fields).  The
separator is taken from the first line (comma, semicolon, tab or bar).  A file whose first row already holds an address
has no header.  Lines are bounded, so that a file without line ends does not fill the memory.
Raises InvalidInput naming line and remedy.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from core.errors import InvalidInput, LimitExceeded

MAX_LINE = 1_000_000  # characters
MAX_FIELDS = 1000
_SEPARATORS = ",;\t|"
_NAMES = ("email", "e-mail", "email address", "address", "mail", "recipient", "почта", "адрес", "эл. почта")


@dataclass(slots=True)
class CsvFile:
    """An open list.  `header` is empty when the file has none; `bytes_read` follows the reading."""

    file: TextIO
    size: int
    delimiter: str = ","
    header: list[str] = field(default_factory=list)
    column: int = 0
    characters: int = 0
    line: int = 0
    _first: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not empty, each with the number of its last line."""
        if self._first:
            yield 1, self._first
        yield from self._parsed()

    def lines(self) -> Iterator[str]:
        """Bounded lines.  Raises LimitExceeded, InvalidInput."""
        while True:
            try:
                line = self.file.readline(MAX_LINE)
            except UnicodeDecodeError as error:
                raise InvalidInput(
                    f"after line {self.line}",
                    f"the file is not {self.file.encoding} text",
                    "Name the encoding: --encoding cp1251",
                ) from error
            if not line:
                return
            self.line += 1
            self.characters += len(line)
            if len(line) >= MAX_LINE:
                raise LimitExceeded(f"line {self.line}", "is too long for a list", f"At most {MAX_LINE} characters")
            yield line

    def _parsed(self) -> Iterator[tuple[int, list[str]]]:
        try:
            for row in csv.reader(self.lines(), delimiter=self.delimiter):
                if len(row) > MAX_FIELDS:
                    raise LimitExceeded(f"line {self.line}", f"has {len(row)} fields", f"At most {MAX_FIELDS}")
                if row:
                    yield self.line, row
        except csv.Error as error:
            raise InvalidInput(f"line {self.line}", f"is no CSV ({error})", "Check the quotation marks") from error

    def begin(self, column: str) -> None:
        """Read the first row and find the column.  Raises InvalidInput."""
        first_line = next(self.lines(), "")
        self.delimiter = max(_SEPARATORS, key=first_line.count)
        first = next(csv.reader([first_line], delimiter=self.delimiter), []) if first_line.strip() else []
        if not first:
            raise InvalidInput(Path(self.file.name).name, "is empty, or begins with an empty line", "Is it the file?")
        wanted = column.strip().lower()
        if wanted.isdigit() and 1 <= int(wanted) <= len(first):
            self.column = int(wanted) - 1
            has_header = "@" not in first[self.column]
        else:
            names = [name.strip().lower() for name in first]
            named = [names.index(n) for n in (wanted, *(_NAMES if wanted == "email" else ())) if n in names]
            holding = [i for i, value in enumerate(first) if "@" in value]
            if named:
                self.column, has_header = named[0], True
            elif len(holding) == 1 and wanted == "email":
                self.column, has_header = holding[0], False
            else:
                raise InvalidInput(
                    "--column", f"no column {column!r} in: {', '.join(first)[:200]}", "Name the column or its number"
                )
        if has_header:
            self.header = first
        else:
            self._first = first


def open_csv(path: Path, *, column: str = "email", encoding: str = "utf-8-sig") -> CsvFile:
    """Open a list; the caller closes `file`.  Raises InvalidInput."""
    try:
        file = path.open(encoding=encoding, newline="")
    except LookupError as error:
        raise InvalidInput("--encoding", f"{encoding!r} is no encoding", "Try utf-8 or cp1251") from error
    try:
        opened = CsvFile(file, path.stat().st_size)
        opened.begin(column)
    except BaseException:
        file.close()
        raise
    return opened
