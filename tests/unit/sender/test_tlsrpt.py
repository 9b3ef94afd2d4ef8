"""Who asks for TLS reports, and what they say."""

from __future__ import annotations

import gzip
import json

import pytest

from collectors.reports.tlsrpt import parse_tls
from core.reports import TlsCount, TlsReport
from core.tls import StsMode
from sender.sts import Policy
from sender.tlsrpt.record import addresses
from sender.tlsrpt.report import Policies, Reporter, document, packed

US = Reporter(organization="We", contact="tls@we.test", domain="we.test")


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["v=TLSRPTv1; rua=mailto:a@x.test"], ("mailto:a@x.test",)),
        (["other", "v=TLSRPTv1;rua=https://x.test/in,mailto:a%2Bb@x.test"], ("mailto:a+b@x.test", "https://x.test/in")),
        (["v=TLSRPTv1; rua=mailto:a@x.test?subject=hi,MAILTO:a@x.test"], ("mailto:a@x.test",)),
        (["v=TLSRPTv1; rua=mailto:a@x.test", "v=TLSRPTv1; rua=mailto:b@x.test"], ()),
        (["v=TLSRPTv10; rua=mailto:a@x.test"], ()),
        (["v=TLSRPTv1"], ()),
        ([], ()),
        (["v=TLSRPTv1; rua=http://x.test/,ftp://x.test,https://u:p@x.test/,https:///x,mailto:nobody,https://x:y/"], ()),
        (["v=TLSRPTv1; rua=" + ",".join(f"mailto:a{n}@x.test" for n in range(9))],
         tuple(f"mailto:a{n}@x.test" for n in range(5))),
    ],
)  # fmt: skip
def test_where_reports_are_wanted(texts: list[str], wanted: tuple[str, ...]) -> None:
    assert addresses(texts) == wanted


def count(policy: str, failure: str = "", sessions: int = 1, host: str = "mx.x.test") -> TlsCount:
    return TlsCount(day=100, domain="x.test", host=host, failure=failure, sessions=sessions, policy=policy)


def test_every_session_is_counted_once_under_its_policy() -> None:
    counts = [
        count("sts", sessions=5), count("sts", "certificate-expired", 2), count("no-policy-found", sessions=3),
        count("tlsa", "tlsa-invalid", 4), count("", sessions=1),
    ]  # fmt: skip
    policies = Policies(
        sts=Policy(mode=StsMode.ENFORCE, max_age=60, mx=("*.x.test",)), tlsa={"mx.x.test": ["3 1 1 AA"]}
    )
    report = document(100, "x.test", counts, policies, US)
    summaries = {
        p["policy"]["policy-type"]: (
            p["summary"]["total-successful-session-count"], p["summary"]["total-failure-session-count"]
        )
        for p in report["policies"]
    }  # fmt: skip
    assert summaries == {"sts": (5, 2), "no-policy-found": (4, 0), "tlsa": (0, 4)}
    strings = {p["policy"]["policy-type"]: p["policy"].get("policy-string") for p in report["policies"]}
    assert strings == {
        "sts": ["version: STSv1", "mode: enforce", "mx: *.x.test", "max_age: 60"], "tlsa": ["3 1 1 AA"],
        "no-policy-found": None,
    }  # fmt: skip
    assert report["date-range"] == {
        "start-datetime": "1970-04-11T00:00:00Z", "end-datetime": "1970-04-11T23:59:59Z"
    }  # fmt: skip


def test_our_own_intake_reads_the_same_numbers_back() -> None:
    counts = [count("sts", sessions=5), count("sts", "certificate-expired", 2, host="mx2.x.test")]
    (read,) = parse_tls(packed(document(100, "x.test", counts, Policies(), US)), "r.json.gz")
    assert isinstance(read, TlsReport)
    assert [(row.result, row.sessions, row.receiving_host) for row in read.rows] == [
        ("", 5, ""), ("certificate-expired", 2, "mx2.x.test"),
    ]  # fmt: skip
    assert not read.refused


def test_a_report_has_the_same_bytes_when_it_is_made_again() -> None:
    report = document(100, "x.test", [count("sts")], Policies(), US)
    assert packed(report) == packed(json.loads(gzip.decompress(packed(report))))
