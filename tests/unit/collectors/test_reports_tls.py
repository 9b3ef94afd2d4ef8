"""TLS and failure reports: everything that can be read is, what cannot is told, and no person's data is kept."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dmarc.defects import Defect, Refusal
from collectors.reports.failure import parse_failure
from collectors.reports.tlsrpt import UNSPECIFIED, parse_tls
from core.reports import FailureReport, TlsReport
from tests.unit.collectors.report_world import NOW, PEER, world

SHARED = Path(__file__).resolve().parents[3].parent / "shared/corpus/dmarc"


def tls(**changes: object) -> dict[str, object]:
    told: dict[str, object] = {
        "organization-name": "Mailhaus",
        "date-range": {"start-datetime": "2026-09-20T00:00:00Z", "end-datetime": "2026-09-20T23:59:59Z"},
        "contact-info": "tls@mailhaus.example", "report-id": "t1",
        "policies": [{
            "policy": {"policy-type": "sts", "policy-domain": "news.example"},
            "summary": {"total-successful-session-count": 10, "total-failure-session-count": 5},
            "failure-details": [{
                "result-type": "certificate-expired", "sending-mta-ip": "192.0.2.1",
                "receiving-mx-hostname": "mx.news.example", "failed-session-count": "3",
            }],
        }],
    }  # fmt: skip
    return told | changes


def read(told: object) -> TlsReport:
    (one,) = parse_tls(json.dumps(told).encode(), "r.json")
    assert isinstance(one, TlsReport), one
    return one


def test_sessions_of_a_report_are_all_in_its_rows() -> None:
    report = read(tls())
    assert [(row.result, row.sessions, row.receiving_host) for row in report.rows] == [
        ("", 10, ""), ("certificate-expired", 3, "mx.news.example"), (UNSPECIFIED, 2, "")
    ]  # fmt: skip
    assert report.refused == ()
    (packed,) = parse_tls(gzip.compress(json.dumps(tls()).encode()), "r.json.gz")
    assert packed == report


def test_a_count_that_cannot_be_true_is_refused_and_told() -> None:
    policy = {
        "policy": {"policy-type": "sts", "policy-domain": "news.example"},
        "summary": {"total-successful-session-count": -1, "total-failure-session-count": "many"},
    }
    report = read(tls(policies=policy))
    assert report.rows == ()
    assert len(report.refused) == 2


@pytest.mark.parametrize(
    ("content", "defect"),
    [
        (b"[" * 100_000, Defect.NOT_A_REPORT),
        (b"{}", Defect.NOT_A_REPORT),
        (b'{"policies": []}', Defect.INVALID),
        (b'{"policies": "' + b"x" * 11_000_000 + b'"}', Defect.TOO_LARGE),
        (gzip.compress(b" " * 50_000_000 + b"{"), Defect.EXPANSION),
    ],
)
def test_what_is_no_report_is_refused_by_name(content: bytes, defect: Defect) -> None:
    (one,) = parse_tls(content, "x.json")
    assert isinstance(one, Refusal)
    assert one.defect is defect


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(policies=_JSON, span=_JSON)
def test_no_json_breaks_the_reader(policies: object, span: object) -> None:
    for told in (tls(policies=policies), {"policies": policies, "date-range": span}):
        assert len(parse_tls(json.dumps(told).encode())) == 1


async def test_a_tls_report_by_mail_is_proven_like_any_other_and_stored_once() -> None:
    body = json.dumps(tls())
    mail = (
        "From: tls@mailhaus.example\r\nTLS-Report-Domain: news.example\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: application/tlsrpt+json\r\n\r\n{body}\r\n"
    ).encode()
    async with world() as here:
        assert await here.intake.report(mail, "tls@mailhaus.example", "203.0.113.6") == 0
        assert [await here.intake.report(mail, "tls@mailhaus.example", PEER) for _ in range(2)] == [1, 0]
        stored = await here.stores.other_reports.tls()
        assert [one.provenance.counts for one in stored] == [True]
        assert stored[0].report.rows[0].sessions == 10


FAILURE = b"""From: dmarc-noreply@mailhaus.example
To: ruf@news.example
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an authentication failure report.
--b
Content-Type: message/feedback-report

Feedback-Type: auth-failure
Version: 1
Original-Mail-From: bounce-ann@b.news.example
Original-Rcpt-To: ann@mailhaus.example
Arrival-Date: Tue, 24 Nov 2026 02:09:00 +0000
Source-IP: 203.0.113.6
Delivery-Result: reject
Auth-Failure: dmarc
Reported-Domain: news.example

--b
Content-Type: message/rfc822

From: Shop <shop@news.example>
To: Ann <ann@mailhaus.example>
Subject: Your results
Message-ID: <secret-ann@news.example>

Dear Ann, the body is nobody's business.
--b--
"""


def test_a_failure_report_keeps_no_person_unless_it_is_wanted() -> None:
    redacted = parse_failure(FAILURE, NOW)
    assert isinstance(redacted, FailureReport)
    assert "ann" not in str(redacted).lower()
    assert "results" not in str(redacted)
    assert (redacted.recipient, redacted.source_ip, redacted.failure, redacted.delivery, redacted.domain) == (
        "redacted@mailhaus.example", "203.0.113.6", "dmarc", "reject", "news.example"
    )  # fmt: skip
    whole = parse_failure(FAILURE, NOW, redact=False)
    assert isinstance(whole, FailureReport)
    assert (whole.recipient, whole.subject) == ("ann@mailhaus.example", "Your results")
    assert "business" not in str(whole)


async def test_a_failure_report_is_stored_once_and_moves_no_figure() -> None:
    async with world() as here:
        for _ in range(2):
            await here.intake.report(FAILURE, "dmarc-noreply@mailhaus.example", PEER)
        (stored,) = await here.stores.other_reports.failures()
        assert stored.provenance.counts
        assert await here.counted() == 0


def test_samples_from_the_wild_are_read() -> None:
    if not SHARED.is_dir():
        print("NOT TESTED: the shared corpus is not here")
        return
    failure = parse_failure((SHARED / "failure/dmarc_ruf_report_linkedin.eml").read_bytes(), NOW)
    assert isinstance(failure, FailureReport)
    assert (failure.reporter, failure.source_ip, failure.header_from) == (
        "linkedin.com", "10.10.10.10", "redacted@example.com"
    )  # fmt: skip
    for path in sorted(
        [*SHARED.glob("cry-inc/*.json"), *SHARED.glob("smtp_tls/*.json"), *SHARED.glob("adversarial/T*")]
    ):
        (one,) = parse_tls(path.read_bytes(), path.name)
        if isinstance(one, TlsReport):
            assert one.rows or one.refused, path.name
        else:
            assert path.name == "TG_deep.json", one
