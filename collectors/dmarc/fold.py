"""Folds the elements of one file into reports: what the strict and the lenient reader have in common.

Contract: `begin`, `chars` and `end` are called for each element in order; `results` then gives every report of the
file.  Each `<record>` (each `<row>`, should a record hold several) reaches a `Draft` exactly once.
The handlers are closures over plain variables: they run some sixty times a record, and attribute access on an
object would halve the speed.  Text goes straight into a list: half of it is the white space between elements.
"""

from __future__ import annotations

from collections.abc import Callable

from collectors.dmarc.defects import Defect, Meter, Refusal, Refused
from collectors.dmarc.draft import Draft, Signature
from collectors.dmarc.schema import META as _META
from collectors.dmarc.schema import RECORD_SLOTS, Action, Node, Slot, tree
from core.state import DmarcReport

Start = Callable[[str, object], None]
End = Callable[[str], None]
Chars = Callable[[str], None]
# plain numbers: comparing with members of an enum costs a method call
META, NONE, RECORD, ROW = int(_META), int(Action.NONE), int(Action.RECORD), int(Action.ROW)
DKIM, SPF, REPORT, MARKUP = int(Action.DKIM), int(Action.SPF), int(Action.REPORT), int(Action.MARKUP)
COUNT = int(Slot.COUNT)


class Misnested(Exception):
    """A report inside a report, or a record inside a record: only the lenient reader tells them apart."""


class Fold:
    """The handlers over one file, and what came out of it."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.drafts: list[Draft] = []
        self.root = ""
        self.ended = 0  # records
        self.begin: Start
        self.end: End
        self.chars: Chars
        self.trim: Callable[[], None]  # to be called now and then: it bounds the text of one element
        self.path: Callable[[], list[Node]]
        self.in_record: Callable[[], list[str] | None]
        self.between: Callable[[], bool]  # directly in the one report, and in none of its parts
        self._handlers()

    def results(self, name: str) -> list[DmarcReport | Refusal]:
        """Every report of the file; a Refusal for each that lacks what makes it one."""
        out: list[DmarcReport | Refusal] = []
        for draft in self.drafts:
            try:
                out.append(draft.finish(name))
            except Refused as error:
                out.append(error.of(name, draft.seen, draft.messages()))
        return out

    def counted(self) -> tuple[int, int]:
        """Records and messages of all reports so far."""
        return sum(draft.seen for draft in self.drafts), sum(draft.messages() for draft in self.drafts)

    def _handlers(self) -> None:
        meter, limits = self.meter, self.meter.limits
        node = tree()
        outside = node
        ignored = Node()
        markup = Node(Action.MARKUP)
        kept: list[str] = []  # what a value holds before mark-up inside it
        stack: list[Node] = []
        text: list[str] = []  # of the innermost element
        row = [""] * RECORD_SLOTS
        signatures: list[Signature] = []
        spf: list[Signature] = []
        rows: list[list[str]] = []
        recording = False
        draft = Draft(meter)  # takes what stands outside any report: never stored

        most, clear, join, push, pop = limits.text, text.clear, "".join, stack.append, stack.pop
        stray = False  # the record stands outside, and of which report it is nobody can say

        def unknown(name: str) -> Node:
            nonlocal stray
            if len(stack) > limits.depth:
                raise Refused(Defect.TOO_DEEP, f"elements are nested more than {limits.depth} deep")
            local = name.rpartition(":")[2].strip().lower()
            child = node.get(local)
            if child is not None:
                if len(node) < 64:
                    node[name] = child  # the prefixed spelling is found at once from now on
                return child
            slot = node.slot
            if slot >= 0:
                kept.append("".join(text))  # mark-up inside a value
                return markup
            if node is outside:
                self.root = self.root or local
                if local == "record" and self.drafts:
                    meter.note("a record stands behind the end of its report")
                    stray = len(self.drafts) > 1
                    return outside["feedback"]["record"]
                return node
            if (slot == REPORT and local == "feedback") or (recording and local == "record" and node is not ignored):
                raise Misnested(f"<{local}> inside <{local}>")
            # a stray wrapper around the parts of a report is looked through; anything inside a part is not
            return node if slot == REPORT else ignored

        def begin(name: str, attributes: object) -> None:
            nonlocal node, recording, draft
            push(node)
            try:
                node = node[name]
            except KeyError:
                node = unknown(name)
            clear()
            slot = node.slot
            if slot >= NONE:
                return
            if slot == RECORD:
                recording = True
            elif slot == REPORT and stack[-1] is outside:
                if len(self.drafts) >= limits.reports:
                    raise Refused(Defect.TOO_MANY, f"more than {limits.reports} reports in one file")
                meter.next_report()
                draft = Draft(meter)
                self.drafts.append(draft)

        def trim() -> None:
            if len(text) > 1 and sum(map(len, text)) > most:
                text[:] = ["".join(text)[:most]]

        def end(name: str) -> None:
            nonlocal node
            slot = node.slot
            node = pop()
            if slot >= 0:
                value = text[0] if len(text) == 1 else join(text)
                if len(value) > most:
                    value = value[:most]
                if slot < META:
                    if row[slot]:
                        again(slot, value)
                    else:
                        row[slot] = value
                elif value and draft.meta.setdefault(slot, value) != value:
                    meter.note(f"several values for {Slot(slot).name.lower()}: the first one counts")
            elif slot != NONE:
                action(slot)

        def again(slot: int, value: str) -> None:
            """A value that its record holds already."""
            if value == row[slot] or not value:
                return
            if slot <= COUNT:
                # nobody can say which one is meant: such a record is refused, with both in the reason
                row[slot] = f"{row[slot]} and {value}"[:most]
            else:
                meter.note(f"several values for {Slot(slot).name.lower()} in one record: the first one counts")

        def action(slot: int) -> None:
            nonlocal recording, stray
            if slot == DKIM:
                signatures.append((row[7], row[8], row[9]))
                row[7] = row[8] = row[9] = ""
            elif slot == SPF:
                spf.append((row[7], "", row[9]))
                row[7] = row[8] = row[9] = ""
            elif slot == MARKUP:
                text[:] = [f"{kept.pop()} <{join(text)}>"[:most]]  # no number and no name any more, and told as it is
            elif slot == ROW:
                if any(row[:5]):  # one that says nothing is a torn tag beside a whole one
                    rows.append(row[:5])
                row[:5] = ("", "", "", "", "")
            elif slot == RECORD:
                recording = False
                self.ended += 1
                for values in rows or [row[:5]]:
                    if stray:
                        draft.refuse(values, "stands behind the end of a report, and of which one nobody can say")
                    else:
                        draft.add(values + row[5:], signatures, spf)
                stray = False
                row[:] = [""] * RECORD_SLOTS
                signatures.clear()
                spf.clear()
                rows.clear()

        self.begin, self.end, self.chars, self.trim = begin, end, text.append, trim
        self.between = lambda: len(stack) == 1 and node.slot == REPORT and not recording
        self.path = lambda: [*stack, node]
        self.in_record = lambda: (rows[0] if rows else list(row)) if recording else None

    def stop(self) -> None:
        """The file ended: a record that is still open is refused."""
        row = self.in_record()
        if row is not None and self.drafts:
            self.drafts[-1].refuse(row, "the file ends inside this record")
