"""A person's word over warm-up through the running service's API: who, why, until; and what the log tells of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from tests.unit.service.running import TOKENS, Caller, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
LANE = "{source}|{domain}|{provider}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Caller]:
    async with running(tmp_path_factory.mktemp("service")) as made:
        yield made


def key(caller: Caller, provider: str) -> str:
    settings = caller.service.parts.settings
    return f"{settings.sources[0].name}|{settings.sending_domains[0].name}|{provider}"


async def lane(caller: Caller, provider: str) -> dict[str, object]:
    _, answer = await caller.call("GET", "/v1/warmup")
    (found,) = [row for row in answer["lanes"] if row["lane"] == key(caller, provider)]
    assert isinstance(found, dict)
    return found


async def test_a_lane_is_started_held_resumed_and_stepped_back_and_its_story_tells_who(caller: Caller) -> None:
    scope = "provider=gmail"
    status, answer = await caller.call("POST", "/v1/warmup/start", {"scope": scope, "at": 500, "reason": "known"})
    assert (status, answer["lanes"][0]["cap"]) == (200, 407)
    status, answer = await caller.call("POST", "/v1/warmup/start", {"scope": scope})
    assert (status, "was started already" in answer["error"]["problem"]) == (422, True)

    until = caller.service.parts.clock.now() + 3600
    assert (await caller.call("POST", "/v1/warmup/hold", {"scope": scope, "reason": "sale", "until": until}))[0] == 200
    held = (await lane(caller, "gmail"))["held"]
    assert isinstance(held, dict)
    assert (held["by"], held["reason"], held["until"] is None) == ("admin", "sale", False)

    assert (await caller.call("POST", "/v1/warmup/resume", {"scope": scope}))[0] == 200
    assert (await lane(caller, "gmail"))["held"] is None
    assert (await caller.call("POST", "/v1/warmup/resume", {"scope": scope}))[0] == 422

    assert (await caller.call("POST", "/v1/warmup/step-back", {"scope": scope, "to": 100, "reason": "worried"}))[
        0
    ] == 200
    assert (await lane(caller, "gmail"))["cap"] == 84
    _, story = await caller.call("GET", f"/v1/lanes/{key(caller, 'gmail').replace('|', '%7C')}")
    text = " ".join(line["text"] for line in story["story"])
    assert "held by admin" in text
    assert "stepped_back by admin, step 2, cap 407 → 84: worried" in text


async def test_a_history_is_imported_once(caller: Caller) -> None:
    source, domain, _ = key(caller, "").split("|")
    today = datetime.fromtimestamp(caller.service.parts.clock.now(), UTC).date()
    csv = f"day,source,domain,provider,sent\n{today},{source},{domain},yahoo,20000\n"
    url, headers = f"{caller.base}/v1/warmup/import", {"Authorization": f"Bearer {TOKENS['admin']}"}
    answers = []
    for _ in range(2):
        async with caller.session.post(url, data=csv.encode(), headers=headers) as answer:
            answers.append(await answer.json())
    assert answers[0]["imported"][0]["cap"] == 16_059
    assert answers[1] == {"imported": [], "unchanged": [key(caller, "yahoo")], "already_above": []}
    async with caller.session.post(url, data=csv.replace("yahoo", "yaho").encode(), headers=headers) as answer:
        assert (answer.status, "line 2 provider" in (await answer.json())["error"]["problem"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("hold", {"scope": "provider=aol"}, "no lane is provider=aol"),
        ("hold", {"scope": "stream=bulk"}, "names a stream"),
        ("hold", {"scope": "what"}, "is not part of a scope"),
        ("start", {"scope": "provider=nobody"}, "no lane of a plan"),
        ("step-back", {"scope": "all", "to": 10**9}, "no step of its plan lies below"),
    ],
)
async def test_a_word_without_effect_is_an_error_that_says_why(
    caller: Caller, path: str, body: dict[str, object], said: str
) -> None:
    await caller.call("POST", "/v1/warmup/start", {"scope": "provider=mailru"})
    status, answer = await caller.call("POST", f"/v1/warmup/{path}", body)
    assert status == 422
    assert said in answer["error"]["problem"]
