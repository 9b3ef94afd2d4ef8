"""What the receiving host wrote: its own results count, nobody else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.placement.headers import facts_of
from core.placement import NO_FACTS

OURS = "DKIM-Signature: v=1; d=news.example\r\nFrom: a@news.example\r\nSubject: x\r\n"
GOOGLE = (
    "Authentication-Results: mx.google.com;\r\n dkim=pass header.i=@news.example header.s=s1;\r\n"
    " spf=pass (google.com: domain of b@rp.news.example designates 192.0.2.1 as permitted sender)"
    " smtp.mailfrom=b@rp.news.example;\r\n dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=news.example\r\n"
)
MICROSOFT = (
    "Authentication-Results: spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=rp.news.example; dkim=fail (no key for"
    " signature)\r\n header.d=news.example;dmarc=bestguesspass action=none header.from=news.example;compauth=pass\r\n"
    "Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    "X-Forefront-Antispam-Report: CIP:192.0.2.1;CTRY:;LANG:en;SCL:5;SRV:;IPV:NLI;SFV:SPM;CAT:SPM;DIR:INB;\r\n"
    "X-Microsoft-Antispam: BCL:3;\r\n"
    "X-Microsoft-Antispam-Mailbox-Delivery: ucf:0;jmr:0;auth:0;dest:J;OFR:SpamFilterAuthJ;\r\n"
)


def facts(top: str, provider: str = "gmail", trusted: tuple[str, ...] = (), ours: str = OURS) -> dict[str, str]:
    found = facts_of((top + ours + "\r\n").encode(), provider, trusted)
    return {name: value for name in ("authserv", "spf", "dkim", "dmarc") if (value := getattr(found, name))}


def test_results_of_the_host_are_read() -> None:
    assert facts(GOOGLE) == {"authserv": "mx.google.com", "spf": "pass", "dkim": "pass", "dmarc": "pass"}


def test_microsoft_names_itself_not_and_its_filter_is_read() -> None:
    found = facts_of((MICROSOFT + OURS).encode(), "outlook")
    assert (found.authserv, found.spf, found.dkim, found.dmarc) == ("-", "pass", "fail", "bestguesspass")
    assert dict(found.filters) == {
        "SCL": "5", "SFV": "SPM", "CAT": "SPM", "DIR": "INB", "BCL": "3", "ucf": "0", "jmr": "0", "dest": "J"
    }  # fmt: skip
    assert found.hops == 1


@pytest.mark.parametrize(
    ("top", "provider", "ours"),
    [
        (GOOGLE, "yahoo", OURS),
        (GOOGLE.replace("mx.google.com", "mx.google.com.evil.example"), "gmail", OURS),
        (GOOGLE.replace("mx.google.com", "evilyahoo.com"), "yahoo", OURS),
        ("", "gmail", OURS + GOOGLE),
        ("", "outlook", OURS + MICROSOFT),
        ("Authentication-Results: mx.google.com; none\r\n", "gmail", OURS),
    ],
    ids=["another's", "longer name", "no label boundary", "below our signature", "below, unnamed", "nothing found"],
)
def test_other_words_are_not_believed(top: str, provider: str, ours: str) -> None:
    assert set(facts(top, provider, ours=ours)) <= {"authserv"}


def test_a_comment_says_nothing() -> None:
    top = 'Authentication-Results: mx.google.com; dkim=fail (; dkim=pass (in \\) ; spf=pass)) header.i="(;spf=pass"\r\n'
    assert facts(top) == {"authserv": "mx.google.com", "dkim": "fail"}


def test_one_field_for_each_method_and_one_signature_that_passes_are_enough() -> None:
    top = "".join(
        f"Authentication-Results: {method}.icloud.com; {method}={result}\r\n"
        for method, result in (("dmarc", "pass"), ("dkim", "fail"), ("dkim", "pass"), ("spf", "softfail"))
    )
    assert facts(top, "apple") == {"authserv": "dmarc.icloud.com", "dmarc": "pass", "dkim": "pass", "spf": "softfail"}


def test_the_owner_names_another_host() -> None:
    top = "Authentication-Results: mx.own.example 1; spf=pass\r\n"
    assert facts(top, "gmail", ("mx.own.example",)) == {"authserv": "mx.own.example", "spf": "pass"}


def test_other_filters_are_kept_by_name() -> None:
    found = facts_of(
        b"X-Spam-Status: Yes, score=7.1\r\nX-Spam-Score: 7.1\r\nX-Yandex-Spam: 4\r\nFrom: a\r\n\r\n", "yandex"
    )
    assert found.filters == (("X-Spam-Status", "Yes, score=7.1"), ("X-Spam-Score", "7.1"), ("Yandex-Spam", "4"))


@given(st.binary(max_size=2000))
def test_no_bytes_make_it_raise(content: bytes) -> None:
    for provider in ("gmail", "outlook"):
        found = facts_of(b"Authentication-Results: mx.google.com; spf=" + content, provider)
        assert len(found.filters) <= 16
    assert facts_of(b"", "gmail") == NO_FACTS
