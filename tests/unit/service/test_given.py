"""Standard input of the commands: read whole up to a bound, refused by name beyond it."""

from __future__ import annotations

from io import BytesIO

import pytest

from core.errors import InvalidInput, LimitExceeded
from service.commands.given import MAX_LINE, MAX_LINES, MAX_TEXT, given_lines, given_text


def test_lines_come_without_blanks_and_byte_order_mark() -> None:
    assert given_lines(BytesIO(b"\xef\xbb\xbfann@x.example \r\n\n  bob@x.ex")) == ["ann@x.example", "bob@x.ex"]
    assert given_lines(BytesIO(b"a" * (MAX_LINE - 1) + b"\n")) == ["a" * (MAX_LINE - 1)]


def test_an_endless_line_is_refused_after_its_first_part() -> None:
    file = BytesIO(b"ann@x.example\n" + b"a" * 50_000)
    with pytest.raises(LimitExceeded, match="line 2: has more than"):
        given_lines(file)
    assert file.tell() < 2 * MAX_LINE, "the rest is not read"


def test_too_many_lines_are_refused_with_the_command_for_them() -> None:
    assert len(given_lines(BytesIO(b"a@x.example\n" * MAX_LINES))) == MAX_LINES
    with pytest.raises(LimitExceeded, match="penstock suppressions import"):
        given_lines(BytesIO(b"\n" * (MAX_LINES + 1)))


def test_a_text_is_taken_up_to_its_bound_and_bytes_that_are_no_text_are_named() -> None:
    assert given_text(BytesIO("Привет".encode())) == "Привет"
    with pytest.raises(LimitExceeded, match="standard input: has more than"):
        given_text(BytesIO(b"a" * (MAX_TEXT + 1)))
    with pytest.raises(InvalidInput, match="line 2: is not UTF-8"):
        given_lines(BytesIO(b"ann@x.example\n\xcf\xf0\n"))
