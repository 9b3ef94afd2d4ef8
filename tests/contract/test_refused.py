"""Originals of refused reports on both databases: each once, bounded in number, bytes and age."""

from __future__ import annotations

import pytest

from core.reports import Original
from storage import refused
from storage.stores import Stores

NOW = 1_764_072_000.0


def original(at: float, problem: str = "a.xml: broken_xml: no report can be recovered", **changes: object) -> Original:
    given: dict[str, object] = {"is_mail": True, "sender": "d@mailhaus.example", "name": "", "peer": "192.0.2.7"}
    return Original(at=at, problem=problem, **{**given, **changes})  # type: ignore[arg-type]


async def test_what_is_kept_comes_back_as_it_came(stores: Stores) -> None:
    content = bytes(range(256))
    await stores.refused_reports.keep(original(NOW), content, dull=False)
    await stores.refused_reports.keep(original(NOW + 5, "later"), content, dull=False)
    (one,) = await stores.refused_reports.kept()
    assert (one.at, one.problem, one.sender, one.peer, one.size) == (
        NOW + 5, "later", "d@mailhaus.example", "192.0.2.7", 256,
    )  # fmt: skip
    assert await stores.refused_reports.content(one.number) == content
    await stores.refused_reports.drop(one.number)
    assert await stores.refused_reports.kept() == []
    assert await stores.refused_reports.content(one.number) is None


async def test_rubbish_gives_way_first_then_the_oldest(stores: Stores) -> None:
    for number in range(5):
        content = bytes([number]) * refused.MAX_ONE
        await stores.refused_reports.keep(original(NOW + number, f"{number}"), content, dull=number == 4)
    assert [one.problem for one in await stores.refused_reports.kept()] == ["4", "3", "2", "1", "0"]
    await stores.refused_reports.keep(original(NOW + 9, "9"), b"9" * refused.MAX_ONE, dull=False)
    assert [one.problem for one in await stores.refused_reports.kept()] == ["9", "3", "2", "1", "0"]
    await stores.refused_reports.keep(original(NOW + 10, "rubbish"), b"r" * refused.MAX_ONE, dull=True)
    assert [one.problem for one in await stores.refused_reports.kept()] == ["9", "3", "2", "1", "0"]
    await stores.refused_reports.keep(original(NOW + 11, "11"), b"1" * refused.MAX_ONE, dull=False)
    assert [one.problem for one in await stores.refused_reports.kept()] == ["11", "9", "3", "2", "1"]


@pytest.mark.parametrize("size", [0, refused.MAX_ONE + 1])
async def test_the_empty_and_the_huge_are_not_kept(stores: Stores, size: int) -> None:
    await stores.refused_reports.keep(original(NOW), b"x" * size, dull=False)
    assert await stores.refused_reports.kept() == []


async def test_they_are_forgotten_in_time(stores: Stores) -> None:
    await stores.refused_reports.keep(original(NOW), b"old", dull=False)
    await stores.refused_reports.keep(original(NOW + 60), b"new", dull=False)
    await stores.refused_reports.forget(NOW + refused.MAX_AGE + 30)
    assert [one.at for one in await stores.refused_reports.kept()] == [NOW + 60]


async def test_texts_of_strangers_hold_no_control_characters(stores: Stores) -> None:
    await stores.refused_reports.keep(original(NOW, "a\0b\x1b[2J", name="x\ny", sender="\0"), b"x", dull=False)
    (one,) = await stores.refused_reports.kept()
    assert (one.problem, one.name, one.sender) == ("a b [2J", "x y", " ")
