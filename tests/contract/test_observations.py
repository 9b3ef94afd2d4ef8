"""core.ports.Observations on both databases."""

from __future__ import annotations

from dataclasses import replace

from core.state import Observation
from storage.stores import Stores

RATE = Observation(feed="gpt", subject="news.example", metric="spam_rate", day=20_000, value=0.001)


async def test_a_later_figure_for_the_same_day_replaces_the_earlier(stores: Stores) -> None:
    better = replace(RATE, value=0.002, counted=1000, interval=(0.0005, 0.0078), text="late")
    await stores.observations.put([RATE, replace(RATE, day=20_001)])
    await stores.observations.put([better])
    await stores.observations.put([])
    assert await stores.observations.page() == [replace(RATE, day=20_001), better]


async def test_a_page_is_narrowed_by_each_part_and_bounded(stores: Stores) -> None:
    other = Observation(feed="snds", subject="192.0.2.1", metric="filter", day=20_002, value=1.0, text="YELLOW")
    await stores.observations.put([RATE, other])
    page = stores.observations.page
    assert await page(feed="snds") == [other]
    assert await page(subject="news.example") == [RATE]
    assert await page(metric="filter") == [other]
    assert await page(since_day=20_001) == [other]
    assert await page(limit=1) == [other]
    assert await page(feed="gpt", metric="filter") == []
