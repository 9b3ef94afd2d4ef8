"""The page of requirement sheets: every row in two languages, with its state, what shows it and how old that is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from config.load import load_sheets
from config.model import Feed
from core.lane import day_of
from core.state import Observation
from service.feeds import build_feeds
from service.web.requirements_page import EN, RU, add_requirements_page
from service.web.sheets_api import FEEDS
from storage.stores import open_stores
from tests.unit.collectors.watch_zone import Zone
from tests.unit.service.test_dashboard import Page
from tests.unit.service.test_feeds import GOOD, NOW, Lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    stores = await open_stores("sqlite://", inline=True)
    async with aiohttp.ClientSession() as session:
        yield Lab(stores, session, tmp_path)
    await stores.close()


async def page_of(lab: Lab, *languages: str, later: float = 0.0) -> list[str]:
    feed = Feed(name="gpt", kind="google", secret_file=Path("none"), subjects=["news.example"])
    app = web.Application()
    app[FEEDS] = build_feeds(
        lab.settings.model_copy(update={"feeds": [feed]}), resolver=Zone(GOOD), stores=lab.stores, clock=lab.clock,
        session=lab.session, sandbox=True,
    )  # fmt: skip
    add_requirements_page(app)
    async with TestClient(TestServer(app)) as client:
        found = []
        for language in languages:
            answer = await client.get(f"/requirements?lang={language}")
            assert answer.status == 200
            found.append(await answer.text())
            lab.clock.advance(later)
    return found


async def test_every_row_of_every_sheet_is_told_in_both_languages(lab: Lab) -> None:
    assert set(EN) == set(RU)
    english, russian = await page_of(lab, "en", "ru")
    for sheet in load_sheets():
        for row in sheet.rows:
            assert f'id="{sheet.provider}-{row.id}"' in english
            assert Page(row.what_en).text in Page(english).text
            assert Page(row.what_ru).text in Page(russian).text
    assert EN["heading"] in english
    assert RU["heading"] in russian


async def test_the_page_needs_no_script_and_no_colour(lab: Lab) -> None:
    (text,) = await page_of(lab, "en")
    page = Page(text)
    assert not [tag for tag, attrs in page.tags if tag in ("script", "style") or "style" in attrs]
    assert sum(tag == "h1" for tag, _ in page.tags) == 1
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    chips = [attrs for tag, attrs in page.tags if tag == "span" and "chip" in (attrs.get("class") or "")]
    rows = sum(len(sheet.rows) for sheet in load_sheets())
    assert len(chips) == rows
    assert sum(page.words.count(EN[word]) for word in ("pass", "fail", "unknown")) == rows


async def test_the_age_of_the_evidence_stands_in_its_row(lab: Lab) -> None:
    day = day_of(NOW)
    await lab.stores.observations.put(
        [Observation(feed="gpt", subject="news.example", metric="spam_rate", day=day - 3, value=0.004)]
    )
    fresh, later = await page_of(lab, "en", "en", later=600)

    def row(text: str, name: str) -> str:
        return text.split(f'id="{name}"')[1].split("</tr>")[0]

    assert EN["fresh"] in row(fresh, "gmail-spf")
    assert "<td>10\u00a0min</td>" in row(later, "gmail-spf"), "DNS is not asked again within a quarter of an hour"
    assert "0.40%" in row(fresh, "gmail-spam_rate")
    assert "<td>2\u00a0d</td>" in row(fresh, "gmail-spam_rate")
    assert "<td>–</td>" in row(fresh, "gmail-visible_unsubscribe")


async def test_what_a_provider_wrote_is_text(lab: Lab) -> None:
    await lab.stores.observations.put(
        [
            Observation(
                feed="gpt", subject="news.example", metric="compliance.encryption", day=day_of(NOW) - 1, value=0.0,
                text="<script>alert(1)</script>",
            )
        ]
    )  # fmt: skip
    (text,) = await page_of(lab, "en")
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text
