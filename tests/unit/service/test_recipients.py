"""The pages of recipients on a running service: wishes, consents, opens and clicks; and what strangers cannot do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from core.clock import FixedClock
from core.events import Clicked, Delivered, Opened, SuppressionReason, Unsubscribed
from core.lane import Attribution, Campaign, Lane, Provider, SendingDomain, Source, Stream, Traffic, cohort_of
from core.links import sign_link
from core.reply import Reply
from core.state import Suppression
from core.tokens import MessageId, Purpose
from service.web.public import Limiter
from tests.unit.service.running import Caller, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXTRA = """
[optins]
sender = "News <news@example.com>"
per_address_per_day = 2
[[topics]]
name = "offers"
stream = "bulk"
title_en = "Offers"
title_ru = "Предложения"
[[topics]]
name = "letter"
stream = "bulk"
title_en = "Letter <b>"
"""
FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Caller]:
    """One service for the whole file: each test uses addresses of its own."""
    async with running(tmp_path_factory.mktemp("service"), EXTRA) as made:
        yield made


class Reader:
    """One recipient with a message."""

    def __init__(self, caller: Caller, address: str, message_id: str) -> None:
        self.caller = caller
        self.address = address
        self.message_id = MessageId(message_id)

    def token(self, purpose: Purpose) -> str:
        parts = self.caller.service.parts
        return parts.signer.sign(purpose, self.message_id, parts.clock.now())

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        async with self.caller.session.request(
            method, self.caller.base + path, headers=headers, allow_redirects=False
        ) as answer:
            return answer, (await answer.read()).decode("utf-8", "replace")

    async def post(self, path: str, fields: list[tuple[str, str]]) -> tuple[int, str]:
        async with self.caller.session.post(self.caller.base + path, data=aiohttp.FormData(fields)) as answer:
            return answer.status, await answer.text()

    async def scopes(self) -> set[str]:
        stores = self.caller.service.parts.stores
        return {entry.stream for entry in await stores.suppressions.of_address(self.address)}

    async def deliver(self, ago: float, campaign: str = "") -> None:
        parts = self.caller.service.parts
        now = parts.clock.now()
        lane = Lane(source=Source("a"), sending_domain=SendingDomain("example.com"), provider=Provider("gmail"))
        traffic = Traffic(lane=lane, stream=Stream("bulk"), campaign=Campaign(campaign))
        under = Attribution(traffic=traffic, cohort=cohort_of(now))
        await parts.stores.log.append([
            Delivered(
                at=now - ago, message_id=self.message_id, recipient=self.address,
                attribution=under,
                site="x", remote="x", reply=Reply(code=250, text="ok"), attempt=1, tls="", latency=0.0,
            )
        ])  # fmt: skip


async def reader(caller: Caller, address: str, **more: object) -> Reader:
    (row,) = await caller.inject(address, **more)
    assert row["status"] == "accepted", row
    return Reader(caller, address, row["id"])


SAVE = ("save", "1")


# --- wishes ----------------------------------------------------------------------------------------------------------
async def test_the_page_shows_what_is_on_offer_and_changes_nothing(caller: Caller) -> None:
    ann = await reader(caller, "ann@example.net")
    answer, text = await ann.get(f"/p/{ann.token(Purpose.PREFERENCES)}")
    assert answer.status == 200
    assert "Set-Cookie" not in answer.headers
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert re.findall(r'name="topic" value="([^"]+)" checked', text) == ["bulk/offers", "bulk/letter"]
    assert 'name="stream" value="triggered" checked' in text
    assert "transactional" not in text, "receipts are no matter of wishes"
    assert "Letter &lt;b&gt;" in text
    assert await ann.scopes() == set()


async def test_the_page_speaks_russian_when_asked(caller: Caller) -> None:
    ann = await reader(caller, "anna@example.net")
    path = f"/p/{ann.token(Purpose.PREFERENCES)}"
    for answer in (await ann.get(f"{path}?lang=ru"), await ann.get(path, **{"Accept-Language": "ru-RU,ru;q=0.9"})):
        assert '<html lang="ru">' in answer[1]
        assert "Предложения" in answer[1]
        assert "Сохранить" in answer[1]


async def test_a_topic_that_is_left_is_refused_at_the_door_and_others_are_not(caller: Caller) -> None:
    bob = await reader(caller, "bob@example.net")
    path = f"/p/{bob.token(Purpose.PREFERENCES)}"
    status, text = await bob.post(path, [SAVE, ("topic", "bulk/letter"), ("stream", "triggered"), ("days:bulk", "0")])
    assert status == 200
    assert "Saved." in text
    assert await bob.scopes() == {"bulk/offers"}
    (row,) = await caller.inject(bob.address, topic="offers", idempotency_key="bob-1")
    assert (row["status"], row["reason"]) == ("suppressed", "unsubscribe")
    (row,) = await caller.inject(bob.address, topic="letter")
    assert row["status"] == "accepted"
    await bob.post(path, [SAVE, ("topic", "bulk/letter"), ("topic", "bulk/offers"), ("stream", "triggered")])
    assert await bob.scopes() == set()


async def test_all_off_holds_for_later_streams_and_spares_receipts_and_may_be_taken_back_in_part(
    caller: Caller,
) -> None:
    cat = await reader(caller, "cat@example.net")
    await cat.deliver(ago=60)
    path = f"/p/{cat.token(Purpose.PREFERENCES)}"
    status, text = await cat.post(path, [("off", "all")])
    assert (status, "gets none of these mails" in text) == (200, True)
    assert await cat.scopes() == {"*", "bulk", "triggered"}
    events = [x.event for x in await caller.service.parts.stores.log.of_message(cat.message_id)]
    assert sum(isinstance(event, Unsubscribed) for event in events) == 1
    assert (await caller.inject(cat.address))[0]["status"] == "suppressed"
    assert (await caller.inject(cat.address, stream="transactional"))[0]["status"] == "accepted"
    await cat.post(path, [SAVE, ("stream", "triggered")])
    assert await cat.scopes() == {"bulk"}


async def test_how_often_is_kept_and_held(caller: Caller) -> None:
    dan = await reader(caller, "dan@example.net")
    path = f"/p/{dan.token(Purpose.PREFERENCES)}"
    both = [("topic", "bulk/letter"), ("topic", "bulk/offers"), ("stream", "triggered")]
    _, text = await dan.post(path, [SAVE, *both, ("days:triggered", "7"), ("days:bulk", "12345")])
    assert 'name="days:triggered" value="7" checked' in text
    assert 'name="days:bulk" value="0" checked' in text, "a number that is not on offer is no wish"
    assert (await caller.inject(dan.address, stream="triggered"))[0]["status"] == "accepted"
    (row,) = await caller.inject(dan.address, stream="triggered")
    assert row["status"] == "over_frequency"
    assert "7 days" in row["reason"]


async def test_nobody_takes_back_a_complaint_or_a_bounce_on_the_page(caller: Caller) -> None:
    eve = await reader(caller, "eve@example.net")
    stores = caller.service.parts.stores
    entry = Suppression(address=eve.address, stream="", reason=SuppressionReason.COMPLAINT, at=0.0, evidence="arf")
    await stores.suppressions.add([entry])
    status, text = await eve.post(f"/p/{eve.token(Purpose.PREFERENCES)}", [SAVE, ("stream", "triggered")])
    assert status == 200
    assert 'role="alert"' in text
    assert "" in await eve.scopes()


async def test_a_form_that_says_nothing_changes_nothing(caller: Caller) -> None:
    fay = await reader(caller, "fay@example.net")
    path = f"/p/{fay.token(Purpose.PREFERENCES)}"
    assert (await fay.post(path, [("x", "1")]))[0] == 200
    assert await fay.scopes() == set()
    assert (await fay.post(path, [("x", "y" * 20_000)]))[0] == 413
    async with caller.session.post(
        caller.base + path, data=b"--x\r\nbroken", headers={"Content-Type": "multipart/form-data; boundary=x"}
    ) as answer:
        assert answer.status in (200, 400)
    assert await fay.scopes() == set()


# --- leaving ---------------------------------------------------------------------------------------------------------
async def test_leaving_takes_one_post_and_a_look_takes_nothing(caller: Caller) -> None:
    gus = await reader(caller, "gus@example.net")
    path = f"/u/{gus.token(Purpose.UNSUBSCRIBE)}"
    for method in ("GET", "HEAD"):
        assert (await gus.get(path, method=method))[0].status == 200
    assert await gus.scopes() == set()
    _, text = await gus.get(path)
    link = re.search(r'href="(/p/[a-z2-7]+\?lang=en)"', text)
    assert link is not None
    assert (await gus.get(link[1]))[0].status == 200
    status, _ = await gus.post(path, [("List-Unsubscribe", "One-Click")])
    assert status == 200
    assert await gus.scopes() == {"bulk"}


@pytest.mark.parametrize("page", ["/u/", "/p/", "/o/", "/c/"])
async def test_a_token_for_another_page_proves_nothing(caller: Caller, page: str) -> None:
    hal = await reader(caller, f"hal{'upoc'.index(page[1])}@example.net")
    for purpose in Purpose:
        if purpose == page[1]:
            continue
        answer, text = await hal.get(page + hal.token(purpose))
        assert answer.status == 404
        assert hal.address not in text
    assert await hal.scopes() == set()


# --- consents --------------------------------------------------------------------------------------------------------
WISH = {
    "stream": "bulk", "topics": ["letter"], "wording": "Send me the letter <b>", "page": "https://example.com/join",
    "ip": "198.51.100.7", "agent": "Firefox",
}  # fmt: skip


async def link_of(caller: Caller, message_id: str) -> str:
    row = await caller.service.parts.stores.queue.find(MessageId(message_id))
    assert row is not None
    assert row.stream == "transactional"
    return row.variables["confirm_url"].removeprefix(caller.base)


async def test_an_opt_in_is_asked_confirmed_once_and_proven(caller: Caller) -> None:
    ida = await reader(caller, "ida@example.net")
    await ida.post(f"/p/{ida.token(Purpose.PREFERENCES)}", [("off", "all")])
    status, asked = await caller.call("POST", "/v1/optins", {"address": "Ida@Example.NET", **WISH}, token="inject")
    assert (status, asked["status"]) == (202, "sent")
    path = await link_of(caller, asked["message_id"])
    for method in ("HEAD", "GET"):
        answer, text = await ida.get(path, method=method)
        assert answer.status == 200
    assert "Send me the letter &lt;b&gt;" in text
    (row,) = (await caller.call("GET", "/v1/consents/ida@example.net"))[1]["consents"]
    assert row["confirmed_at"] is None, "a look confirms nothing"
    assert (await ida.post(path, []))[0] == 200
    assert (await ida.post(path, [("confirm", "1")]))[0] == 200
    (row,) = (await caller.call("GET", "/v1/consents/ida@example.net"))[1]["consents"]
    first = row["confirmed_at"]
    assert (row["scopes"], row["wording"], row["requested_ip"]) == (["bulk/letter"], WISH["wording"], "198.51.100.7")
    assert (row["confirmed_ip"], row["page"]) == ("127.0.0.1", WISH["page"])
    assert await ida.scopes() == {"triggered", "bulk/offers"}, "what was not asked for stays off"
    await ida.post(path, [("confirm", "1")])
    assert (await caller.call("GET", "/v1/consents/ida@example.net"))[1]["consents"][0]["confirmed_at"] == first


async def test_a_form_on_the_web_cannot_flood_an_address(caller: Caller) -> None:
    answers = [
        await caller.call("POST", "/v1/optins", {"address": "joe@example.net", **WISH}) for _ in range(3)
    ]  # fmt: skip
    assert [status for status, _ in answers] == [202, 202, 429]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stream": "transactional"}, "stream"), ({"topics": ["nope"]}, "topics"), ({"wording": " "}, "wording"),
        ({"ip": "here"}, "ip"), ({"address": "x"}, "address"), ({"from": "x@other.test"}, "from"),
        ({"subject": "s", "text": "no link"}, "text, html"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_request_is_named(caller: Caller, change: dict[str, object], field: str) -> None:
    status, answer = await caller.call("POST", "/v1/optins", {"address": "kim@example.net", **WISH, **change})
    assert (status, answer["error"]["field"]) == (422, field)
    assert (await caller.call("GET", "/v1/consents/kim@example.net"))[1]["consents"] == []


async def test_an_old_link_confirms_nothing(caller: Caller) -> None:
    leo = await reader(caller, "leo@example.net")
    _, asked = await caller.call("POST", "/v1/optins", {"address": leo.address, **WISH})
    path = await link_of(caller, asked["message_id"])
    optins = caller.service.parts.desk.optins
    before, optins._clock = optins._clock, FixedClock(caller.service.parts.clock.now() + 8 * 86400)
    try:
        for status in ((await leo.get(path))[0].status, (await leo.post(path, [("confirm", "1")]))[0]):
            assert status == 410
    finally:
        optins._clock = before
    assert (await caller.call("GET", f"/v1/consents/{leo.address}"))[1]["consents"][0]["confirmed_at"] is None


# --- opens and clicks ------------------------------------------------------------------------------------------------
async def test_opens_and_clicks_of_people_and_machines_are_counted_apart(caller: Caller) -> None:
    mia = await reader(caller, "mia@example.net", campaign="spring")
    await mia.deliver(ago=600, campaign="spring")
    parts = caller.service.parts
    path = f"/c/{sign_link(parts.signer, mia.message_id, 'https://shop.example.com/?a=1', parts.clock.now())}"
    for _ in range(2):
        answer, _ = await mia.get(path, **FIREFOX)
        assert (answer.status, answer.headers["Location"]) == (302, "https://shop.example.com/?a=1")
        assert "Set-Cookie" not in answer.headers
    assert (await mia.get(path, method="HEAD", **FIREFOX))[0].status == 302
    pixel = f"/t/{mia.token(Purpose.OPEN)}.gif"
    for agent in (FIREFOX["User-Agent"], "Mozilla/5.0"):
        answer, _ = await mia.get(pixel, **{"User-Agent": agent})
        assert (answer.status, answer.content_type) == (200, "image/gif")
        assert answer.headers["Cache-Control"] == "no-store"
    await parts.desk.stop()
    events = [x.event for x in await parts.stores.log.of_message(mia.message_id)]
    assert sorted((type(e).__name__, e.actor.value) for e in events if isinstance(e, Opened | Clicked)) == [
        ("Clicked", "human"), ("Clicked", "machine"), ("Opened", "human"), ("Opened", "machine"),
    ]  # fmt: skip
    while await parts.projector.step():
        pass
    rows = (await caller.call("GET", "/v1/engagement?days=1"))[1]["engagement"]
    row = next(r for r in rows if r["campaign"] == "spring" and r["delivered"])
    assert (row["opened_human"], row["opened_machine"], row["clicked_human"], row["clicked_machine"]) == (1, 1, 1, 1)
    assert row["open_rate"] == row["click_rate"] == 1.0
    assert (await caller.call("GET", "/v1/engagement?days=x"))[0] == 422


async def test_a_forged_link_leads_nowhere_and_a_forged_pixel_is_an_empty_picture(caller: Caller) -> None:
    ned = await reader(caller, "ned@example.net")
    parts = caller.service.parts
    good = sign_link(parts.signer, ned.message_id, "https://shop.example.com/", parts.clock.now())
    evil = sign_link(parts.signer, ned.message_id, "https://evil.example.com/", parts.clock.now())
    for link in (good[:42] + evil[42:], good[:-1], "x" * 60, good[:42]):
        answer, _ = await ned.get(f"/c/{link}")
        assert answer.status == 404
        assert "Location" not in answer.headers
    assert (await ned.get("/t/nonsense.gif"))[0].status == 200
    assert parts.desk.recorder.waiting == 0


async def test_guessing_is_slowed_and_valid_links_of_the_same_address_are_not(caller: Caller) -> None:
    oda = await reader(caller, "oda@example.net")
    path = f"/u/{oda.token(Purpose.UNSUBSCRIBE)}"
    guesser = {"X-Forwarded-For": "203.0.113.66"}
    statuses = [(await oda.get(f"/u/{'a' * 42}", **guesser))[0].status for _ in range(80)]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    assert (await oda.get(path, **guesser))[0].status == 200
    assert (await oda.get(f"/u/{'a' * 42}", **{"X-Forwarded-For": "203.0.113.66, 203.0.113.67"}))[0].status == 404


async def test_a_bucket_fills_again_and_is_bounded() -> None:
    now = 0.0
    limiter = Limiter(burst=3, seconds=1.0, ticks=lambda: now)
    assert [limiter.takes("a") for _ in range(5)] == [True, True, True, False, False]
    assert limiter.takes("b")
    now = 1.0
    assert [limiter.takes("a") for _ in range(2)] == [True, False]
    for n in range(25_000):
        limiter.takes(str(n))
    assert len(limiter._full_at) <= 20_000
