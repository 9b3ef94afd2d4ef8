"""Tracked links: nobody but us can make one that leads anywhere."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.links import MAX_LINK, MAX_TARGET, Link, is_target, read_link, sign_link
from core.tokens import MessageId, Purpose, Token, TokenProblem, TokenSigner

NOW = 1_800_000_000.0
SIGNER = TokenSigner({"a": b"k" * 32})
ID = MessageId("abcdefghij2345672345")
TARGET = "https://shop.example.com/sale?a=1&b=%D1%8F#top"


def coded(target: str) -> str:
    return base64.urlsafe_b64encode(target.encode()).rstrip(b"=").decode()


def test_a_link_gives_back_its_message_and_target() -> None:
    assert read_link(SIGNER, sign_link(SIGNER, ID, TARGET, NOW), NOW) == Link(message_id=ID, target=TARGET)


def test_another_target_behind_a_good_token_is_forged() -> None:
    token = sign_link(SIGNER, ID, TARGET, NOW)[:42]
    assert read_link(SIGNER, token + coded("https://evil.example.com/"), NOW) is TokenProblem.FORGED
    assert read_link(SIGNER, token, NOW) is TokenProblem.MALFORMED


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.CLICK])
def test_a_token_for_anything_else_leads_nowhere(purpose: Purpose) -> None:
    text = SIGNER.sign(purpose, ID, NOW) + coded(TARGET)
    assert isinstance(read_link(SIGNER, text, NOW), TokenProblem)
    signed_with_target = SIGNER.sign(purpose, ID, NOW, TARGET) + coded(TARGET)
    assert read_link(SIGNER, signed_with_target, NOW) is TokenProblem.FORGED


def test_a_links_token_alone_opens_no_other_door() -> None:
    token = sign_link(SIGNER, ID, TARGET, NOW)[:42]
    assert not any(isinstance(SIGNER.verify(token, NOW, purpose), Token) for purpose in (None, *Purpose))


def test_an_old_link_still_leads_to_the_senders_page_and_says_that_it_is_old() -> None:
    old = sign_link(SIGNER, ID, TARGET, NOW - 500 * 86400)
    assert read_link(SIGNER, old, NOW) == Link(message_id=ID, target=TARGET, expired=True)


def test_a_link_signed_by_a_key_that_is_gone_leads_nowhere() -> None:
    gone = sign_link(TokenSigner({"b": b"x" * 32}), ID, TARGET, NOW)
    assert read_link(SIGNER, gone, NOW) is TokenProblem.UNKNOWN_KEY


@pytest.mark.parametrize(
    "target",
    [
        "javascript:alert(1)", "//evil.example.com/", "ftp://a.example/", "https://", "https:///path",
        "https://bank.example@evil.example/", "https://a.example\\@evil.example/", "https://a.example/\r\nX: a",
        "https://a.example/ b", "https://пример.рф/", "https://a.example/" + "a" * MAX_TARGET, " https://a.example/",
        "",
    ],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_no_target(target: str) -> None:
    assert not is_target(target)


@pytest.mark.parametrize(
    "target", ["http://a", "HTTPS://A.example", "https://a.example:8443/x", "https://a.example?q=1"]
)
def test_web_addresses_are_targets(target: str) -> None:
    assert is_target(target)


@given(st.text(max_size=300))
def test_no_text_leads_anywhere_unless_we_signed_it(text: str) -> None:
    assert isinstance(read_link(SIGNER, text, NOW), TokenProblem)


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=200))
def test_what_is_a_target_comes_back_as_it_was(rest: str) -> None:
    target = f"https://a.example/{rest}"
    link = sign_link(SIGNER, ID, target, NOW)
    assert len(link) <= MAX_LINK
    assert read_link(SIGNER, link, NOW) == Link(message_id=ID, target=target)
