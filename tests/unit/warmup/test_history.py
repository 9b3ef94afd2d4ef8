"""A history from elsewhere: what it allows, what is refused with its line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput, LimitExceeded
from core.lane import day_of
from tests.unit.warmup.world import NOON, plan
from warmup.history import MAX_BYTES, Known, imported, levels, read_history

TODAY = day_of(NOON)
KNOWN = Known(sources={"a"}, domains={"news.example"}, providers={"gmail", "yahoo"}, today=TODAY)
HEAD = "day,source,domain,provider,sent,complaints,bounces"


def iso_day(ago: int) -> str:
    return datetime.fromtimestamp(NOON - ago * 86400, UTC).date().isoformat()


def history(*rows: str) -> bytes:
    return "\n".join([HEAD, *rows]).encode()


def row(ago: int, sent: int, complaints: int = 0, bounces: int = 0, provider: str = "gmail") -> str:
    return f"{iso_day(ago)},a,news.example,{provider},{sent},{complaints},{bounces}"


def test_a_lane_begins_at_its_best_untroubled_day_of_late() -> None:
    rows = read_history(history(row(3, 400), row(2, 620), row(1, 900, complaints=9)), KNOWN)
    (level,) = levels(rows)
    begun = imported(level, plan(), NOON)
    assert (level.peak, begun.cap, begun.last_sent_day, begun.finished) == (620, 506, TODAY - 1, False)
    assert "620 a day" in begun.reason


def test_what_was_sent_long_ago_counts_less_and_after_a_month_not_at_all() -> None:
    caps = [imported(levels(read_history(history(row(ago, 900)), KNOWN))[0], plan(), NOON).cap for ago in (1, 22, 40)]
    assert caps == [759, 337, 100]


def test_who_sent_more_than_the_target_is_warm() -> None:
    (level,) = levels(read_history(history(row(1, 5000)), KNOWN))
    assert imported(level, plan(), NOON).finished


def test_unknown_sites_are_one_lane_and_their_days_add_up() -> None:
    rows = [row(1, 200, provider="other:mx.a.example"), row(1, 300, provider="other:mx.b.example")]
    (level,) = levels(read_history(history(*rows), KNOWN))
    assert (level.lane.provider, level.peak) == ("other", 500)


def test_the_same_history_has_the_same_digest_in_any_order() -> None:
    forth, back = [
        levels(read_history(history(*rows), KNOWN)) for rows in ([row(1, 5), row(2, 6)], [row(2, 6), row(1, 5)])
    ]
    assert forth == back


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["2026-99-01,a,news.example,gmail,5,0,0"], "line 2 day: '2026-99-01' is no date"),
        ([row(-3, 5)], "line 2 day: .* is not in the past"),
        ([row(1, 5).replace(",a,", ",z,")], "line 2 source: 'z' is not configured .known: a."),
        ([row(1, 5).replace("news", "olds")], "line 2 domain: 'olds.example' is not configured"),
        ([row(1, 5, provider="gmial")], "line 2 provider: 'gmial' is unknown"),
        ([row(1, 5).replace(",5,", ",5.5,")], "line 2 sent: '5.5' is no whole number"),
        ([row(1, 5, complaints=6)], "line 2 complaints, bounces: are more than was sent"),
        ([row(2, 5), row(1, 5), row(2, 7)], "line 4 repeats the lane and day of line 2"),
        ([row(1, 5) + ",9"], "line 2 has 8 fields, the header 7"),
        ([row(1, 5), "x", row(2, 5, provider="q")], "line 3 has 1 fields.*; line 4 provider"),
        ([], "holds no rows"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line(rows: list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_history(history(*rows), KNOWN)


def test_a_wrong_header_a_wrong_encoding_and_a_huge_file_are_told() -> None:
    with pytest.raises(InvalidInput, match="line 1: misses provider"):
        read_history(b"day,source,domain,sent\n", KNOWN)
    with pytest.raises(InvalidInput, match="unknown column 'opens'"):
        read_history(f"{HEAD},opens\n".encode(), KNOWN)
    with pytest.raises(InvalidInput, match="no UTF-8"):
        read_history(b"\xff\xfe", KNOWN)
    with pytest.raises(LimitExceeded):
        read_history(b"x" * (MAX_BYTES + 1), KNOWN)


def test_an_adaptive_plan_begins_at_the_level_itself_which_counts_as_good() -> None:
    level = levels(read_history(history(row(1, 900)), KNOWN))[0]
    begun = imported(level, plan(controller="adaptive"), NOON)
    assert (begun.cap, begun.control.good, begun.finished) == (900, 900, False)
    assert imported(level, plan(), NOON).cap < 900


@given(st.binary(max_size=300))
def test_whatever_stands_in_the_file_there_is_an_answer_or_a_clear_error(content: bytes) -> None:
    for text in (content, HEAD.encode() + b"\n" + content):
        try:
            read_history(text, KNOWN)
        except InvalidInput:
            continue
