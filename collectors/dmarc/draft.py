"""A report in the making: from texts of elements to checked values, refusing what cannot be read.

Contract: for each `<record>` (each `<row>`, should a record hold several) there is one stored record or one reason in
`refused`; nothing is dropped in silence.  A record is refused when its source address, count or verdict cannot be
read; what is merely absent stays ''.  A report without a period, or without any domain, is refused as a whole,
because its counts would belong nowhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from collectors.dmarc.defects import Defect, Meter, Refused
from collectors.dmarc.schema import Slot
from collectors.dmarc.values import (
    DISPOSITIONS,
    MAX_PERIOD,
    POLICIES,
    RESULTS,
    domain_ok,
    plain,
    read_address,
    read_count,
    read_domain,
    read_file_name,
    read_instant,
    read_ip,
    read_word,
    shown,
)
from core.dmarc_records import DmarcRecords
from core.state import DmarcReport

Signature = tuple[str, str, str]  # domain, selector, result

_REFUSED_SHOWN = 10_000  # reasons with a number and a value of their own; the rest share one text


class _Memo(dict[str, str]):
    """Remembers the normal form of a value: a report repeats few values many times."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[str], str]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> str:
        value = self._read(text)
        if len(self) < 5_000:
            self[text] = value
        return value


class Draft:
    """One report in the making."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.meta: dict[int, str] = {}
        self.records = DmarcRecords()
        self.kind = -1  # of the record added last
        self.refused: list[str] = []
        self.refused_messages = 0
        self.seen = 0
        self.domains = _Memo(read_domain)
        self.dispositions = _Memo(lambda text: read_word(text, DISPOSITIONS, "disposition"))
        self.verdicts = _Memo(lambda text: read_word(text, RESULTS, "the evaluated dkim or spf"))
        self.results = _Memo(lambda text: plain(text.strip().lower(), 40))
        self.selectors = _Memo(lambda text: plain(text.strip(), 255))
        self.counts: dict[str, int] = {}

    def add(self, row: list[str], signatures: list[Signature], spf: list[Signature]) -> None:
        """One row with what its record says besides."""
        self.seen += 1
        self.meter.records += 1
        if self.seen > self.meter.limits.records:
            self._refuse(row, f"beyond the limit of {self.meter.limits.records} records", shared=True)
            if self.seen >= 2 * self.meter.limits.records:
                raise Refused(Defect.TOO_MANY, f"holds {self.seen} records and more")
            return
        try:
            count = self.counts.get(row[1])
            if count is None:
                count = read_count(row[1])
                if len(self.counts) < 20_000:
                    self.counts[row[1]] = count
            domains = self.domains
            header_from = domains[row[5]]
            signature = signatures[0] if len(signatures) == 1 else _telling(signatures, header_from, domains)
            sender = spf[0] if len(spf) == 1 else _telling(spf, header_from, domains)
            kind = self.records.kind(
                self.dispositions[row[2]], self.verdicts[row[3]], self.verdicts[row[4]], header_from, domains[row[6]],
                domains[signature[0]], self.selectors[signature[1]], self.results[signature[2]], domains[sender[0]],
                self.results[sender[2]],
            )  # fmt: skip
            self.records.add(read_ip(row[0]), count, kind)
            self.kind = kind
        except ValueError as error:
            self._refuse(row, str(error))

    def add_like(self, address: str, count: str, kind: int) -> bool:
        """One row that says what is of this kind.  False, and nothing done: `add` must judge."""
        number = self.counts.get(count)
        if number is None or self.seen >= self.meter.limits.records:
            return False
        try:
            source_ip = read_ip(address)
        except ValueError:
            return False
        self.seen += 1
        self.meter.records += 1
        self.records.add(source_ip, number, kind)
        return True

    def messages(self) -> int:
        """What all its rows count, with those that are refused."""
        return self.records.messages + self.refused_messages

    def refuse(self, row: list[str], reason: str) -> None:
        """One row that cannot be taken."""
        self.seen += 1
        self._refuse(row, reason)

    def _refuse(self, row: list[str], reason: str, *, shared: bool = False) -> None:
        try:
            self.refused_messages += read_count(row[1])
        except ValueError:
            self.meter.note("some refused records have no legible count")
        numbered = not shared and len(self.refused) < _REFUSED_SHOWN
        self.refused.append(f"record {self.seen}: {reason}" if numbered else "further record: " + reason[:60])
        if not numbered and len(self.refused) > 1 and self.refused[-2] == self.refused[-1]:
            self.refused[-1] = self.refused[-2]  # one text in memory for all of them

    def finish(self, name: str) -> DmarcReport:
        """The report, with what is missing taken from the file's name where that says it."""
        note = self.meter.note
        receiver, file_domain, file_begin, file_end = read_file_name(name)
        email = read_address(self.meta.get(Slot.EMAIL, ""))
        reporter = plain(self.meta.get(Slot.ORG_NAME, ""))
        if not reporter:
            reporter = email.rpartition("@")[2] or plain(receiver) or "unknown"
            note(f"the reporter gives no org_name: called {reporter!r}")
        if not email:
            note("the reporter gives no e-mail address")
        begin, end = self._period(file_begin, file_end)
        policy = self.meta.get(Slot.POLICY, "").strip().lower()
        if policy not in POLICIES:
            note(f"the published policy is {shown(policy)}" if policy else "the published policy is not said")
            policy = ""
        if self.meta.get(Slot.ERROR, "").strip():
            note("the reporter says: " + plain(self.meta[Slot.ERROR], 200))
        if not self.seen:
            note("the report has no records")
        return DmarcReport(
            reporter=reporter,
            email=email,
            domain=self._domain(file_domain),
            report_id=self._report_id(reporter, begin, end),
            begin=begin,
            end=end,
            policy=policy,
            records=self.records,
            refused=tuple(self.refused),
            refused_messages=self.refused_messages,
            notes=tuple(self.meter.notes),
        )

    def _period(self, file_begin: str, file_end: str) -> tuple[float, float]:
        texts = self.meta.get(Slot.BEGIN, ""), self.meta.get(Slot.END, "")
        if not texts[0].strip() and not texts[1].strip():
            if not file_begin or not file_end:
                raise Refused(Defect.MISSING, "date_range is missing: nobody can say when its mail was seen")
            self.meter.note("date_range is missing: taken from the file's name")
            texts = file_begin, file_end
        try:
            begin, end = read_instant(texts[0], "date_range/begin"), read_instant(texts[1], "date_range/end")
        except ValueError as error:
            raise Refused(Defect.INVALID, str(error)) from error
        if end < begin:
            raise Refused(Defect.INVALID, f"date_range ends {begin - end:.0f} s before it begins")
        if end - begin > MAX_PERIOD:
            raise Refused(Defect.INVALID, f"date_range spans {(end - begin) / 86400:.0f} days; more than a year")
        return begin, end

    def _domain(self, file_domain: str) -> str:
        domain = read_domain(self.meta.get(Slot.DOMAIN, ""))
        if domain:
            return domain
        senders = {r.header_from for r in self.records if r.header_from}
        for origin, found in (("file's name", read_domain(file_domain)), ("records", next(iter(senders), ""))):
            if found and domain_ok(found) and (origin != "records" or len(senders) == 1):
                self.meter.note(f"policy_published/domain is missing: taken from the {origin}")
                return found
        raise Refused(Defect.MISSING, "policy_published/domain is missing: nobody can say whose mail it counts")

    def _report_id(self, reporter: str, begin: float, end: float) -> str:
        given = plain(self.meta.get(Slot.REPORT_ID, ""))
        if given:
            return given
        # the content takes the place of the id: the same file twice is still one report
        self.meter.note("report_id is missing: made from the content")
        digest = hashlib.sha256(f"{reporter}|{begin}|{end}".encode())
        for ip, count, kind in self.records.rows():
            digest.update(f"{ip}|{count}|{kind[3]}|{kind[6]};".encode())
        return "content:" + digest.hexdigest()[:24]


def _telling(found: list[Signature], header_from: str, domains: _Memo) -> Signature:
    """Of several results the one that decided: aligned and passing, then passing, then the first."""
    if not found:
        return ("", "", "")

    def rank(item: Signature) -> tuple[bool, bool]:
        domain = domains[item[0]]
        aligned = bool(domain) and (
            domain == header_from or header_from.endswith("." + domain) or domain.endswith("." + header_from)
        )
        passing = item[2].strip().lower() == "pass"
        return aligned and passing, passing

    return max(found, key=rank)  # max keeps the first of equals
