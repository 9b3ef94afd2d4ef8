"""The page of reports and its API: named, escaped, in two languages, and nothing of a forgery but its number."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from core.reports import SentCount, SentKey, SourceKind, SourceName
from service.reports import Reports
from service.web.auth import errors_as_json
from service.web.dmarc_page import EN, RU, add_page, evidence_words
from service.web.reports_api import REPORTS, VIEWS, post_reports
from tests.unit.collectors.report_world import xml
from tests.unit.service.test_report_watch import FORGED, reports, store

__all__ = ["reports"]  # the fixture
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client(reports: Reports) -> AsyncIterator[Client]:  # pytest's way
    app = web.Application(middlewares=[errors_as_json])
    app[REPORTS] = reports
    add_page(app)
    app.router.add_post("/v1/reports", post_reports)
    for path, handler, _ in VIEWS:
        app.router.add_get(path, handler)
    async with TestClient(TestServer(app)) as opened:
        yield opened


async def test_the_page_answers_in_both_languages_before_any_report(client: Client) -> None:
    assert set(EN) == set(RU)
    for language in ("en", "ru"):
        assert (await client.get(f"/dmarc?lang={language}")).status == 200


async def test_the_picture_holds_what_was_reported(reports: Reports) -> None:
    for day in range(19_980, 20_000):
        await store(reports, day)
    await store(reports, 19_999, 70, ip="203.0.113.6", good=False)
    await store(reports, 19_999, 9_999, ip="203.0.113.7", origin=FORGED)
    named = SourceName(ip="203.0.113.6", kind=SourceKind.SERVICE, name="<script>x</script>", evidence="PTR <b>")
    await reports.stores.dmarc.put_names([named, replace(named, ip="203.0.113.8")], 1.0)
    app = web.Application()
    app[REPORTS] = reports
    add_page(app)
    async with TestClient(TestServer(app)) as client:
        text = await (await client.get("/dmarc?lang=ru")).text()
    assert "&lt;script&gt;x" in text
    assert "<script" not in text
    assert "mta1" in text
    assert RU["heading"] in text
    assert "203.0.113.7" not in text
    assert f"1 {RU['apart']}" in text


async def test_the_page_says_what_explains_a_difference(client: Client, reports: Reports) -> None:
    reports.providers = {"receiver.example": ("gmail",)}
    sent = []
    for day, delivered, refused, reported in ((19_997, 100, 2, 102), (19_998, 100, 0, 101), (19_999, 100, 0, 99)):
        await store(reports, day, reported)
        key = SentKey(hour=day * 24, source="mta1", sending_domain="news.example", provider="gmail", stream="bulk")
        sent.append(SentCount(key=key, delivered=delivered, refused=refused))
    await reports.stores.sent.add(0, 1, sent, [])
    for language, words in (("en", EN), ("ru", RU)):
        text = await (await client.get(f"/dmarc?lang={language}")).text()
        assert f"+2<small>{words['after']}</small>" in text
        assert f"+1<small>{words['turned']}</small>" in text
        assert text.count(words["turned"]) == 2


async def test_views_answer_and_wrong_questions_are_told(client: Client) -> None:
    answer = await client.post(
        "/v1/reports?filename=r.xml", data=xml(begin=19_999 * 86_400, end=20_000 * 86_400 - 1).encode()
    )
    assert (answer.status, (await answer.json())["stored"]) == (202, 1)
    for path, _, _ in VIEWS:
        assert (await client.get(path.replace("{id}", "1"))).status == 200, path
    assert (await client.get("/v1/reports/99")).status == 404
    assert (await client.get("/v1/reports/tally?by=nonsense")).status == 422
    assert (await client.post("/v1/reports", data=b"")).status == 422


async def test_a_source_opens_by_selector_reporter_and_day(client: Client, reports: Reports) -> None:
    await store(reports, 19_999, 70, ip="203.0.113.6", good=False)
    page = await (await client.get("/dmarc?source=203.0.113.6")).text()
    assert "Source 203.0.113.6 closer" in page
    assert "2024-10-03" in page
    assert "?lang=ru&amp;source=203.0.113.6" in page
    assert "closer" not in await (await client.get("/dmarc?source=<b>")).text()
    answer = await client.get("/v1/reports/tally?by=dkim_selector,day&day=2024-10-03&source_ip=203.0.113.6")
    assert [row["messages"] for row in (await answer.json())["rows"]] == [70]
    assert (await client.get("/v1/reports/tally?day=yesterday")).status == 422


@pytest.mark.parametrize(
    ("text", "russian"),
    [
        ("address of source mta1", "адрес источника mta1"),
        ("SPF passes for b.example", "SPF проходит для b.example"),
        (
            "our signature p1._domainkey.a.example survived, SPF did not, the return path was rewritten",
            "наша подпись p1._domainkey.a.example цела, SPF — нет, обратный адрес переписан",
        ),
        ("PTR mx.example", "PTR mx.example"),
    ],
)
def test_evidence_is_told_in_the_language_of_the_page(text: str, russian: str) -> None:
    assert (evidence_words(text, "ru"), evidence_words(text, "en")) == (russian, text)
