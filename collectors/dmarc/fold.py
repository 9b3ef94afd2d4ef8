"""Folds the elements of one file into reports: what the strict and the lenient reader have in common.

Contract: `begin`, `chars` and `end` are called for each element in order; `results` then gives every report of the
file.  Each `<record>` (each `<row>`, should a record hold several) reaches a `Draft` exactly once.
The handlers are closures over plain variables: they run some sixty times a record, and attribute access on an
object would halve the speed.
"""

from __future__ import annotations

from collections.abc import Callable

from collectors.dmarc.defects import Defect, Meter, Refusal, Refused
from collectors.dmarc.draft import Draft, Signature
from collectors.dmarc.schema import META as _META
from collectors.dmarc.schema import RECORD_SLOTS, Action, Node, tree
from core.state import DmarcReport

Start = Callable[[str, object], None]
End = Callable[[str], None]
Chars = Callable[[str], None]
# plain numbers: comparing with members of an enum costs a method call
META, NONE, RECORD, ROW = int(_META), int(Action.NONE), int(Action.RECORD), int(Action.ROW)
DKIM, SPF, REPORT = int(Action.DKIM), int(Action.SPF), int(Action.REPORT)


class Fold:
    """The handlers over one file, and what came out of it."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.drafts: list[Draft] = []
        self.root = ""
        self.begin: Start
        self.end: End
        self.chars: Chars
        self.path: Callable[[], list[Node]]
        self.in_record: Callable[[], list[str] | None]
        self._handlers()

    def results(self, name: str) -> list[DmarcReport | Refusal]:
        """Every report of the file; a Refusal for each that lacks what makes it one."""
        out: list[DmarcReport | Refusal] = []
        for draft in self.drafts:
            try:
                out.append(draft.finish(name))
            except Refused as error:
                messages = sum(record.count for record in draft.records) + draft.refused_messages
                out.append(error.of(name, draft.seen, messages))
        return out

    def _handlers(self) -> None:
        meter, limits = self.meter, self.meter.limits
        node = tree()
        outside = node
        ignored = Node()
        stack: list[Node] = []
        text = ""
        row = [""] * RECORD_SLOTS
        signatures: list[Signature] = []
        spf: list[Signature] = []
        rows: list[list[str]] = []
        recording = False
        draft = Draft(meter)  # takes what stands outside any report: never stored

        def unknown(name: str) -> Node:
            if len(stack) > limits.depth:
                raise Refused(Defect.TOO_DEEP, f"elements are nested more than {limits.depth} deep")
            local = name.rpartition(":")[2].strip().lower()
            child = node.get(local)
            if child is not None:
                if len(node) < 64:
                    node[name] = child  # the prefixed spelling is found at once from now on
                return child
            if node is outside:
                self.root = self.root or local
                return node
            # a stray wrapper around the parts of a report is looked through; anything inside a part is not
            return node if node.slot == REPORT else ignored

        def begin(name: str, attributes: object) -> None:
            nonlocal node, text, recording, draft
            stack.append(node)
            try:
                node = node[name]
            except KeyError:
                node = unknown(name)
            text = ""
            slot = node.slot
            if slot >= NONE:
                return
            if slot == RECORD:
                recording = True
            elif slot == REPORT and stack[-1] is outside:
                if len(self.drafts) >= limits.reports:
                    raise Refused(Defect.TOO_MANY, f"more than {limits.reports} reports in one file")
                draft = Draft(meter)
                self.drafts.append(draft)

        def chars(data: str) -> None:
            nonlocal text
            if len(text) < limits.text:
                text += data

        def end(name: str) -> None:
            nonlocal node, recording
            slot = node.slot
            node = stack.pop()
            if slot >= 0:
                if slot < META:
                    row[slot] = text
                elif text and slot not in draft.meta:
                    draft.meta[slot] = text[: limits.text]
            elif slot != NONE:
                action(slot)

        def action(slot: int) -> None:
            nonlocal recording
            if slot == DKIM:
                signatures.append((row[7], row[8], row[9]))
                row[7] = row[8] = row[9] = ""
            elif slot == SPF:
                spf.append((row[7], "", row[9]))
                row[7] = row[8] = row[9] = ""
            elif slot == ROW:
                rows.append(row[:5])
                row[:5] = ("", "", "", "", "")
            elif slot == RECORD:
                recording = False
                for values in rows or [row[:5]]:
                    draft.add(values + row[5:], signatures, spf)
                row[:] = [""] * RECORD_SLOTS
                signatures.clear()
                spf.clear()
                rows.clear()

        self.begin, self.end, self.chars = begin, end, chars
        self.path = lambda: [*stack, node]
        self.in_record = lambda: (rows[0] if rows else list(row)) if recording else None

    def stop(self) -> None:
        """The file ended: a record that is still open is refused."""
        row = self.in_record()
        if row is not None and self.drafts:
            self.drafts[-1].cut_off(row)
