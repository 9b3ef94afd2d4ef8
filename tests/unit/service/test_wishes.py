"""Wishes of recipients beside other reasons that forbid their mail, and beside mail that is scheduled."""

from __future__ import annotations

import pytest

from core.events import SuppressionReason
from core.state import Suppression
from core.tokens import Purpose
from tests.unit.service.running import Caller
from tests.unit.service.test_recipients import SAVE, WISH, caller, link_of, reader

__all__ = ["caller"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("reason", "scope", "ends"),
    [
        (SuppressionReason.HARD_BOUNCE, "", False),  # lifted when it was a provider's outage
        (SuppressionReason.SUNSET, "bulk", False),  # lifted by a sign of life, such as the click that brings her here
        (SuppressionReason.MANUAL, "", True),
        (SuppressionReason.MANUAL, "bulk", True),
    ],
)
@pytest.mark.parametrize("page", [Purpose.UNSUBSCRIBE, Purpose.PREFERENCES])
async def test_leaving_is_stored_also_while_something_else_forbids_the_mail(
    caller: Caller, reason: SuppressionReason, scope: str, ends: bool, page: Purpose
) -> None:
    ned = await reader(caller, f"ned-{reason}-{scope}-{page}@example.net")
    parts = caller.service.parts
    now = parts.clock.now()
    entry = Suppression(
        address=ned.address, stream=scope, reason=reason, at=now, evidence="x", expires_at=(now + 100) * ends
    )
    await parts.stores.suppressions.add([entry])
    field = [("List-Unsubscribe", "One-Click")] if page is Purpose.UNSUBSCRIBE else [("off", "all")]
    for _ in range(2):
        assert (await ned.post(f"/{page}/{ned.token(page)}", field))[0] == 200
    entries = {e.stream: e for e in await parts.stores.suppressions.of_address(ned.address)}
    assert (entries["bulk"].reason, entries["bulk"].expires_at) == (SuppressionReason.UNSUBSCRIBE, 0.0)


async def test_at_most_one_a_week_is_counted_by_the_day_on_which_the_mail_is_to_come(caller: Caller) -> None:
    una = await reader(caller, "una@example.net")
    path = f"/p/{una.token(Purpose.PREFERENCES)}"
    topics = [("topic", "bulk/offers"), ("topic", "bulk/letter"), ("stream", "triggered")]
    await una.post(path, [SAVE, *topics, ("days:bulk", "7")])
    now = caller.service.parts.clock.now()
    found = []
    for days in (6, 8, 14):
        (row,) = await caller.inject(una.address, send_at=now + days * 86400)
        found.append(row["status"])
    assert found == ["accepted", "over_frequency", "accepted"]


async def test_asking_for_the_mail_lifts_what_was_made_of_a_long_silence(caller: Caller) -> None:
    stores = caller.service.parts.stores
    for name, by_page in (("old1", True), ("old2", False)):
        reader_ = await reader(caller, f"{name}@example.net")
        await stores.suppressions.add(
            [Suppression(address=reader_.address, stream="bulk", reason=SuppressionReason.SUNSET, at=1.0, evidence="x")]
        )
        if by_page:
            wish = [SAVE, ("topic", "bulk/offers"), ("topic", "bulk/letter"), ("stream", "triggered")]
            await reader_.post(f"/p/{reader_.token(Purpose.PREFERENCES)}", wish)
        else:
            _, asked = await caller.call("POST", "/v1/optins", {"address": reader_.address, **WISH}, token="inject")
            await reader_.post(await link_of(caller, asked["message_id"]), [("confirm", "1")])
        assert await reader_.scopes() == set()


async def test_the_list_is_given_whole_also_when_a_page_ends_with_two_entries_of_one_address(caller: Caller) -> None:
    stores = caller.service.parts.stores
    await stores.suppressions.add([
        Suppression(address=f"page{n}@zz.test", stream=scope, reason=SuppressionReason.MANUAL, at=1.0, evidence="x")
        for n in range(5) for scope in ("bulk", "triggered")
    ])  # fmt: skip
    for limit in (1, 3, 1000):
        found: list[tuple[str, str]] = []
        after: str | None = "pag"
        while after is not None:
            _, answer = await caller.call("GET", f"/v1/suppressions?limit={limit}&after={after}")
            found += [(row["address"], row["stream"]) for row in answer["suppressions"]]
            after = answer["next"]
        assert [one for one in found if one[0].endswith("@zz.test")] == [
            (f"page{n}@zz.test", scope) for n in range(5) for scope in ("bulk", "triggered")
        ]
        assert len(set(found)) == len(found)


MULTIPART = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("kind", "body", "leaves"),
    [
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click", True),
        ("application/x-www-form-urlencoded", b"List-Unsubscribe=One-Click\r\n", True),
        ("application/x-www-form-urlencoded; charset=UTF-8", b"List-Unsubscribe=one-click", True),
        ("multipart/form-data; boundary=x", MULTIPART, True),
        ("text/plain", b"List-Unsubscribe=One-Click", True),
        ("application/octet-stream", b"List-Unsubscribe=One-Click\r\n", True),
        ("application/x-www-form-urlencoded", b"", False),
        ("text/plain", b"", False),
        ("text/plain", b"List-Unsubscribe=No", False),
        ("multipart/form-data; boundary=x", b"--x\r\n", False),
    ],
)
async def test_one_click_acts_in_every_form_in_which_it_is_posted(
    caller: Caller, kind: str, body: bytes, leaves: bool
) -> None:
    eva = await reader(caller, f"eva{abs(hash((kind, body)))}@example.net")
    url = f"{caller.base}/u/{eva.token(Purpose.UNSUBSCRIBE).upper()}"
    async with caller.session.post(url, data=body, headers={"Content-Type": kind}, allow_redirects=False) as answer:
        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers
    assert (await eva.scopes() == {"bulk"}) is leaves


async def test_a_consent_asked_again_does_what_a_crash_left_undone_and_undoes_no_later_wish(caller: Caller) -> None:
    stores = caller.service.parts.stores
    max_ = await reader(caller, "max@example.net")
    _, asked = await caller.call("POST", "/v1/optins", {"address": max_.address, **WISH}, token="inject")
    path = await link_of(caller, asked["message_id"])
    await max_.post(path, [("confirm", "1")])
    left = Suppression(
        address=max_.address, stream="bulk", reason=SuppressionReason.UNSUBSCRIBE, at=1.0, evidence="before the consent"
    )
    await stores.suppressions.add([left])
    await max_.post(path, [("confirm", "1")])
    assert "bulk" not in await max_.scopes()
    await max_.post(f"/u/{max_.token(Purpose.UNSUBSCRIBE)}", [("List-Unsubscribe", "One-Click")])
    await max_.post(path, [("confirm", "1")])
    assert "bulk" in await max_.scopes()
