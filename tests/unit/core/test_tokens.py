"""Tokens: what they prove, and what never proves anything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.lane import DAY
from core.tokens import TOKEN_LENGTH, Purpose, Token, TokenProblem, TokenSigner, new_message_id

KEY = {"a": b"0123456789abcdef"}
NOW = 1_764_000_000.0
SIGNER = TokenSigner(KEY)


@given(st.sampled_from(Purpose), st.floats(1_600_000_000, 2_000_000_000))
def test_a_token_returns_the_message_it_was_made_for_even_in_capitals(purpose: Purpose, now: float) -> None:
    message_id = new_message_id(now)
    text = SIGNER.sign(purpose, message_id, now)
    assert len(text) == TOKEN_LENGTH
    found = SIGNER.verify(text.upper(), now, purpose)
    assert isinstance(found, Token)
    assert (found.purpose, found.message_id) == (purpose, message_id)


@given(st.integers(0, TOKEN_LENGTH - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_token_with_one_other_character_proves_nothing(place: int, letter: str) -> None:
    text = SIGNER.sign(Purpose.RETURN_PATH, new_message_id(NOW, lambda bits: 5), NOW)
    other = text[:place] + letter + text[place + 1 :]
    assert other == text or isinstance(SIGNER.verify(other, NOW), TokenProblem)


@given(st.text(max_size=60))
def test_any_text_is_answered_without_an_exception(text: str) -> None:
    assert isinstance(SIGNER.verify(text, NOW), TokenProblem)


def test_a_return_path_token_does_not_unsubscribe() -> None:
    text = SIGNER.sign(Purpose.RETURN_PATH, new_message_id(NOW), NOW)
    assert SIGNER.verify(text, NOW, Purpose.UNSUBSCRIBE) is TokenProblem.FORGED


def test_a_token_is_believed_for_its_age_and_with_a_retired_key() -> None:
    text = SIGNER.sign(Purpose.MESSAGE_ID, new_message_id(NOW), NOW)
    rotated = TokenSigner({"b": b"fedcba9876543210", **KEY}, max_age_days=10)
    assert isinstance(rotated.verify(text, NOW + 10 * DAY), Token)
    assert rotated.verify(text, NOW + 11 * DAY) is TokenProblem.EXPIRED
    assert TokenSigner({"b": b"fedcba9876543210"}).verify(text, NOW) is TokenProblem.UNKNOWN_KEY


def test_ids_sort_by_time() -> None:
    assert new_message_id(1000.0) < new_message_id(1000.001) < new_message_id(2_000_000_000.0)
