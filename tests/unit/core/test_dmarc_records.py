"""Records of DMARC reports held close are the same records, in order, whole and in parts."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dmarc_records import DmarcRecords, packed
from core.state import DmarcRecord, DmarcReport
from storage.report_writing import digest_of

WORDS = st.sampled_from(["", "pass", "fail", "none", "news.example", "xn--mller-kva.example", "pass.example", "ü"])
RECORDS = st.builds(
    DmarcRecord,
    source_ip=st.sampled_from(["192.0.2.1", "2001:db8::1", "198.51.100.254"]), count=st.integers(0, 10**12),
    disposition=WORDS, dkim=WORDS, spf=WORDS, header_from=WORDS, envelope_from=WORDS, dkim_domain=WORDS,
    dkim_selector=WORDS, dkim_result=WORDS, spf_domain=WORDS, spf_result=WORDS,
)  # fmt: skip


@given(st.lists(RECORDS, max_size=12), st.integers(0, 13), st.integers(0, 13))
def test_the_same_records(given_records: list[DmarcRecord], start: int, end: int) -> None:
    held = DmarcRecords(given_records)
    assert list(held) == given_records
    assert held == tuple(given_records)
    assert hash(held) == hash(tuple(given_records))
    assert held[start:end] == tuple(given_records[start:end])
    assert [held[at] for at in range(-len(held), len(held))] == given_records * 2
    assert held.messages == sum(one.count for one in given_records)
    assert held.aligned == sum(one.count for one in given_records if one.aligned)
    assert packed(held) is held


@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_others_differ(given_records: list[DmarcRecord]) -> None:
    held = DmarcRecords(given_records)
    assert held != given_records[1:]
    assert held != [*given_records[:-1], DmarcRecord.of("192.0.2.77", 1, ["x"] * 10)]
    assert held != "text"


def test_there_is_no_record_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        DmarcRecords()[0]


@given(st.lists(RECORDS, max_size=3))
def test_a_stored_report_is_known_again_by_the_digest_that_it_always_had(given_records: list[DmarcRecord]) -> None:
    report = DmarcReport(
        reporter="Mailhaus", email="d@mailhaus.example", domain="news.example", report_id="r1", begin=1.0, end=2.0,
        policy="none", records=DmarcRecords(given_records),
    )  # fmt: skip
    rows = "".join("|".join(map(str, astuple(one))) + ";" for one in given_records)
    text = "Mailhaus|d@mailhaus.example|news.example|r1|1 2" + rows
    assert digest_of(report) == hashlib.sha256(text.encode()).hexdigest()


def test_records_that_say_the_same_take_some_thirty_bytes_each() -> None:
    held, kind = DmarcRecords(), ("none", "pass", "pass", *["news.example"] * 7)
    tracemalloc.start()
    try:
        for number in range(10_000):
            held.add(f"192.0.{number % 200}.{number % 250}", 1, held.kind(*kind))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 60 * 10_000
