"""MTA-STS texts, with the examples of RFC 8461 sections 3.1, 3.2, 4.1 and appendix A."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.tls import StsMode, StsProblem
from sender.sts import MAX_AGE, Policy, matches, parse_policy, parse_record, permitted

EXAMPLE = """\
version: STSv1
mode: enforce
mx: mail.example.com
mx: *.example.net
mx: backupmx.example.com
max_age: 604800
"""


@pytest.mark.parametrize(
    ("texts", "identity"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
        (["v=STSv1;id=1"], "1"),
        (["v=spf1 -all", "v=STSv1; id=a; future=b"], "a"),
        ([], ""),
        (["v=STSv1; id=1", "v=STSv1; id=2"], ""),
        (["v=STSv1; id=" + "a" * 33], ""),
        (["v=STSv1; id=a-b"], ""),
        (["v=STSv1; nothing=1"], ""),
        (["v=STSv2; id=1"], ""),
        ([" v=STSv1; id=1"], ""),
    ],
)
def test_the_record_names_the_policy(texts: list[str], identity: str) -> None:
    assert parse_record(texts) == identity


def test_the_example_of_the_rfc() -> None:
    policy = parse_policy(EXAMPLE)
    assert policy == Policy(
        mode=StsMode.ENFORCE, max_age=604_800, mx=("mail.example.com", "*.example.net", "backupmx.example.com")
    )
    assert parse_policy(EXAMPLE.replace("\n", "\r\n")) == policy
    hosts = ["mail.example.com", "mx.example.net", "a.b.example.net", "example.net", "other.example.com"]
    assert permitted(policy, hosts) == ("mail.example.com", "mx.example.net")


@pytest.mark.parametrize(
    ("host", "pattern", "fits"),
    [
        ("mail.example.com", "mail.example.com", True),
        ("MAIL.Example.COM.", "mail.example.com", True),
        ("mail.example.com", "*.example.com", True),
        ("example.com", "*.example.com", False),
        ("foo.bar.example.com", "*.example.com", False),
        (".example.com", "*.example.com", False),
        ("mailexample.com", "*.example.com", False),
    ],
)
def test_a_star_is_one_label(host: str, pattern: str, fits: bool) -> None:
    assert matches(host, pattern) is fits


def test_unknown_keys_and_later_equal_ones_make_no_difference() -> None:
    policy = parse_policy(EXAMPLE + "future: thing\nmode: none\nmax_age: 1\n")
    assert (policy.mode, policy.max_age) == (StsMode.ENFORCE, 604_800)


def test_a_policy_of_mode_none_needs_no_host() -> None:
    assert parse_policy("version: STSv1\nmode: none\nmax_age: 86400").mx == ()


def test_no_policy_lasts_longer_than_a_year() -> None:
    assert parse_policy(EXAMPLE.replace("604800", "9999999999")).max_age == MAX_AGE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "version"),
        (EXAMPLE.replace("STSv1", "STSv2"), "version"),
        (EXAMPLE.replace("enforce", "Enforce"), "mode"),
        (EXAMPLE.replace("604800", "-1"), "max_age"),
        (EXAMPLE.replace("max_age: 604800", ""), "max_age"),
        ("version: STSv1\nmode: testing\nmax_age: 1", "no mx"),
        (EXAMPLE + "mx: *.*.example.com\n", "no host name"),
        (EXAMPLE + "mx: a b\n", "no host name"),
        (EXAMPLE + "<html>\n", "key: value"),
        (EXAMPLE + "mx: a.example\n" + "".join(f"mx: h{n}.example\n" for n in range(100)), "more than 100"),
        ("x" * 70_000, "64 kB"),
    ],
)
def test_what_breaks_the_rules_is_no_policy(text: str, said: str) -> None:
    with pytest.raises(StsProblem, match=said):
        parse_policy(text)


@given(st.text(max_size=300))
def test_no_text_does_worse_than_being_refused(text: str) -> None:
    for policy in (text, EXAMPLE + text):
        with contextlib.suppress(StsProblem):
            assert parse_policy(policy).mx
    assert parse_record([text]) == "" or text.startswith("v=STSv1")
