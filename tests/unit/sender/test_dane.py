"""DANE: which records count, and what fits them (RFC 7672 sections 3.1 and 3.2, RFC 6698 section 2.1)."""

from __future__ import annotations

import datetime
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.tls import TlsaRecord
from sender.dane import fits, usable
from tests.unit.sender.authority import Issued, issue

NOW = 1_800_000_000.0
PAST = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)
ROOT = issue("Root of our own", authority=True)
MIDDLE = issue("Middle", ROOT, authority=True)
HOST = issue("mx1.example.net", MIDDLE)
ALONE = issue("whatever.invalid", end=PAST)
NAMES = ["mx1.example.net"]


def record(usage: int, selector: int, matching: int, one: Issued) -> TlsaRecord:
    data = one.spki if selector else one.der
    data = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}[matching]
    return TlsaRecord(usage=usage, selector=selector, matching=matching, data=data)


CHAIN = [HOST.der, MIDDLE.der, ROOT.der]


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
class TestEveryFormOfRecord:
    def test_end_entity_names_the_host_whatever_its_name_and_age(self, selector: int, matching: int) -> None:
        assert fits([record(3, selector, matching, ALONE)], [ALONE.der], NAMES, NOW) == ""

    def test_end_entity_does_not_name_an_authority(self, selector: int, matching: int) -> None:
        assert "no TLSA record" in fits([record(3, selector, matching, ROOT)], CHAIN, NAMES, NOW)

    @pytest.mark.parametrize("anchor", [MIDDLE, ROOT])
    def test_trust_anchor_names_any_authority_of_the_chain(self, selector: int, matching: int, anchor: Issued) -> None:
        assert fits([record(2, selector, matching, anchor)], CHAIN, NAMES, NOW) == ""


def test_a_trust_anchor_that_dns_holds_whole_need_not_be_sent() -> None:
    assert fits([record(2, 0, 0, ROOT)], CHAIN[:2], NAMES, NOW) == ""
    assert "no TLSA record" in fits([record(2, 0, 1, ROOT)], CHAIN[:2], NAMES, NOW)


def test_under_a_trust_anchor_the_name_counts() -> None:
    assert "not good for mx2" in fits([record(2, 1, 1, ROOT)], CHAIN, ["mx2.example.net"], NOW)
    assert fits([record(2, 1, 1, ROOT)], CHAIN, ["mx2.example.net", "mx1.example.net"], NOW) == ""


def test_under_a_trust_anchor_the_dates_count() -> None:
    old = issue("mx1.example.net", MIDDLE, end=PAST)
    assert "not good" in fits([record(2, 1, 1, ROOT)], [old.der, *CHAIN[1:]], NAMES, NOW)


def test_a_named_authority_that_did_not_sign_the_host_proves_nothing() -> None:
    other = issue("mx1.example.net", issue("Middle", authority=True))
    assert fits([record(2, 1, 1, MIDDLE)], [other.der, MIDDLE.der], NAMES, NOW) != ""


def test_a_host_certificate_cannot_be_an_authority() -> None:
    below = issue("mx1.example.net", HOST)
    assert "not good" in fits([record(2, 1, 1, ROOT)], [below.der, *CHAIN], NAMES, NOW)


def test_one_good_record_among_bad_ones_is_enough() -> None:
    assert fits([record(3, 1, 1, ROOT), record(2, 1, 1, ALONE), record(3, 1, 1, HOST)], CHAIN, NAMES, NOW) == ""


def test_nothing_shown_or_too_much_or_noise_fits_nothing() -> None:
    one = record(3, 1, 1, HOST)
    assert "no certificate" in fits([one], [], NAMES, NOW)
    assert "17 certificates" in fits([one], [HOST.der] * 17, NAMES, NOW)
    assert "cannot be read" in fits([one], [b"noise"], NAMES, NOW)


@pytest.mark.parametrize(
    ("usage", "selector", "matching", "length", "counts"),
    [
        (3, 1, 1, 32, True), (2, 0, 2, 64, True), (3, 0, 0, 10, True),
        (0, 0, 1, 32, False), (1, 1, 1, 32, False), (255, 1, 1, 32, False), (3, 2, 1, 32, False),
        (3, 1, 3, 32, False), (3, 1, 1, 31, False), (3, 1, 2, 32, False), (3, 1, 0, 0, False),
    ],
)  # fmt: skip
def test_which_records_count(usage: int, selector: int, matching: int, length: int, counts: bool) -> None:
    given_one = TlsaRecord(usage=usage, selector=selector, matching=matching, data=b"x" * length)
    assert bool(usable([given_one])) is counts


@given(st.binary(max_size=200), st.integers(0, 4), st.integers(0, 2), st.integers(0, 3))
def test_no_record_of_anyones_making_raises_or_fits(data: bytes, usage: int, selector: int, matching: int) -> None:
    found = usable([TlsaRecord(usage=usage, selector=selector, matching=matching, data=data)])
    assert fits(found, CHAIN, NAMES, NOW) != ""
