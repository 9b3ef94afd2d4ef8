"""Addresses: what is taken, what is the same person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.address import normal_domain, parse_address
from core.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        (" ann+news@example.com. ", "ann+news@example.com"),
        ('"ann b"@example.com', '"ann b"@example.com'),
        ("иван@пример.рф", "иван@xn--e1afmkfd.xn--p1ai"),
        ('"Ann"@example.com', "ann@example.com"),
        ('"an\\n"@example.com', "ann@example.com"),
        ('"an\\n b"@example.com', '"ann b"@example.com'),
        ('"a\\\\b"@example.com', '"a\\\\b"@example.com'),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ("ann@stra\u00dfe.de", "ann@xn--strae-oqa.de"),
        ("ann@STRA\u1e9eE.de", "ann@xn--strae-oqa.de"),
        ("ann@b\u00fccher。example", "ann@xn--bcher-kva.example"),
    ],
)
def test_the_normal_form_folds_case_and_writes_the_domain_in_a_labels(text: str, normal: str) -> None:
    assert parse_address(text).normal == normal


@pytest.mark.parametrize(
    "text",
    ["", "ann", "@example.com", "ann@", "a b@example.com", "ann@exa mple.com", "ann@-x.com", "a..b@example.com",
     "x" * 65 + "@example.com", "a@" + "x." * 130 + "com", "ann\r\n@example.com", "<ann@example.com>",
     "ann@a\u200db.com", "ann@b\u00fc..com", "ann\udcff@example.com",
     "ann\x85@example.com", "ann\u2028@example.com"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_address(text)
    assert caught.value.remedy


def test_an_international_local_part_needs_smtputf8() -> None:
    assert parse_address("иван@example.com").needs_smtputf8
    assert not parse_address("ivan@example.com").needs_smtputf8


def test_a_domain_that_is_no_host_name_is_refused() -> None:
    with pytest.raises(InvalidInput, match="domain"):
        normal_domain("exa_mple!.com")


@given(st.text(alphabet=' ab."\\\\@A', min_size=1, max_size=6))
def test_every_quoted_spelling_of_one_mailbox_has_one_normal_form(text: str) -> None:
    plain = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"@example.com'
    escaped = '"' + "".join("\\" + c for c in text) + '"@example.com'
    normal = parse_address(plain).normal
    assert parse_address(escaped).normal == normal
    assert parse_address(normal).normal == normal
