"""Why a report, or what should be one, was not taken; and the bounds that every report has to keep.

A `Refusal` is a value: it names the file, the defect and what was wrong in words.  `Refused` carries a defect
inside the parser and never leaves the package.  `Meter` spends the bounds: bytes, expansion, CPU time; it is
made anew for each file, and what a restart of the parser reads again is counted again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum


class Defect(StrEnum):
    """What is wrong with a refused file."""

    EMPTY = "empty"  # nothing in it
    NOT_A_REPORT = "not_a_report"  # something else: a text, a page, an auto-reply
    TLS_REPORT = "tls_report"  # JSON of RFC 8460: belongs to another reader
    FAILURE_REPORT = "failure_report"  # RFC 6591 / RFC 9991: one message's failure
    BROKEN_ARCHIVE = "broken_archive"  # damaged before the first readable byte
    ENCRYPTED = "encrypted"
    UNSUPPORTED = "unsupported"  # a kind of packing that reports do not come in
    BROKEN_XML = "broken_xml"  # no report could be recovered from it
    TRUNCATED = "truncated"  # ends before what makes it a report
    ENTITIES = "entities"  # declares entities: never needed, always hostile
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    EXPANSION = "expansion"  # a small file that grows beyond all measure
    TOO_SLOW = "too_slow"
    MISSING = "missing"  # a report without period or domain: its counts belong nowhere
    INVALID = "invalid"  # a report whose period cannot be true


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One file or mail that gave no report.

    `records` and `messages` are what could be read in it and is refused with it."""

    name: str  # of the file; '' for the mail itself
    defect: Defect
    problem: str
    records: int = 0
    messages: int = 0

    def __str__(self) -> str:
        with_it = f" ({self.records} records, {self.messages} messages)" if self.records else ""
        return f"{self.name or 'mail'}: {self.defect}: {self.problem}{with_it}"


class Refused(Exception):
    """Raised inside the parser; becomes a Refusal."""

    def __init__(self, defect: Defect, problem: str) -> None:
        super().__init__(problem)
        self.defect = defect
        self.problem = problem

    def of(self, name: str, records: int = 0, messages: int = 0) -> Refusal:
        return Refusal(name=name[:200], defect=self.defect, problem=self.problem, records=records, messages=messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one file.  A report of 50,000 records is 30–45 MB of XML and packs 20 to 100 times."""

    xml_bytes: int = 256_000_000
    archive_bytes: int = 32_000_000  # of an archive that has to be held whole
    expansion: int = 250  # output for each byte of input, after the first 2 MB; deflate itself reaches 1032
    layers: int = 4
    members: int = 1_000
    depth: int = 32
    records: int = 150_000  # stored of one report; further ones are counted as refused
    reports: int = 1_000  # in one file
    records_before: int = 100_000  # of a file's reports before the last one: a collection holds small ones
    token_bytes: int = 1_000_000  # one tag or one piece of text
    names: int = 5_000  # different element names
    text: int = 2_000  # characters kept of one value
    cpu_seconds: float = 2.0
    record_seconds: float = 20e-6  # on top, for each record that is written like one before: it takes a third of that
    mail_bytes: int = 50_000_000
    parts: int = 100
    multiparts: int = 20  # each open one costs the mail parser a comparison for every line
    header_lines: int = 20_000


class Meter:
    """Spends the bounds of one file; collects notes on what was odd."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.notes: dict[str, None] = {}  # an ordered set
        self.records = 0  # of all reports in the file so far
        self._out = 0
        self._deadline = time.thread_time() + limits.cpu_seconds

    def note(self, text: str) -> None:
        if len(self.notes) < 50:
            self.notes[text] = None

    def next_report(self) -> None:
        """A further report begins."""
        if self.records > self.limits.records_before:
            raise Refused(
                Defect.TOO_MANY, f"{self.records} records came before it in one file: hand in its reports one by one"
            )

    def grant(self, records: int) -> None:
        """So many records were written like ones before: a long report is no attack, on a slow machine neither."""
        self._deadline += records * self.limits.record_seconds

    def tick(self) -> None:
        """Raise when the CPU time is spent.  CPU and not wall time: a busy machine must not refuse reports."""
        if time.thread_time() > self._deadline:
            raise Refused(
                Defect.TOO_SLOW, f"is too laborious: it took more than {self.limits.cpu_seconds:g} s of CPU time"
            )

    def expanded(self, taken: int, given: int) -> None:
        """`taken` bytes of one packed stream have become `given` bytes so far."""
        if given > 2_000_000 and given > taken * self.limits.expansion:
            raise Refused(
                Defect.EXPANSION, f"{taken} packed bytes grow to more than {given}: over {self.limits.expansion} times"
            )
        self.tick()

    def passed(self, size: int) -> None:
        """So many more bytes of XML went by."""
        self._out += size
        if self._out > 2 * self.limits.xml_bytes:
            raise Refused(Defect.TOO_LARGE, f"more than {self.limits.xml_bytes} bytes of XML")
        self.tick()
