"""Processes of one node divide a provider's connections: together they never have more than it allows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sender.limiting.book import part_of


@given(connections=st.integers(1, 1000), of=st.integers(1, 64))
def test_the_parts_add_up_to_the_limit(connections: int, of: int) -> None:
    parts = [part_of(connections, index, of) for index in range(of)]
    assert sum(parts) == connections
    assert max(parts) - min(parts) <= 1


def test_one_process_has_all_of_it() -> None:
    assert part_of(10, 0, 1) == 10
