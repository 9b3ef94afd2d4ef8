"""DMARC aggregate reports: what is recovered, what is refused, and that no count is ever lost.

The project's own samples lie in tests/corpus/dmarc: a case is a file and NNN-name.json beside it, which names the file,
the figures of each report in it and the defects of what is refused.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from base64 import encodebytes
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dmarc import Defect, Limits, Refusal, parse_aggregate, parse_report_mail
from collectors.dmarc.mail import parse_report_file
from core.state import DmarcReport

HERE = Path(__file__).resolve()
OWN = HERE.parents[2] / "corpus/dmarc"
SHARED = HERE.parents[3].parent / "shared/corpus/dmarc"
CASES = sorted(OWN.glob("*.json"))

RECORD = """<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated>
<disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>news.example</header_from></identifiers>
<auth_results><dkim><domain>news.example</domain><selector>s1</selector><result>pass</result></dkim>
</auth_results></record>
"""
HEAD = """<feedback><report_metadata><org_name>Mailhaus</org_name>
<email>d@mailhaus.example</email><report_id>r1</report_id>
<date_range><begin>1793000000</begin><end>1793086399</end></date_range></report_metadata>
<policy_published><domain>news.example</domain><p>none</p></policy_published>
"""


def report_of(*records: str) -> bytes:
    return (HEAD + "".join(records) + "</feedback>").encode()


def only(results: list[DmarcReport | Refusal]) -> DmarcReport:
    assert len(results) == 1
    assert isinstance(results[0], DmarcReport), results[0]
    return results[0]


@pytest.mark.parametrize("case", CASES, ids=[c.stem for c in CASES])
def test_own_corpus(case: Path) -> None:
    expected: dict[str, Any] = json.loads(case.read_text())
    name = expected["file"]
    results = parse_report_file((OWN / name).read_bytes(), name)
    reports = [r for r in results if isinstance(r, DmarcReport)]
    assert [str(r.defect) for r in results if isinstance(r, Refusal)] == expected["refusals"]
    assert len(reports) == len(expected["reports"])
    for report, want in zip(reports, expected["reports"], strict=True):
        assert (report.reporter, report.domain) == (want["reporter"], want["domain"])
        assert len(report.records) == want["records"], report.refused
        assert sum(r.count for r in report.records) == want["counted"]
        assert len(report.refused) == want["refused"]
        assert report.refused_messages == want["refused_messages"]
        assert want.get("notes", "") in " ".join(report.notes)
        for reason, text in zip(want.get("reasons", []), report.refused, strict=False):
            assert reason in text
        assert want.get("selector", "s2026") in {r.dkim_selector for r in report.records}
        assert [r.source_ip for r in report.records] == want.get("addresses", [r.source_ip for r in report.records])


def test_every_file_of_the_shared_corpus_gives_reports_or_a_named_defect() -> None:
    if not SHARED.is_dir():
        print(f"NOT TESTED: {SHARED.name} corpus is not beside the repository")
        return
    recovered = refused = 0
    for path in sorted(p for p in SHARED.rglob("*") if p.is_file() and p.name != "index.json"):
        content = path.read_bytes()
        results = parse_report_mail(content) if path.suffix == ".eml" else parse_aggregate(content, path.name)
        assert results, path.name
        for result in results:
            if isinstance(result, Refusal):
                refused += 1
                assert result.problem, path.name
            else:
                recovered += 1
                _no_count_is_lost(content, path, result)
    assert recovered >= 50
    assert refused >= 20


def _no_count_is_lost(content: bytes, path: Path, report: DmarcReport) -> None:
    """Against a count of the text itself, where the file is plain XML."""
    if path.suffix != ".xml" or not content.isascii():
        return
    counts = re.findall(rb"<(?:\w+:)?count>(.*?)</", content)
    assert len(counts) == len(report.records) + len(report.refused), path.name
    legible = sum(int(c) for c in counts if c.isdigit() and int(c) <= 10**12)
    assert legible == sum(r.count for r in report.records) + report.refused_messages, path.name


NUMBERS = st.one_of(
    st.integers(-3, 10**13).map(str), st.sampled_from(["", "many", "1.5", "2.0", "1e9", "٣", "9" * 400])
)
ADDRESSES = st.sampled_from(["192.0.2.1", "2001:db8::5", "192.0.2.0/24", "", "host.example", "::ffff:192.0.2.1"])


@given(st.lists(st.tuples(ADDRESSES, NUMBERS), max_size=20))
def test_records_in_are_records_stored_plus_records_refused(rows: list[tuple[str, str]]) -> None:
    report = only(parse_aggregate(report_of(*(RECORD.format(ip=ip, count=count) for ip, count in rows))))
    assert len(report.records) + len(report.refused) == len(rows)
    assert all(re.match(r"record \d+: ", reason) for reason in report.refused)


@given(st.binary(max_size=400), st.integers(0, 3))
def test_any_bytes_are_answered_without_an_exception(data: bytes, packing: int) -> None:
    packed = [data, gzip.compress(data), zlib.compress(data), b"<feedback>" + data][packing]
    assert parse_aggregate(packed, "x")


@pytest.mark.parametrize(("row", "records"), [("<row>", 2), ("<row/>", 2), ("<row><count>3</count></row>", 3)])
def test_a_row_that_says_nothing_is_no_record_of_its_own(row: str, records: int) -> None:
    whole = RECORD.format(ip="192.0.2.1", count=7)
    report = only(parse_aggregate(report_of(whole, whole.replace("</row>", f"</row>{row}"))))
    assert len(report.records) + len(report.refused) == records
    assert sum(record.count for record in report.records) == 14


@given(st.data())
def test_a_damaged_report_never_invents_a_record(data: st.DataObject) -> None:
    text = bytearray(report_of(*(RECORD.format(ip=f"192.0.2.{i}", count=7) for i in range(1, 6))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        del text[at : at + data.draw(st.integers(1, 60))]
    for result in parse_aggregate(bytes(text)):
        if isinstance(result, DmarcReport):
            assert len(result.records) + len(result.refused) <= 5


def test_records_beyond_the_limit_are_counted_as_refused() -> None:
    limits = Limits(records=6)
    rows = [RECORD.format(ip="192.0.2.1", count=2) for _ in range(10)]
    report = only(parse_aggregate(report_of(*rows), "x", limits))
    assert (len(report.records), len(report.refused), report.refused_messages) == (6, 4, 8)


@pytest.mark.parametrize(
    ("payload", "limits", "defect"),
    [
        (gzip.compress(b" " * 40_000_000), Limits(), Defect.EXPANSION),
        (gzip.compress(gzip.compress(gzip.compress(report_of()))), Limits(layers=2), Defect.TOO_DEEP),
        (report_of("<x" + "x" * 3_000_000 + ">"), Limits(), Defect.TOO_LARGE),
        (report_of("".join(f"<n{i}/>" for i in range(9_000))), Limits(), Defect.TOO_MANY),
        (report_of(), Limits(cpu_seconds=0), Defect.TOO_SLOW),
        (b"<all>" * 40 + report_of() + b"</all>" * 40, Limits(), Defect.TOO_DEEP),
        (HEAD.encode() * 3, Limits(reports=2), Defect.TOO_MANY),
        (report_of(*[RECORD.format(ip="192.0.2.1", count=2)] * 6), Limits(records=3), Defect.TOO_MANY),
        (report_of(*[RECORD.format(ip="192.0.2.1", count=2)] * 6) * 2, Limits(records_before=5), Defect.TOO_MANY),
        (HEAD.encode() + b"<!--<<a " * 80_000, Limits(), Defect.BROKEN_XML),
    ],
    ids=[
        "bomb",
        "layers",
        "huge tag",
        "many names",
        "time",
        "depth",
        "many reports",
        "many records",
        "collection",
        "noise",
    ],
)
def test_a_broken_bound_is_named(payload: bytes, limits: Limits, defect: Defect) -> None:
    results = parse_aggregate(payload, "x", limits)
    assert [r.defect for r in results if isinstance(r, Refusal)] == [defect]


def test_a_mail_is_searched_by_what_its_parts_hold_and_not_by_what_they_are_called() -> None:
    body = gzip.compress(report_of(RECORD.format(ip="192.0.2.1", count=2)))
    mail = (
        b"From: d@mailhaus.example\r\nSubject: hello\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee below\r\n"
        b'--b\r\nContent-Type: image/png; name="x.png"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + encodebytes(body).replace(b"=", b"")
        + b"--b--\r\n"
    )
    report = only(parse_report_mail(mail))
    assert [r.count for r in report.records] == [2]


def test_a_forwarded_report_is_found_inside_the_forwarded_mail() -> None:
    inner = b"Subject: r\r\nContent-Type: text/xml\r\n\r\n" + report_of(RECORD.format(ip="192.0.2.1", count=2))
    assert (
        only(parse_report_mail(b"Subject: Fwd\r\nContent-Type: message/rfc822\r\n\r\n" + inner)).domain
        == "news.example"
    )


def test_a_report_that_is_refused_whole_says_how_many_messages_go_with_it() -> None:
    payload = report_of(*(RECORD.format(ip="192.0.2.1", count=count) for count in (3, 4, "x")))
    refusal = parse_aggregate(payload.replace(b"<begin>", b"<begin>-"))[0]
    assert isinstance(refusal, Refusal)
    assert (refusal.defect, refusal.records, refusal.messages) == (Defect.INVALID, 3, 7)
    assert "(3 records, 7 messages)" in str(refusal)


def test_what_follows_a_comment_that_never_ends_is_not_lost_with_it() -> None:
    report = only(parse_aggregate(report_of("<!-- ", RECORD.format(ip="192.0.2.1", count=3))))
    assert [r.count for r in report.records] == [3]


def test_a_mail_of_many_multiparts_is_refused() -> None:
    mail = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\nContent-Type: x/y; boundary=a\r\n\r\n" * 200
    results = parse_report_mail(mail)
    assert [r.defect for r in results if isinstance(r, Refusal)] == [Defect.TOO_MANY]
