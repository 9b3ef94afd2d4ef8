"""Reply rules as people meet them: the commands, the API, the page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from core.errors import InvalidInput
from core.feedback import ReplyCluster
from core.lane import Lane, Scope
from core.reaction import Lessons, Reaction, ReactionAction, ReplyRuleActed, Rest
from service.cli import main
from service.explain import explain_lane
from service.rulebench import read_lines
from service.web.dashboard import render_dashboard
from tests.unit.service.dashboard_sample import HOSTILE, NOW, SAMPLE
from tests.unit.service.running import Caller, running

REPLIES = """\
# a morning
gmail 421 4.7.28 Gmail has detected an unusual rate of unsolicited mail from your IP address.
{"reply": "250 2.0.0 OK", "provider": "mailru", "count": 900}
{"reply": "550 spam message rejected. Please visit http://help.mail.ru/", "provider": "mailru", "count": 30}
nobody 599 5.9.9 purple elephants
"""


def stopped(at: float) -> Reaction:
    return Reaction(
        rule="yahoo-complaints", scope=Scope(source="mta1", provider="yahoo"), site="", action=ReactionAction.STOP,
        since=at, until=at + 7200, strikes=1, hits=1, answers=40, window=3600.0, sample=f"421 [TSS04] {HOSTILE}",
        probe=10, alert=True,
    )  # fmt: skip


def acted(one: Reaction) -> ReplyRuleActed:
    return ReplyRuleActed(
        at=one.since, key=one.key, rule=one.rule, action=one.action, scope=one.scope, site=one.site, until=one.until,
        strikes=1, hits=1, answers=40, window=3600.0, sample=one.sample, limits="", probe=10,
    )  # fmt: skip


# --- commands ---------------------------------------------------------------------------------------------------------
def test_a_file_of_replies_is_run_through_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "replies.txt"
    path.write_text(REPLIES)
    assert main(["rules", "test", str(path)]) == 0
    text = capsys.readouterr().out
    assert "gmail-rate acts after 1 of 1: stop over source=source,provider=gmail for 10 min, then a probe of 20" in text
    assert "mailru-spam acts after 19 of 919: slow (30 messages a minute)" in text
    assert "taken by no rule" in text
    assert "3 refusals: 2 taken by a rule; 2 reactions would have begun" in text
    assert main(["rules", "test", "--json", str(path)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["rules"] for row in rows] == [["gmail-rate"], [], ["mailru-spam"], []]
    assert rows[3]["known"] is False


def test_replies_that_no_rule_takes_are_the_answer_no(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "replies.txt"
    path.write_text("550 5.1.1 no such user\n")
    assert main(["rules", "test", "--provider", "gmail", str(path)]) == 1
    assert main(["rules", "test", str(tmp_path / "missing")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hello", "is no reply"), ("{", "is no JSON object"), ('{"text": "x"}', "unknown keys"), ("[]", "is no reply"),
        ('{"provider": "gmail"}', "lacks 'reply'"), ('{"reply": "421 x", "count": 0}', "count is 0"),
        ('{"reply": "421 x", "stage": "never"}', "never"), ('{"reply": "no code"}', "has no code"),
        ('{"reply": "421 x", "at": -1}', "before the line above"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_is_named(line: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        list(read_lines(["", "421 ok", line]))
    assert caught.value.field == "line 3"
    assert said in caught.value.problem


def test_the_rules_are_listed_without_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["rules", "list", "--provider", "yahoo"]) == 0
    text = capsys.readouterr().out
    assert "yahoo-complaints" in text
    assert "gmail" not in text
    assert main(["rules", "list", "--json"]) == 0
    assert all(json.loads(line)["note"] for line in capsys.readouterr().out.splitlines())


# --- the page ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("language", "probe"), [("en", "probe: 4 of 10 through"), ("ru", "проба: прошло 4 из 10")])
def test_the_page_shows_what_acts_and_what_nobody_knows(language: str, probe: str) -> None:
    cluster = ReplyCluster(
        provider="gmx", shape="599 <n>", count=41, first_at=NOW - 9, last_at=NOW, sample=f"599 {HOSTILE}"
    )
    probing = replace(stopped(NOW - 8000), site="mx.example", passed=4)
    page = render_dashboard(
        replace(SAMPLE, reactions=(stopped(NOW - 60), probing), resting=3, unknown=(cluster,)), language
    )
    assert probe in page
    assert "penstock rules end yahoo-complaints/source=mta1,provider=yahoo" in page
    assert HOSTILE not in page
    assert ">41<" in page


# --- the running service ----------------------------------------------------------------------------------------------
@pytest_asyncio.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with running(tmp_path) as made:
        yield made


async def test_the_api_shows_and_ends_what_is_in_force(caller: Caller) -> None:
    stores, now = caller.service.parts.stores, caller.service.parts.clock.now()
    one = stopped(now)
    rest = Rest(source="mta1", site="mx.a", troubled=now, until=now + 600, strikes=1, width=1)
    await stores.lore.tell(Lessons(begun=[(one, acted(one))], rests=[(rest, None)]), now)
    status, answer = await caller.call("GET", "/v1/rules")
    assert status == 200
    assert any(rule["name"] == "yahoo-complaints" and rule["note"] for rule in answer["rules"])
    (found,) = answer["in_force"]
    assert (found["key"], found["state"], found["evidence"]["answers"]) == (one.key, "acting", 40)
    assert [row["site"] for row in answer["rests"]] == ["mx.a"]
    _, seen = await caller.call("GET", "/v1/status")
    assert [row["rule"] for row in seen["reply_rules"]] == ["yahoo-complaints"]
    assert (await caller.call("POST", "/v1/rules/end", {"key": one.key}, token="read"))[0] == 403
    assert await caller.call("POST", "/v1/rules/end", {"key": one.key}, token="admin") == (200, {"ended": one.key})
    assert (await caller.call("POST", "/v1/rules/end", {"key": one.key}, token="admin"))[0] == 422
    assert (await caller.call("GET", "/v1/rules"))[1]["in_force"] == []
    story = await explain_lane(stores.log, Lane.from_key("mta1|sender.example|yahoo"))
    assert [line.kind for line in story] == ["ReplyRuleActed", "ReplyRuleEnded"]
    assert "yahoo-complaints: stop over source=mta1,provider=yahoo until" in story[0].text
    assert "ended by" in story[1].text


async def test_the_api_lists_replies_that_nobody_knows(caller: Caller) -> None:
    assert await caller.call("GET", "/v1/replies/unknown?days=3") == (200, {"clusters": []})
    status, answer = await caller.call("GET", "/v1/replies/unknown?days=x")
    assert (status, answer["error"]["field"]) == (422, "days, limit")
