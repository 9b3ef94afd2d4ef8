"""Secret files and token keys: made once, never shown, never overwritten."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.secrets import read_secret
from config.tokens import load_token_keys
from core.errors import InvalidInput
from core.tokens import Purpose, Token, TokenSigner, new_message_id


def test_a_secret_is_the_files_text_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(b"pass word \r\n")
    assert read_secret(path) == "pass word "


@pytest.mark.parametrize("content", [b"", b"\n", b"\xffhidden", b"h" * 65_537])
def test_a_bad_secret_file_is_named_but_never_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        read_secret(path)
    assert str(path) in str(caught.value)
    assert "hidden" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_secret_file_is_an_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_secret(tmp_path / "none")


def test_keys_are_made_at_first_start_for_their_owner_alone_and_then_kept(tmp_path: Path) -> None:
    path = tmp_path / "var" / "token.keys"
    keys = load_token_keys(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert load_token_keys(path) == keys
    assert [p.name for p in path.parent.iterdir()] == ["token.keys"]
    signer = TokenSigner(keys)
    message_id = new_message_id(1_000_000.0)
    assert isinstance(signer.verify(signer.sign(Purpose.RETURN_PATH, message_id, 1_000_000.0), 1_000_000.0), Token)


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: load_token_keys(tmp_path / "k"), range(16)))
    assert all(keys == made[0] for keys in made)
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


def test_the_first_key_signs_and_remarks_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_text(f"# rotated\nb {'11' * 32}\n\na {'22' * 32}\n")
    assert list(load_token_keys(path)) == ["b", "a"]


@pytest.mark.parametrize(
    "text", ["# nothing\n", "A 11\n", "ab 1122\n", "a xyz\n", "a 1122\n", f"a {'11' * 16}\na {'22' * 16}\n"]
)
def test_keys_that_cannot_be_understood_are_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        load_token_keys(path)
    assert path.read_text() == text
