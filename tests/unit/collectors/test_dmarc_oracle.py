"""Agreement with parsedmarc on what both of them read, and why they differ where they do.

parsedmarc is the oracle here and nothing of the service: it stops at the first odd thing of a file, drops bad records
and takes impossible counts (docs/reports.md), so most of the differences are files that only one of the two reads.
A file that agrees although the table says otherwise fails as well: the table cannot rot.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import parsedmarc
import pytest

from collectors.dmarc import parse_aggregate, parse_report_mail
from core.state import DmarcRecord, DmarcReport
from tests.unit.collectors.test_dmarc import OWN, SHARED, report_of
from tests.unit.collectors.test_dmarc import RECORD as RECORD_XML

MENDED = "broken XML: we recover every record, parsedmarc those before or around the break"
STRICTER = "we refuse what cannot be true and say so; parsedmarc takes it"
ADDRESS = "we write an IPv4 address in IPv6 clothing as the IPv4 address, and shorten IPv6; parsedmarc leaves both"
NAME = "we bring domains to one form (lower case, no final dot, A-labels); parsedmarc leaves them as written"
SEVERAL = "it reads the first file of an archive alone"
EXPLAINED = {
    "92_hf_upper_dot.xml": NAME,
    "93_hf_idn.xml": NAME,
    "029-mapped-and-long-addresses.xml": ADDRESS,
    "74_ip_v4mapped.xml": ADDRESS,
    "009-unclosed-in-one-record.xml": MENDED,
    "010-record-never-closed.xml": MENDED,
    "011-bad-records-among-good.xml": STRICTER,  # negative and impossible counts
    "021-ends-before-it-begins.xml": STRICTER,
    "033-count-and-address-twice.xml": STRICTER,  # it takes the last one
    "034-report-inside-a-report.xml": MENDED,
    "035-record-inside-a-record.xml": MENDED,
    "036-record-behind-the-end.xml": MENDED,
    "038-zip-of-a-hundred.zip": SEVERAL,
    "045-mails-in-a-zip.zip": SEVERAL,
    "027-deep.xml": STRICTER,  # nested deeper than any report
    "45_neg_date.xml": STRICTER,
    "50_huge_span.xml": STRICTER,
    "80_count_neg.xml": STRICTER,
    "81_count_huge.xml": STRICTER,
    "B3_deep_nesting.xml": STRICTER,
    "054-addresses-of-every-form.xml": ADDRESS,
    "055-counts-of-every-form.xml": STRICTER,
    "056-domains-in-letters-of-all-kinds.xml": NAME,
    "060-zip-with-hostile-names.zip": SEVERAL,
    "077-count-of-thirty-digits.xml": STRICTER,
    "078-counts-of-other-scripts.xml": STRICTER,
    "081-mapped-addresses-in-two-forms.xml": ADDRESS,
    "082-addresses-octal-zoned-and-networks.xml": STRICTER,  # it takes an octal one and one with a zone
    "083-idn-domain.xml": NAME,
    "093-end-tags-too-many.xml": MENDED,
}


class Row(NamedTuple):
    """What both say about one record; of several signatures only whether there are any."""

    ip: str
    messages: int
    disposition: str
    dkim: str
    spf: str
    header_from: str
    selectors: bool


def ours(record: DmarcRecord) -> Row:
    return Row(
        record.source_ip, record.count, record.disposition, record.dkim, record.spf, record.header_from,
        bool(record.dkim_selector),
    )  # fmt: skip


def theirs(record: dict[str, Any]) -> Row:
    told = record["policy_evaluated"]
    selectors = [one["selector"] for one in record["auth_results"]["dkim"] if one["selector"] not in (None, "none")]
    return Row(
        record["source"]["ip_address"], record["count"], told["disposition"], told["dkim"], told["spf"],
        record["identifiers"]["header_from"], bool(selectors),
    )  # fmt: skip


def oracle(content: bytes) -> dict[str, Any] | None:
    """parsedmarc's aggregate report; None where it reads none."""
    logging.getLogger("parsedmarc").setLevel(logging.CRITICAL)
    try:
        answer = parsedmarc.parse_report_file(content, offline=True)
    except parsedmarc.ParserError:
        return None
    return dict(answer["report"]) if answer["report_type"] == "aggregate" else None


def files(*roots: Path) -> Iterator[Path]:
    for root in roots:
        yield from sorted(p for p in root.rglob("*") if p.is_file() and p.suffix not in (".json", ".md"))


def _first(value: str | list[str]) -> str:
    """parsedmarc gives the list where an element comes twice."""
    return value if isinstance(value, str) else value[0]


def differences(content: bytes, name: str) -> str | None:
    """'' when both say the same, None where parsedmarc reads no report at all."""
    told = oracle(content)
    if told is None:
        return None
    results = parse_report_mail(content) if name.endswith(".eml") else parse_aggregate(content, name)
    reports = [r for r in results if isinstance(r, DmarcReport)]
    if len(reports) != 1:
        return f"{len(reports)} reports"
    report, meta = reports[0], told["report_metadata"]
    if (report.domain, report.report_id) != (_first(told["policy_published"]["domain"]).lower(), meta["report_id"]):
        return f"head: {report.domain} {report.report_id}"
    pairs = [ours(record) for record in report.records], [theirs(record) for record in told["records"]]
    return "" if pairs[0] == pairs[1] else f"{set(pairs[0]) ^ set(pairs[1])}"


def compare(paths: list[Path]) -> int:
    """How many files both read alike; fails on an unexplained difference and on an explanation that is not needed."""
    alike = 0
    found = {}
    for path in paths:
        difference = differences(path.read_bytes(), path.name)
        if difference:
            found[path.name] = difference
        alike += difference == ""
    expected = {path.name for path in paths} & EXPLAINED.keys()
    assert found.keys() == expected, {name: found.get(name, "alike") for name in found.keys() ^ expected}
    return alike


def test_both_say_the_same_about_our_own_samples() -> None:
    assert compare(list(files(OWN))) >= 5


def test_both_say_the_same_about_the_shared_samples() -> None:
    roots = [SHARED / name for name in ("aggregate", "cry-inc", "adversarial")]
    if not SHARED.is_dir():
        print(f"NOT TESTED: {SHARED.name} corpus is not beside the repository")
        return
    assert compare(list(files(*roots))) >= 25


@pytest.mark.parametrize("count", [1, 2, 300])
def test_both_say_the_same_about_reports_of_any_length(count: int) -> None:
    records = [RECORD_XML.format(ip=f"192.0.2.{n % 250 + 1}", count=n + 1) for n in range(count)]
    assert differences(report_of(*records), "made.xml") == ""
