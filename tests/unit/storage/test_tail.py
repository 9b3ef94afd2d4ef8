"""Whoever reads through the tail of the log reads what a look at the whole log would have given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.events import Door, IntakeRefused, Logged
from storage.tail import Tail

EVENT = IntakeRefused(at=0.0, recipient="a", stream="bulk", campaign="", door=Door.HTTP, reason="")
steps = st.lists(
    st.tuples(
        st.lists(st.integers(1, 3), max_size=6),  # how far apart the new events of the log are
        st.integers(0, 3),  # which follower looks then
        st.integers(1, 5),  # at how many
    ),
    max_size=30,
)


def rows(*seqs: int) -> list[Logged]:
    return [Logged(seq=seq, event=EVENT) for seq in seqs]


@given(steps, st.integers(1, 8))
def test_no_follower_misses_an_event_or_sees_one_twice(steps: list[tuple[list[int], int, int]], most: int) -> None:
    tail, log, seen, head = Tail(most), list[Logged](), {n: list[Logged]() for n in range(4)}, 0
    for gaps, who, limit in steps:
        for gap in gaps:
            head += gap
            log += rows(head)
        after = seen[who][-1].seq if seen[who] else 0
        known = tail.after(after, limit)
        begin = after if known is None else tail.end
        fresh = [row for row in log if row.seq > begin][: limit - len(known or [])]
        tail.extend(begin, fresh)
        seen[who] += [*(known or []), *fresh]
        assert seen[who] == log[: len(seen[who])]
        assert tail.after(tail.begin, 1 << 30) == [row for row in log if tail.begin < row.seq <= tail.end]
        assert len(tail.after(tail.begin, 1 << 30) or []) <= most


def test_it_says_nothing_of_what_lies_before_or_beyond_it() -> None:
    tail = Tail(2)
    tail.extend(4, rows(5, 7, 9))
    assert tail.after(4, 9) is None, "the oldest made room"
    assert tail.after(5, 9) == rows(7, 9)
    assert tail.after(9, 9) == []
    assert tail.after(10, 9) is None


def test_a_look_far_beyond_its_end_begins_it_anew_and_one_at_old_events_leaves_it() -> None:
    tail = Tail()
    tail.extend(0, rows(1, 2))
    tail.extend(50, rows(51, 52))
    assert (tail.begin, tail.end) == (50, 52)
    tail.extend(0, rows(1, 2, 3))
    assert tail.after(50, 9) == rows(51, 52)
